"""How a reservation ends without a charge, and how it lives on: voided, expired, renewed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select

from router.ledger.calls import CallOperation, run_calls
from router.ledger.errors import EntryClosed
from router.ledger.group import AttemptFacts, Group
from router.ledger.models import ENTRY, Kind, State
from router.ledger.sums import Needs

SWEEP_LIMIT: Final = 500
"""Most leases that one sweep expires, so that it never holds up a commit for long."""

_PENDING: Final = select(ENTRY.c.id).where(ENTRY.c.state == State.PENDING, ENTRY.c.kind == Kind.CALL)
_RUNNING: Final = _PENDING.where(ENTRY.c.account_idx == bindparam("account_idx"))
_LAPSED: Final = (
    _PENDING.where(ENTRY.c.lease_until_s < bindparam("now"))
    .order_by(ENTRY.c.lease_until_s)
    .limit(SWEEP_LIMIT)
)


@dataclass(frozen=True)
class Renewal(CallOperation[None]):
    """Moves the end of a lease to `until_s` (unix seconds)."""

    entry_id: str
    until_s: int

    def declare(self, needs: Needs) -> None:
        """See `CallOperation`."""
        needs.entry_ids.append(self.entry_id)

    def decide(self, group: Group) -> None:
        """Raises UnknownEntry, EntryClosed if the lease is lost: a post will charge nothing."""
        entry = group.entry(self.entry_id)
        if entry.state != State.PENDING:
            raise EntryClosed(self.entry_id, entry.state)
        group.renew(entry, self.until_s)


@dataclass(frozen=True)
class Release(CallOperation[None]):
    """Gives a reservation back without a charge.

    Args:
        entry_id: the call's entry.
        reason: why, never a prompt or a key.
        state: voided, or expired if its worker is gone or the account closed.
        attempts: the tries that it took, all in vain.
    """

    entry_id: str
    reason: str
    state: str = State.VOIDED
    attempts: tuple[AttemptFacts, ...] = ()

    def declare(self, needs: Needs) -> None:
        """See `CallOperation`."""
        needs.entry_ids.append(self.entry_id)

    def decide(self, group: Group) -> None:
        """Releasing again, or after it expired, changes nothing.

        Raises:
            UnknownEntry: no such call.
            EntryClosed: it was posted.
        """
        entry = group.entry(self.entry_id)
        if entry.state == State.POSTED:
            raise EntryClosed(self.entry_id, entry.state)
        if entry.state == State.PENDING:
            group.close(entry, self.state, self.reason)
            group.record_attempts(entry, self.attempts)


def expire_lapsed(connection: Connection, now_s: int) -> list[str]:
    """Expires up to `SWEEP_LIMIT` leases that ended before `now_s`, oldest first; returns their entry ids."""
    return _expire(connection, connection.execute(_LAPSED, {"now": now_s}).scalars(), "lease lapsed")


def expire_running(connection: Connection, account_idx: int, reason: str) -> None:
    """Expires every call of an account that still runs: a later post charges nothing."""
    _expire(connection, connection.execute(_RUNNING, {"account_idx": account_idx}).scalars(), reason)


def _expire(connection: Connection, entry_ids: Iterable[str], reason: str) -> list[str]:
    releases = [Release(entry_id, reason, State.EXPIRED) for entry_id in entry_ids]
    for outcome in run_calls(connection, releases):
        if outcome.error is not None:
            raise outcome.error
    return [release.entry_id for release in releases]
