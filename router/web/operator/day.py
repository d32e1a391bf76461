"""What the ledger says of today and of the bridge: read by whoever looks, shared, at most every few seconds.

Of a long day only the last minutes are added up again: what ended before is known already.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from router.api.admin_state import AdminState
from router.ledger.batches import BatchView, BridgeReport, batches, bridge_report
from router.ledger.earnings import Earnings, earnings, unsettled_base

FRESH_S: Final = 4.0
"""What was read is shown for so long."""
SETTLES_S: Final = 300
"""A call is in the ledger at the latest so long after it ended."""
DAY_S: Final = 86_400
BATCHES: Final = 5


@dataclass(frozen=True)
class DayView:
    """The ledger's side of the operator's page.

    Attributes:
        earned: of all workers' calls since midnight UTC.
        unsettled_base: charges that no batch has settled, base units.
        report: what the bridge last said.
        batches: the newest ones.
        at_s: when it was read, unix seconds.
    """

    earned: Earnings
    unsettled_base: int
    report: BridgeReport | None
    batches: tuple[BatchView, ...]
    at_s: int


class DayKeeper:
    """Reads it."""

    def __init__(self, state: AdminState) -> None:
        self._state = state
        self._reading = asyncio.Lock()
        self._view: DayView | None = None
        self._read_at = float("-inf")
        self._known, self._until_s = Earnings(), 0

    async def view(self) -> DayView:
        """As of a few seconds ago at most."""
        async with self._reading:
            if self._view is None or time.monotonic() - self._read_at >= FRESH_S:
                self._view = await asyncio.to_thread(self._state.ledger.read, self._look)
                self._read_at = time.monotonic()
            return self._view

    def _look(self, connection: Connection) -> DayView:
        now_s = int(time.time())
        return DayView(
            earned=self._today(connection, now_s),
            unsettled_base=unsettled_base(connection),
            report=bridge_report(connection),
            batches=tuple(batches(connection, None, BATCHES)),
            at_s=now_s,
        )

    def _today(self, connection: Connection, now_s: int) -> Earnings:
        began_s = now_s - now_s % DAY_S
        if self._until_s < began_s:
            self._known, self._until_s = Earnings(), began_s
        until_s = max(now_s - SETTLES_S, self._until_s)
        self._known += sum(earnings(connection, self._until_s, until_s).values(), Earnings())
        self._until_s = until_s
        return sum(earnings(connection, until_s, now_s + 1).values(), self._known)
