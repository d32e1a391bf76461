"""Whatever the chain drops and brings back: the ledger says what the surviving chain alone says.

Calls are not the chain's: their charges stay. So what an account has is its leaf and its pending deposits,
less the charges that no batch has settled; below zero it is a deficit, which the dropped deposits explain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from support.books import SIGNER, TERMS, facts, reservation
from support.chain_model import Event, ModelChain
from support.databases import new_database

from router.db import open_database
from router.db_sessions import writing
from router.ledger import (
    AccountView,
    Charge,
    LedgerError,
    Release,
    Reserved,
    batches,
    book_errors,
    read,
    trial_balance,
)
from router.ledger.calls import run_call
from router.ledger.models import ACCOUNT, Kind

INDICES = (1, 2)
RICH_BASE = 10**12
STEPS = (
    *("open", "deposit", "deposit", "call", "call", "hold", "end", "settle", "settle"),
    *("request", "announce", "cancel", "withdraw", "freeze", "exit", "rewind", "rewind", "replay", "replay"),
)
BEGINNING = (("open", 1, 1), ("deposit", 1, 100), ("open", 2, 1))
RELEASING = (Kind.ACCOUNT, Kind.FREEZE)  # they end running calls, and dropped they do not start them again
steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.sampled_from(INDICES), st.integers(1, 100)), min_size=8, max_size=40
)


class World:
    """A ledger beside the model chain that it follows."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.chain = connection, ModelChain()
        self.spent: Counter[int] = Counter()
        self.held: list[tuple[int, str]] = []
        self.dropped: list[Event] = []

    def step(self, name: str, idx: int, amount: int) -> None:
        connection, chain = self.connection, self.chain
        self.allow_spending()
        if name not in ("replay", "call", "hold", "end"):
            self.dropped = []  # another history goes on from here
        match name:
            case "open":
                rows = {view.idx: view.owner for view in read.accounts(connection)}
                wallet = idx if amount % 4 else 10 + idx
                chain.open(connection, idx, wallet, self.spent[idx], rows.get(idx))
            case "deposit":
                chain.deposit(connection, idx, amount)
            case "request":
                chain.request_withdrawal(connection, idx, amount)
            case "announce":
                chain.announce_cancel(connection, idx)
            case "cancel":
                chain.cancel(connection, idx)
            case "withdraw":
                chain.withdraw(connection, idx)
            case "freeze":
                chain.freeze(connection, idx, self.spent[idx])
            case "exit":
                chain.exit(connection, idx)
            case "settle":
                chain.settle(connection, self.charges(), amount)
            case "rewind":
                self.dropped = chain.rewind(connection, 1 + amount % 9)
            case "replay":
                self.replay(1 + amount % 4)
            case _:
                self.call(name, idx, amount)

    def replay(self, count: int) -> None:
        """The first of the dropped events come back, each in its place, if the calls since allow."""
        back, self.dropped = self.dropped[:count], self.dropped[count:]
        for event in back:
            if event.kind in RELEASING:  # what they write off depends on the charges since
                self.dropped = []
                return
            self.chain.add(self.connection, event)

    def call(self, name: str, idx: int, amount: int) -> None:
        if name == "end":
            if self.held:
                self.end(*self.held.pop(), amount)
            return
        try:
            held = run_call(self.connection, reservation(idx, amount // 2))
        except LedgerError:
            return
        assert isinstance(held, Reserved)
        if name == "hold":
            self.held.append((idx, held.entry_id))
        else:
            self.end(idx, held.entry_id, amount)

    def end(self, idx: int, entry_id: str, amount: int) -> None:
        if amount % 5:
            self.spent[idx] += run_call(
                self.connection, Charge(entry_id, facts(amount // 3), TERMS, SIGNER)
            ).charge_base
        else:
            run_call(self.connection, Release(entry_id, "upstream error"))

    def charges(self) -> dict[int, int]:
        """What the next batch settles: the charges that leaf and pending deposits cover."""
        found = {}
        for view in read.accounts(self.connection):
            account = self.chain.model.accounts.get(view.idx)
            if account is not None and account.status == "open" and account.key:
                covered = min(account.leaf + account.pending, view.unsettled_base)
                found[view.idx] = read.chargeable_base(
                    self.connection, view.idx, view.settled_spent_base, covered
                )
        return found

    def allow_spending(self) -> None:
        """A ceiling that is never in the way; signing one takes long."""
        self.connection.execute(ACCOUNT.update().values(ceiling_base=RICH_BASE))

    def facts(self) -> tuple[list[AccountView], dict[str, int]]:
        """Accounts, and what is not 0 of their money."""
        self.allow_spending()
        balances = trial_balance(self.connection).balances
        return read.accounts(self.connection), {code: base for code, base in balances.items() if base}

    def check(self) -> None:
        """The ledger and the surviving chain say the same, and the books balance."""
        self.check_batches()
        assert book_errors(self.connection) == []
        balances = Counter(trial_balance(self.connection).balances)
        accounts = self.chain.model.accounts
        for view in read.accounts(self.connection):
            expected = accounts.get(view.idx)
            assert view.spent_base == self.spent[view.idx]
            if expected is None:
                assert (view.status, view.settled_spent_base, view.written_off_base) == ("dropped", 0, 0)
                assert (view.pending_deposit_base, view.withdraw_requested_base) == (0, 0)
                has_base = -view.spent_base
            else:
                assert (view.owner, view.status) == (expected.owner, expected.status)
                assert view.pending_deposit_base == expected.pending
                assert view.cancelling_base == expected.cancelling
                assert view.withdraw_requested_base == expected.withdrawal
                assert view.settled_spent_base == expected.settled
                assert view.written_off_base == expected.written_off
                assert balances[f"withdrawable:{view.idx}"] == expected.withdrawable
                has_base = expected.leaf + expected.pending - view.unsettled_base
            assert view.balance_base - view.deficit_base == has_base
            assert view.deficit_base == max(0, view.reserved_base - has_base)
        assert balances["custody"] == -self.chain.model.tokens
        assert balances["loss"] == -sum(account.written_off for account in accounts.values())
        deficits = {view.idx: view.deficit_base for view in read.accounts(self.connection)}
        assert read.deficits(self.connection) == {idx: base for idx, base in deficits.items() if base}

    def check_batches(self) -> None:
        """What people see of batches is what the surviving chain settled, and each receipt finds its own."""
        settled = self.chain.model.batches
        found = batches.batches(self.connection, limit=1_000)
        assert [one.number for one in reversed(found)] == [one.number for one in settled]
        spent, paid_by = Counter[int](), dict[tuple[int, int], int]()
        for batch in settled:
            slots = batches.slots(self.connection, batch.number)
            assert [(one.account_idx, one.charge_base) for one in slots] == [
                (slot.idx, slot.charge) for slot in batch.slots
            ]
            for slot in batch.slots:
                for total_base in range(spent[slot.idx] + 1, spent[slot.idx] + slot.charge + 1):
                    paid_by[slot.idx, total_base] = batch.number
                spent[slot.idx] += slot.charge
        if found:
            assert found[0].settled_total_base == sum(spent.values())
            assert found[0].burned_total_base == sum(batch.burned_base for batch in settled)
        for signed in read.iter_receipts(self.connection):
            account, total_base = signed.receipt.account, signed.receipt.account_total_base
            view = batches.batch_of_total(self.connection, account, total_base)
            assert (None if view is None else view.number) == paid_by.get((account, total_base))


@contextmanager
def fresh_world(dialect: str) -> Iterator[World]:
    """A world with an empty ledger."""
    with new_database(dialect) as url:
        engine = open_database(url)
        try:
            with writing(engine).begin() as connection:
                yield World(connection)
        finally:
            engine.dispose()


@settings(max_examples=40)
@given(dialect=st.sampled_from(("sqlite",) * 9 + ("postgresql",)), steps=steps)
def test_the_ledger_says_what_the_surviving_chain_says(
    dialect: str, steps: list[tuple[str, int, int]]
) -> None:
    with fresh_world(dialect) as world:
        for step in (*BEGINNING, *steps):
            world.step(*step)
            world.check()


@settings(max_examples=15)
@given(steps=steps)
def test_what_is_dropped_and_read_again_changes_nothing(steps: list[tuple[str, int, int]]) -> None:
    """The same blocks, back as they were, give the very same accounts and balances."""
    with fresh_world("sqlite") as world:
        for step in (*BEGINNING, *steps):
            world.step(*step)
        before = world.facts()
        count = 0
        for event in reversed(world.chain.events):
            if event.kind in RELEASING or count == 7:
                break
            count += 1
        for event in world.chain.rewind(world.connection, count):
            world.chain.add(world.connection, event)
        assert world.facts() == before
