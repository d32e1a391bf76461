"""The only writer of entries and postings.

Everything that moves money opens an entry, gives it legs that sum to zero, and posts it; database triggers
(`router.db.GUARDS`) hold the same rules against any other program.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, update

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
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

_INSERT_ENTRY: Final = insert(ENTRY)
_INSERT_POSTINGS: Final = insert(POSTING)
_CLOSE_ENTRY: Final = (
    update(ENTRY)
    .where(ENTRY.c.number == bindparam("entry_number"))
    .values(state=bindparam("new_state"), reason=bindparam("why"))
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


def open_entry(
    connection: Connection,
    *,
    entry_id: str,
    kind: str,
    account_idx: int | None,
    body_hash: bytes,
    opened_s: int,
    origin_key: str | None = None,
    attempt: int = 0,
    quote_base: int = 0,
    lease_until_s: int | None = None,
) -> int:
    """Inserts a pending entry and returns its row number."""
    values = {
        "id": entry_id,
        "kind": kind,
        "state": State.PENDING,
        "account_idx": account_idx,
        "origin_key": origin_key,
        "attempt": attempt,
        "body_hash": body_hash,
        "quote_base": quote_base,
        "lease_until_s": lease_until_s,
        "opened_s": opened_s,
        "reason": None,
    }
    number: int = connection.execute(_INSERT_ENTRY, values).inserted_primary_key[0]  # type: ignore[index]
    return number


def post_entry(connection: Connection, number: int, kind: str, legs: Iterable[Leg]) -> None:
    """Gives a pending entry its legs and posts it; legs of 0 are left out.

    Raises:
        UnbalancedEntry: if the legs do not sum to zero.
    """
    kept = [(account, amount_base) for account, amount_base in legs if amount_base]
    total_base = sum(amount_base for _, amount_base in kept)
    if total_base:
        raise UnbalancedEntry(kind, total_base)
    if kept:
        connection.execute(
            _INSERT_POSTINGS,
            [
                {"entry_number": number, "leg": leg, "account": account, "amount_base": amount_base}
                for leg, (account, amount_base) in enumerate(kept)
            ],
        )
    close_entry(connection, number, State.POSTED)


def close_entry(connection: Connection, number: int, state: str, reason: str | None = None) -> None:
    """Moves a pending entry to its final state."""
    connection.execute(_CLOSE_ENTRY, {"entry_number": number, "new_state": state, "why": reason})
