"""Erases answers that were kept for replays; the calls, their charges and receipts stay."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, or_, select

from router.ledger.call_models import ANSWER
from router.ledger.models import ENTRY

ERASED_AT_ONCE: Final = 500
"""Most answers that one turn erases, so that it never holds up a commit for long."""

_OLDEST: Final = (
    select(ENTRY.c.number, ENTRY.c.opened_s)
    .join(ANSWER, ANSWER.c.entry_number == ENTRY.c.number)
    .order_by(ANSWER.c.entry_number)
    .limit(ERASED_AT_ONCE)
)


def erase_old(connection: Connection, before_s: int) -> int:
    """Erases the oldest answers to calls that began before `before_s` (unix seconds); returns how many."""
    due = [row.number for row in connection.execute(_OLDEST) if row.opened_s < before_s]
    if due:
        connection.execute(delete(ANSWER).where(ANSWER.c.entry_number.in_(due)))
    return len(due)


def erase_of(connection: Connection, idx: int) -> int:
    """Erases all answers to calls that an account paid for or whose owner made; returns how many."""
    of_account = select(ENTRY.c.number).where(or_(ENTRY.c.account_idx == idx, ENTRY.c.user_idx == idx))
    return connection.execute(delete(ANSWER).where(ANSWER.c.entry_number.in_(of_account))).rowcount
