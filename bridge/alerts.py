"""Alert events: what an operator has to know, kept in the store and said once when it begins and ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from typing import Final

from sqlalchemy import Select, select

from bridge.sessions import Sessions
from bridge.tables import Alert, AlertRow

ADVICE: Final[Mapping[str, str]] = {
    "node_unreachable": "Wait, or set another VIBES_RPC_URL.",
    "node_refused": "Wait, or set another VIBES_RPC_URL.",
    "lagging": "Is the node in sync?",
    "queue_old": "Look at the other alerts; a withdrawal also waits for running calls of its account.",
    "deadline_near": "Settle now: after the deadline anybody can freeze the account.",
    "batch_stuck": "See its step: sealed waits for the prover, submitted for the chain and its fees.",
    "fee_limit": "Wait until gas is cheaper, or raise VIBES_MAX_FEE_GWEI and restart.",
    "low_funds": "Send ether to the operator's account.",
    "settlement_refused": "The detail has the contract's error; NotOperator: the role was moved.",
    "prover_failed": "Look at the memory and the workers; it is tried again.",
    "wrong_key": "Set the right key file or circuits.",
    "paused": "Deposits and batches wait; withdrawals, freezes, exits and claims go on.",
    "deficit": "The account is stopped until a deposit covers it.",
    "batch_taken": "Do two bridges share a store without a lock? It goes on.",
    "stopped": "Start it again; docs/operations.md explains the error in the detail.",
}
"""What to do about each alert that stays open, as docs/operations.md has it."""

Emit = Callable[[Mapping[str, object]], None]
"""Takes an event with `alert` (its code), `state` (opened, cleared or noted), `detail` and `at`."""


class AlertRecords(Sessions):
    """The alerts in the store."""

    def open_alerts(self) -> list[Alert]:
        """What is wrong now, oldest first."""
        rows = select(AlertRow).where(AlertRow.cleared_at.is_(None)).order_by(AlertRow.id)
        with self._session() as session:
            return [row.to_alert() for row in session.scalars(rows)]

    def alerts(self) -> list[Alert]:
        """Every alert ever, oldest first."""
        with self._session() as session:
            return [row.to_alert() for row in session.scalars(select(AlertRow).order_by(AlertRow.id))]

    def open_alert(self, code: str, detail: str, now_s: int) -> bool:
        """Opens an alert; False if one with this code is open already."""
        with self._session() as session:
            if session.scalar(_open(code)) is not None:
                return False
            session.add(AlertRow(code=code, detail=detail, opened_at=now_s))
            return True

    def clear_alert(self, code: str, now_s: int) -> bool:
        """Ends an alert; False if none with this code is open."""
        with self._session() as session:
            row = session.scalar(_open(code))
            if row is not None:
                row.cleared_at = now_s
            return row is not None

    def note_alert(self, code: str, detail: str, now_s: int) -> None:
        """Keeps something that happened and needs no end."""
        with self._session() as session:
            session.add(AlertRow(code=code, detail=detail, opened_at=now_s, cleared_at=now_s))


class Alerts:
    """Opens, clears and says alerts."""

    def __init__(self, records: AlertRecords, emit: Emit) -> None:
        self._records, self._emit = records, emit

    def show(self, present: Mapping[str, str], managed: Set[str]) -> None:
        """Opens the alerts that are present, detail by code; of the `managed` codes, clears all others."""
        for alert in self._records.open_alerts():
            if alert.code in managed and alert.code not in present:
                self.clear(alert.code)
        for code, detail in present.items():
            self.open(code, detail)

    def open(self, code: str, detail: str) -> None:
        """Says that something is wrong, unless it was said before."""
        if self._records.open_alert(code, detail, int(time.time())):
            self._say(code, "opened", detail)

    def renew(self, code: str, detail: str) -> None:
        """Says that something is wrong; if something else was under this code, that it is over."""
        if any(one.code == code and one.detail != detail for one in self._records.open_alerts()):
            self.clear(code)
        self.open(code, detail)

    def clear(self, code: str) -> None:
        """Says that it is over, if it was wrong before."""
        if self._records.clear_alert(code, int(time.time())):
            self._say(code, "cleared", "")

    def note(self, code: str, detail: str) -> None:
        """Says that something happened."""
        self._records.note_alert(code, detail, int(time.time()))
        self._say(code, "noted", detail)

    def _say(self, code: str, state: str, detail: str) -> None:
        self._emit({"alert": code, "state": state, "detail": detail, "at": int(time.time())})


def _open(code: str) -> Select[AlertRow]:
    return select(AlertRow).where(AlertRow.code == code, AlertRow.cleared_at.is_(None)).limit(1)
