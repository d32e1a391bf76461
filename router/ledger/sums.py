"""The writer's own copies of the rows that calls are decided on: accounts, entries, shares, budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from router.ledger import post
from router.ledger.bulk import Bulk
from router.ledger.shares import ShareSum

_CALLS: Final = "SELECT number, id, state, account_idx, quote_base, origin_key, attempt, body_hash FROM entry"
_BY_ID: Final = _CALLS + " WHERE kind = 'call' AND id {among}"
_NEWEST: Final = (
    " AND attempt = (SELECT max(attempt) FROM entry other WHERE other.origin_key = entry.origin_key)"
)
_LAST_OF_ORIGIN: Final = _CALLS + " WHERE origin_key {among}" + _NEWEST
_USES: Final = (
    "SELECT entry.id, code FROM budget_use JOIN entry ON entry.number = entry_number"
    " WHERE entry.id {among} ORDER BY code"
)
_ACCOUNTS: Final = (
    "SELECT idx, status, key_commit, requested_key_commit, balance_base, deficit_base, reserved_base,"
    " cancelling_base, withdraw_requested_base, ceiling_base, spent_base, sequence, last_receipt"
    " FROM account WHERE idx {among}"
)
_SHARES: Final = (
    "SELECT code, bps, gross_base, checkpoint_gross_base, accrued_base, sequence FROM share"
    " WHERE code {among}"
)
_BUDGETS: Final = "SELECT code, reserved_base, spent_base FROM budget WHERE code {among}"


@dataclass(slots=True)
class AccountSums:
    """A row of `account`, as far as calls go; see `models.Account`."""

    idx: int
    status: str
    key_commit: bytes | None
    requested_key_commit: bytes | None
    balance_base: int
    deficit_base: int
    reserved_base: int
    cancelling_base: int
    withdraw_requested_base: int
    ceiling_base: int
    spent_base: int
    sequence: int
    last_receipt: bytes


@dataclass(slots=True)
class BudgetSums:
    """A row of `budget`."""

    code: str
    reserved_base: int = 0
    spent_base: int = 0


@dataclass(slots=True)
class CallEntry:
    """A row of `entry` that a call opened, and the budgets that it counts against."""

    number: int
    id: str
    state: str
    account_idx: int
    quote_base: int
    origin_key: str | None
    attempt: int
    body_hash: bytes
    budgets: tuple[str, ...] = ()


@dataclass(slots=True)
class Needs:
    """What the operations of a group want to see; `opens` is how many entries they may open."""

    entry_ids: list[str] = field(default_factory=list)
    origin_keys: list[str] = field(default_factory=list)
    accounts: set[int] = field(default_factory=set)
    shares: set[str] = field(default_factory=set)
    budgets: set[str] = field(default_factory=set)
    opens: int = 0


class Sums:
    """What the database holds of a group's needs.

    Attributes:
        entries: by entry id.
        last: the newest entry of each origin key that has one.
        accounts: by index.
        shares, budgets: by code.
        numbers: row numbers for new entries.
    """

    def __init__(self, bulk: Bulk, needs: Needs) -> None:
        select = _Select(bulk)
        with bulk.round_trip():
            entries = select(_BY_ID, needs.entry_ids)
            last = select(_LAST_OF_ORIGIN, needs.origin_keys)
            uses = select(_USES, needs.entry_ids)
            numbers = post.new_numbers(bulk, needs.opens)
            self.entries = {row[1]: CallEntry(*row) for row in entries}
            self.last = {row[5]: self.entries.setdefault(row[1], CallEntry(*row)) for row in last}
            for entry_id, code in uses:
                self.entries[entry_id].budgets += (code,)
            self.numbers = iter(numbers())
        idxs = needs.accounts.union(entry.account_idx for entry in self.entries.values())
        codes = needs.budgets.union(*(entry.budgets for entry in self.entries.values()))
        with bulk.round_trip():
            accounts = select(_ACCOUNTS, list(idxs))
            shares = select(_SHARES, list(needs.shares))
            budgets = select(_BUDGETS, list(codes))
            self.accounts = {row[0]: AccountSums(*row) for row in accounts}
            self.shares = {row[0]: ShareSum(*row) for row in shares}
            self.budgets = {row[0]: BudgetSums(*row) for row in budgets}


class _Select:
    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk

    def __call__(self, sql: str, members: Sequence[str] | Sequence[int]) -> Any:
        return self._bulk.select(sql, members) if members else ()
