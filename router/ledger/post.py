"""The only writer of entries and postings.

Everything that moves money opens an entry, gives it legs that sum to zero, and posts it; database triggers
(`router.db.GUARDS`) hold the same rules against any other program.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_of

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from router.ledger.bulk import Bulk, Values, Write, insert, update
from router.ledger.errors import AmountOutOfRange, UnbalancedEntry
from router.ledger.models import ENTRY, POSTING, State

CUSTODY: Final = "custody"
FEE: Final = "fee"
BURN: Final = "burn"
POOL: Final = "pool"
TREASURY: Final = "treasury"
LOSS: Final = "loss"

Leg = tuple[str, int]
"""(ledger account, signed base units)."""

_POSTING_COLUMNS: Final = tuple(POSTING.columns.keys())
_INSERT_ENTRY: Final = insert_into(ENTRY)
_INSERT_POSTINGS: Final = insert_into(POSTING)
_SAME_ENTRY: Final = select(ENTRY.c.number).where(
    ENTRY.c.number == bindparam("entry_number"), ENTRY.c.id == bindparam("entry_id")
)
_CLOSE_ENTRY: Final = (
    update_of(ENTRY).where(ENTRY.c.number == bindparam("entry_number")).values(state=bindparam("new_state"))
)


def user(idx: int) -> str:
    """Ledger account of what is owed to a user."""
    return f"user:{idx}"


def deficit(idx: int) -> str:
    """Ledger account of what a user owes, as a negative amount."""
    return f"deficit:{idx}"


def withdrawable(idx: int) -> str:
    """Ledger account of what a batch has set aside for a user's wallet."""
    return f"withdrawable:{idx}"


def partner(partner_id: int) -> str:
    """Ledger account of what is owed to a partner."""
    return f"partner:{partner_id}"


def content_hash(*parts: str | int | bool | Sequence[Any]) -> bytes:
    """sha256 over an unambiguous spelling of the parts."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).digest()


def check_amount(name: str, amount_base: int, minimum_base: int = 1) -> None:
    """Refuses an amount outside `minimum_base` … 2^54 − 1.

    Raises:
        AmountOutOfRange: with name, amount and range.
    """
    if not minimum_base <= amount_base <= MAX_AMOUNT_BASE:
        raise AmountOutOfRange(name, amount_base, minimum_base, MAX_AMOUNT_BASE)


OPEN: Final = Write(
    insert,
    ENTRY,
    (
        "number",
        "id",
        "kind",
        "state",
        "account_idx",
        "origin_key",
        "attempt",
        "body_hash",
        "quote_base",
        "lease_until_s",
        "opened_s",
        "key_id",
        "user_idx",
    ),
)
"""Opens entries; before anything that refers to them."""
CLOSE: Final = (
    Write(update, ENTRY, ("number", "lease_until_s")),
    Write(insert, POSTING, _POSTING_COLUMNS),
    Write(update, ENTRY, ("number", "state", "reason")),
)
"""Moves leases and inserts postings, then closes entries, which are held to balance."""


def new_numbers(bulk: Bulk, count: int) -> Callable[[], Sequence[int]]:
    """Asks for at least `count` row numbers for new entries; call the result to get them.

    They may be used until another writer has written.
    """
    if not count:
        return lambda: ()
    if bulk.sqlite:  # as the database counts by itself; the writer's lock is held
        rows = bulk.query("SELECT coalesce(max(number), 0) FROM entry")
        return lambda: range(next(iter(rows))[0] + 1, sys.maxsize)
    rows = bulk.query(
        "SELECT nextval(of_entry.name) FROM pg_get_serial_sequence('entry', 'number') AS of_entry (name),"
        " generate_series(1, %s)",
        count,
    )
    return lambda: [row[0] for row in rows.fetchall()]


def has_entry(connection: Connection, number: int, entry_id: str) -> bool:
    """Whether an entry was ever opened with this row number and this id.

    The number tells it from another writer's under the same client's key; the id from one that got the same
    number after the server fell and forgot that it had given it out.
    """
    found = connection.execute(_SAME_ENTRY, {"entry_number": number, "entry_id": entry_id})
    return found.first() is not None


class Entries:
    """Entries and postings of many calls, collected and written together."""

    def __init__(self) -> None:
        self._opened: list[Values] = []
        self._postings: list[Values] = []
        self._closed: list[Values] = []
        self._leases: dict[int, int] = {}

    def open(self, row: Values) -> None:
        """Opens a pending entry, given a row for `OPEN`."""
        self._opened.append(row)

    def post(self, number: int, kind: str, legs: Iterable[Leg]) -> None:
        """Gives a pending entry its legs and posts it; legs of 0 are left out.

        Raises:
            UnbalancedEntry: if the legs do not sum to zero.
        """
        self._postings += _postings(number, kind, legs)
        self.close(number, State.POSTED)

    def close(self, number: int, state: str, reason: str | None = None) -> None:
        """Moves a pending entry to its final state."""
        self._closed.append((number, state, reason))

    def renew(self, number: int, until_s: int) -> None:
        """Moves the end of a pending entry's lease."""
        self._leases[number] = until_s

    @property
    def opened(self) -> list[Values]:
        """Rows for `OPEN`."""
        return self._opened

    @property
    def closed(self) -> tuple[list[Values], ...]:
        """Rows for `CLOSE`."""
        return list(self._leases.items()), self._postings, self._closed


def open_entry(
    connection: Connection,
    entry_id: str,
    kind: str,
    account_idx: int | None,
    body_hash: bytes,
    origin_key: str,
    attempt: int = 0,
) -> int:
    """Inserts a pending entry of something that is no call, and returns its row number."""
    values = {
        "id": entry_id,
        "kind": kind,
        "state": State.PENDING,
        "account_idx": account_idx,
        "origin_key": origin_key,
        "attempt": attempt,
        "body_hash": body_hash,
        "quote_base": 0,
        "opened_s": int(time.time()),
    }
    number: int = connection.execute(_INSERT_ENTRY, values).inserted_primary_key[0]  # type: ignore[index]
    return number


def post_entry(connection: Connection, number: int, kind: str, legs: Iterable[Leg]) -> None:
    """Gives a pending entry its legs and posts it; legs of 0 are left out.

    Raises:
        UnbalancedEntry: if the legs do not sum to zero.
    """
    rows = _postings(number, kind, legs)
    if rows:
        connection.execute(_INSERT_POSTINGS, [dict(zip(_POSTING_COLUMNS, row, strict=True)) for row in rows])
    close_entry(connection, number, State.POSTED)


def close_entry(connection: Connection, number: int, state: str) -> None:
    """Moves a pending entry to its final state."""
    connection.execute(_CLOSE_ENTRY, {"entry_number": number, "new_state": state})


def _postings(number: int, kind: str, legs: Iterable[Leg]) -> list[Values]:
    """Rows of `posting` for balanced legs.

    Raises:
        UnbalancedEntry: if the legs do not sum to zero.
    """
    kept = [(account, amount_base) for account, amount_base in legs if amount_base]
    total_base = sum([amount_base for _, amount_base in kept])
    if total_base:
        raise UnbalancedEntry(kind, total_base)
    return [(number, leg, account, amount_base) for leg, (account, amount_base) in enumerate(kept)]
