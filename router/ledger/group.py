"""What a group of calls' operations reads and writes: loaded at once, decided on in memory, written at once.

Each operation decides against the sums that the operations before it left behind, and is refused before it
changes any, so that a refusal leaves no trace. The writer's lock keeps everybody else out until all is
committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final, NamedTuple

from sqlalchemy import Connection, Table

from router.ledger import post
from router.ledger.bulk import Bulk, Values, Write, Writes, insert, update, upsert
from router.ledger.call_models import ANSWER, ATTEMPT, BUDGET, BUDGET_USE, CALL
from router.ledger.errors import UnknownAccount, UnknownEntry
from router.ledger.models import ACCOUNT, SHARE, Kind, State
from router.ledger.post import Leg
from router.ledger.shares import ShareSum, Terms
from router.ledger.sums import AccountSums, BudgetSums, CallEntry, Sums
from router.ledger.views import StoredAnswer

_OF_ENTRY: Final = ("entry_number", "account_idx", "partner_id", "charge_base", "lost_base")
OF_RECEIPT: Final = (
    "account_sequence",
    "partner_sequence",
    "account_total_base",
    "partner_total_base",
    "previous_receipt",
)
"""Columns of `call` that the receipt has under the same names."""
OF_FACTS: Final = tuple(
    column.name for column in CALL.columns if column.name not in (*_OF_ENTRY, *OF_RECEIPT, "signature")
)
"""Columns of `call` that the call's facts have under the same names."""
CALL_COLUMNS: Final = (*_OF_ENTRY, *OF_FACTS, *OF_RECEIPT, "signature")
"""All columns of `call`, in the order in which they are written."""
_BUDGET_COLUMNS: Final = tuple(BUDGET.columns.keys())
_budget_values = attrgetter(*_BUDGET_COLUMNS)
_SHARE_COLUMNS: Final = tuple(SHARE.columns.keys())
_share_values = attrgetter(*_SHARE_COLUMNS)
_KEPT: Final = (BUDGET_USE, ANSWER, ATTEMPT)
_CHANGED_BY_CALLS: Final = ("idx", "balance_base", "reserved_base", "spent_base", "sequence", "last_receipt")
_changed_by_calls = attrgetter(*_CHANGED_BY_CALLS)
_WRITES: Final = Writes(
    "write_calls",
    post.OPEN,
    Write(upsert, BUDGET, _BUDGET_COLUMNS),
    Write(upsert, SHARE, _SHARE_COLUMNS),
    Write(update, ACCOUNT, _CHANGED_BY_CALLS),
    Write(insert, CALL, CALL_COLUMNS),
    *(Write(insert, table, tuple(table.columns.keys())) for table in _KEPT),
    *post.CLOSE,
)


class AttemptFacts(NamedTuple):
    """One try of a call at a deployment.

    Args:
        deployment: its id.
        outcome: how the try ended, in a word.
        ms: how long it took, milliseconds.
        cost_base: what the operator may owe the provider for it, base units.
    """

    deployment: str
    outcome: str
    ms: int
    cost_base: int


