"""The writer's own copies of the rows that calls are decided on: accounts, entries, shares, budgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from router.ledger import post
from router.ledger.bulk import Bulk
from router.ledger.models import State
from router.ledger.shares import ShareSum

_CALLS: Final = "SELECT number, id, state, account_idx, quote_base, origin_key, attempt, body_hash FROM entry"
_BY_ID: Final = _CALLS + " WHERE kind = 'call' AND id {among}"
_NEWEST: Final = (
    " AND attempt = (SELECT max(attempt) FROM entry other WHERE other.origin_key = entry.origin_key)"
)
_LAST_OF_ORIGIN: Final = _CALLS + " WHERE origin_key {among}" + _NEWEST
_ENDED: Final = "SELECT id, state FROM entry WHERE id {among} AND state <> 'pending'"
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

_NUMBERS_AHEAD: Final = 1024
"""Row numbers that PostgreSQL is asked for beyond a group's, as long as nobody else writes."""

_MOST_COPIES: Final = 8192
"""Copies of rows that are kept from one group to the next, some 300 bytes each."""


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

    @property
    def used_base(self) -> int:
        """What counts against the limit."""
        return self.reserved_base + self.spent_base


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
    """Copies of the rows that calls are decided on, each loaded when it is first needed.

    They hold as long as nobody else writes: `Group` changes a row and its copy together, another connection's
    commit is noticed, and whoever writes otherwise on this one must `forget` them.

    Attributes:
        entries: by entry id; those of calls that are over go when the next group loads.
        last: the newest entry of each origin key that the group needs and that has one.
        accounts: by index.
        shares, budgets: by code.
    """

    def __init__(self) -> None:
        self.entries: dict[str, CallEntry] = {}
        self.last: dict[str, CallEntry] = {}
        self.accounts: dict[int, AccountSums] = {}
        self.shares: dict[str, ShareSum] = {}
        self.budgets: dict[str, BudgetSums] = {}
        self._numbers: Sequence[int] = ()
        self._used = 0  # of the numbers
        self._over: list[str] = []
        self._unsure: set[str] = set()  # calls that may have ended since
        self._version: int | None = None  # of the database, with these copies
        self._alone = False  # nobody else wrote between our last two transactions

    def forget(self) -> None:
        """Drops all copies."""
        for copies in (self.entries, self.accounts, self.shares, self.budgets):
            copies.clear()
        self._unsure.clear()
        self._numbers, self._used, self._alone = (), 0, False

    def new_number(self) -> int:
        """The row number of the next entry."""
        self._used += 1
        return self._numbers[self._used - 1]

    def over(self, entry: CallEntry) -> None:
        """Says that a call has ended."""
        self._over.append(entry.id)

    def suffice(self, needs: Needs) -> int | None:
        """The version that the database should have, if a group can be decided on the copies alone.

        None if something has to be read first, or another writer is about, so that they hardly still hold.
        """
        self._drop_over()
        self.last = {}
        entries = [self.entries[entry_id] for entry_id in needs.entry_ids if entry_id in self.entries]
        if not self._alone or needs.origin_keys or self._lacks_numbers(needs) or self._are_many():
            return None
        if len(set(needs.entry_ids)) != len(entries) or any(one.state != State.PENDING for one in entries):
            return None
        if any(self._missing(needs)) or not self._unsure.isdisjoint(needs.entry_ids):
            return None
        idxs = needs.accounts.union(entry.account_idx for entry in entries)
        return None if any(self.accounts[idx].deficit_base for idx in idxs) else self._version

    def wrote(self, version: int | None) -> None:
        """Says what the database's version is after the group's commit; None if it is what it was."""
        self._version = version or self._version

    def load(self, bulk: Bulk, needs: Needs) -> None:
        """Loads what a group needs and has no copy, in a transaction that keeps other writers out."""
        self._drop_stale(bulk)
        unknown = [entry_id for entry_id in needs.entry_ids if entry_id not in self.entries]
        unsure = [entry_id for entry_id in needs.entry_ids if entry_id in self._unsure]
        opens = needs.opens if self._lacks_numbers(needs) else 0
        self.last = {}
        missing = self._missing(needs)
        if unknown or unsure or needs.origin_keys or opens or any(missing):
            with bulk.round_trip():
                take_entries = self._ask_entries(bulk, unknown, needs.origin_keys, opens)
                take_states = self._ask_states(bulk, unsure)
                take_sums = self._ask_sums(bulk, *missing)
                take_states()
                take_entries()
                take_sums()
        if unknown and any(missing := self._missing(needs)):
            with bulk.round_trip():
                self._ask_sums(bulk, *missing)()

    def _missing(self, needs: Needs) -> tuple[set[int], set[str], set[str]]:
        """Accounts, shares and budgets that have no copy, as far as the entries are known."""
        entries = [self.entries[entry_id] for entry_id in needs.entry_ids if entry_id in self.entries]
        return (
            needs.accounts.union(entry.account_idx for entry in entries) - self.accounts.keys(),
            needs.shares - self.shares.keys(),
            needs.budgets.union(*(entry.budgets for entry in entries)) - self.budgets.keys(),
        )

    def _lacks_numbers(self, needs: Needs) -> bool:
        return needs.opens > len(self._numbers) - self._used

    def _ask_entries(
        self, bulk: Bulk, ids: list[str], origin_keys: list[str], opens: int
    ) -> Callable[[], None]:
        """Asks for entries and row numbers; call the result to take them."""
        select, entries = _Select(bulk), self.entries
        if opens and self._alone:
            opens += _NUMBERS_AHEAD
        found = select(_BY_ID, ids)
        last = select(_LAST_OF_ORIGIN, origin_keys)
        uses = select(_USES, ids)
        numbers = post.new_numbers(bulk, opens)

        def take() -> None:
            entries.update((row[1], CallEntry(*row)) for row in found)
            self.last = {row[5]: entries.get(row[1]) or CallEntry(*row) for row in last}
            for entry_id, code in uses:
                entries[entry_id].budgets += (code,)
            if opens:
                self._numbers, self._used = numbers(), 0

        return take

    def _ask_states(self, bulk: Bulk, ids: list[str]) -> Callable[[], None]:
        """Asks what became of calls that were pending; call the result to take it."""
        ended = _Select(bulk)(_ENDED, ids)

        def take() -> None:
            for entry_id, state in ended:
                self.entries[entry_id].state = state
            self._unsure.difference_update(ids)

        return take

    def _ask_sums(
        self, bulk: Bulk, idxs: set[int], share_codes: set[str], budget_codes: set[str]
    ) -> Callable[[], None]:
        """Asks for accounts, shares and budgets; call the result to take them."""
        select = _Select(bulk)
        accounts = select(_ACCOUNTS, list(idxs))
        shares = select(_SHARES, list(share_codes))
        budgets = select(_BUDGETS, list(budget_codes))

        def take() -> None:
            self.accounts.update((row[0], AccountSums(*row)) for row in accounts)
            self.shares.update((row[0], ShareSum(*row)) for row in shares)
            self.budgets.update((row[0], BudgetSums(*row)) for row in budgets)

        return take

    def _drop_stale(self, bulk: Bulk) -> None:
        """Drops what another writer may have changed: all but pending calls, which can only have ended."""
        version = bulk.version()
        alone = version is not None and version == self._version
        if self._are_many():
            self.forget()
        elif not alone:
            pending = {one.id: one for one in self.entries.values() if one.state == State.PENDING}
            self.forget()
            self.entries.update(pending)
            self._unsure.update(pending)
        self._version, self._alone = version, alone
        self._drop_over()

    def _drop_over(self) -> None:
        for entry_id in self._over:
            self.entries.pop(entry_id, None)
            self._unsure.discard(entry_id)
        self._over.clear()

    def _are_many(self) -> bool:
        return len(self.entries) + len(self.accounts) + len(self.budgets) > _MOST_COPIES


class _Select:
    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk

    def __call__(self, sql: str, members: Sequence[str] | Sequence[int]) -> Any:
        return self._bulk.select(sql, members) if members else ()