class Group:
    """The sums that a group decides on, and what it has decided so far.

    Attributes:
        connection: the writing transaction.
        released_in_deficit: (account, entry id) of what was released while its account owes money.
    """

    def __init__(self, connection: Connection, bulk: Bulk, sums: Sums) -> None:
        self.connection = connection
        self.released_in_deficit: list[tuple[int, str]] = []
        self._bulk, self._sums = bulk, sums
        self._entries = post.Entries()
        self._rows: dict[Table, list[Values]] = {table: [] for table in _KEPT}
        self._calls: dict[int, Values] = {}
        self._answers: dict[int, StoredAnswer] = {}
        self._accounts: dict[int, AccountSums] = {}
        self._shares: dict[str, ShareSum] = {}
        self._budgets: dict[str, BudgetSums] = {}

    def account(self, idx: int) -> AccountSums:
        """The account's sums.

        Raises:
            UnknownAccount: no such account.
        """
        account = self._sums.accounts.get(idx)
        if account is None:
            raise UnknownAccount(idx)
        return account

    def entry(self, entry_id: str) -> CallEntry:
        """The entry of a call.

        Raises:
            UnknownEntry: no such call.
        """
        entry = self._sums.entries.get(entry_id)
        if entry is None:
            raise UnknownEntry(entry_id)
        return entry

    def last_attempt(self, origin_key: str) -> CallEntry | None:
        """The newest entry under a client's idempotency key, None if there was none."""
        return self._sums.last.get(origin_key)

    def budget(self, code: str) -> BudgetSums:
        """The sums of a budget, new ones if it was never used."""
        return self._sums.budgets.get(code) or BudgetSums(code)

    def shares_of(self, terms: Terms) -> Mapping[str, ShareSum]:
        """The sums of every share of the terms by code; new ones if it never earned."""
        shares = self._sums.shares
        return {code: shares.get(code) or ShareSum(code, bps) for code, bps in terms.bps_by_code.items()}

    def call(self, number: int) -> Values | None:
        """What this group recorded of a finished call, as `CALL_COLUMNS`."""
        return self._calls.get(number)

    def answer(self, number: int) -> StoredAnswer | None:
        """The answer that this group keeps for a call."""
        return self._answers.get(number)

    def open(
        self, entry: CallEntry, lease_until_s: int, opened_s: int, key_id: str | None, user_idx: int | None
    ) -> None:
        """Opens a pending entry and holds its quote."""
        entry.number = self._sums.new_number()
        account = self._changed(entry.account_idx)
        account.reserved_base += entry.quote_base
        self._sums.entries[entry.id] = entry
        if entry.origin_key is not None:
            self._sums.last[entry.origin_key] = entry
        self._entries.open(
            (
                entry.number,
                entry.id,
                Kind.CALL,
                entry.state,
                entry.account_idx,
                entry.origin_key,
                entry.attempt,
                entry.body_hash,
                entry.quote_base,
                lease_until_s,
                opened_s,
                key_id,
                user_idx,
            )
        )
        for code in entry.budgets:
            self._changed_budget(code).reserved_base += entry.quote_base
            self._rows[BUDGET_USE].append((entry.number, code))

    def close(self, entry: CallEntry, state: str, reason: str | None = None) -> None:
        """Voids or expires a pending entry: its quote is free again."""
        self._release(entry, 0)
        entry.state = state
        self._entries.close(entry.number, state, reason)

    def post(
        self,
        entry: CallEntry,
        charge_base: int,
        terms: Terms,
        shares: Mapping[str, ShareSum],
        legs: Iterable[Leg],
    ) -> None:
        """Posts a pending entry: its quote is free again, its charge is spent and split over the shares."""
        self._release(entry, charge_base)
        entry.state = State.POSTED
        self._entries.post(entry.number, Kind.CALL, legs)
        if charge_base:
            account = self._changed(entry.account_idx)
            account.balance_base -= charge_base
            account.spent_base += charge_base
            for code, bps in terms.bps_by_code.items():
                share = self._sums.shares[code] = self._shares[code] = shares[code]
                share.add(bps, charge_base)

    def renew(self, entry: CallEntry, until_s: int) -> None:
        """Moves the end of a pending entry's lease."""
        self._entries.renew(entry.number, until_s)

    def record_call(self, entry: CallEntry, row: Values) -> None:
        """Keeps the usage of a finished call, and its receipt if it has one, given as `CALL_COLUMNS`."""
        self._calls[entry.number] = row

    def record_attempts(self, entry: CallEntry, attempts: Iterable[AttemptFacts]) -> None:
        """Keeps the tries that a call took."""
        for position, attempt in enumerate(attempts):
            self._rows[ATTEMPT].append((entry.number, position, *attempt))

    def record_answer(self, entry: CallEntry, answer: StoredAnswer) -> None:
        """Keeps an answer for replays."""
        self._answers[entry.number] = answer
        self._rows[ANSWER].append((entry.number, answer.status, answer.content_type, answer.body))

    def write(self) -> None:
        """Writes what was decided.

        Raises:
            Exception: the database refused it; nothing of it may be kept then.
        """
        self._sums.wrote(self._bulk.write(_WRITES, self._decided()))

    def write_alone(self, known: int, *, synced: bool) -> bool:
        """Writes and commits what was decided, if the database's version is `known`; False if it is not.

        Args:
            known: the version that was decided on.
            synced: as in `Bulk.write_alone`.

        Raises:
            Exception: as `write`; what then became of it is unknown.
        """
        version = self._bulk.write_alone(_WRITES, self._decided(), known, synced=synced)
        self._sums.wrote(version)
        return version is not None

    def _decided(self) -> tuple[list[Values], ...]:
        """Rows for `_WRITES`."""
        return (
            self._entries.opened,
            list(map(_budget_values, self._budgets.values())),
            list(map(_share_values, self._shares.values())),
            list(map(_changed_by_calls, self._accounts.values())),
            list(self._calls.values()),
            *self._rows.values(),
            *self._entries.closed,
        )

    def _release(self, entry: CallEntry, charge_base: int) -> None:
        self._sums.over(entry)
        account = self._changed(entry.account_idx)
        account.reserved_base -= entry.quote_base
        for code in entry.budgets:
            budget = self._changed_budget(code)
            budget.reserved_base -= entry.quote_base
            budget.spent_base += charge_base
        if account.deficit_base:
            self.released_in_deficit.append((account.idx, entry.id))

    def _changed(self, account_idx: int) -> AccountSums:
        account = self._accounts[account_idx] = self.account(account_idx)
        return account

    def _changed_budget(self, code: str) -> BudgetSums:
        budget = self._sums.budgets[code] = self._budgets[code] = self.budget(code)
        return budget
