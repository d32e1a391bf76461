"""Whatever happens in whatever order: shares equal one floor of the total, and the books balance."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from support.books import LEASE_S, NOW_S, SIGNER, TERMS, facts, funded, owner, reservation
from support.databases import new_database

from router.db import open_database
from router.db_sessions import writing
from router.ledger import (
    Charge,
    EntryClosed,
    InsufficientFunds,
    Release,
    Terms,
    book_errors,
    chain,
    expire_lapsed,
    open_account,
    read,
    trial_balance,
)
from router.ledger.calls import run_call
from router.ledger.models import ACCOUNT

RICH_BASE = 10**15
bps = st.integers(0, 2500)
mostly_sqlite = st.sampled_from(("sqlite",) * 6 + ("postgresql",))  # its databases take longer to make


@settings(max_examples=30, deadline=None)
@given(
    dialect=mostly_sqlite,
    calls=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 10**6)), min_size=1, max_size=12),
    shares=st.tuples(bps, bps, bps),
    partner_bps=st.lists(bps, min_size=3, max_size=3),
)
def test_shares_are_one_floor_of_the_total(
    dialect: str,
    calls: list[tuple[int, int]],
    shares: tuple[int, int, int],
    partner_bps: list[int],
) -> None:
    with new_database(dialect) as url:
        engine = open_database(url)
        gross: Counter[int] = Counter()
        with writing(engine).begin() as connection:
            funded(connection, 1, RICH_BASE)
            connection.execute(ACCOUNT.update().values(ceiling_base=RICH_BASE))
            for partner, charge_base in calls:
                terms = Terms(partner, partner_bps[partner - 1], *shares)
                held = run_call(connection, reservation(1, charge_base))
                run_call(connection, Charge(held.entry_id, facts(charge_base), terms, SIGNER))
                gross[partner] += charge_base
            balances = trial_balance(connection).balances
        engine.dispose()
        total_base = gross.total()
        for code, share_bps in zip(("fee", "burn", "pool"), shares, strict=True):
            assert balances.get(code, 0) == total_base * share_bps // 10_000
        for partner, gross_base in gross.items():
            expected = gross_base * partner_bps[partner - 1] // 10_000
            assert balances.get(f"partner:{partner}", 0) == expected
        receivers = ("fee", "burn", "pool", "treasury", *(f"partner:{partner}" for partner in gross))
        assert sum(balances.get(code, 0) for code in receivers) == total_base
        assert balances["user:1"] == RICH_BASE - total_base


@settings(max_examples=30, deadline=None)
@given(
    dialect=mostly_sqlite,
    before=st.lists(st.integers(1, 10**6), min_size=1, max_size=6),
    after=st.lists(st.integers(1, 10**6), min_size=1, max_size=6),
    old_bps=bps,
    new_bps=bps,
)
def test_a_change_of_shares_is_never_retroactive(
    dialect: str, before: list[int], after: list[int], old_bps: int, new_bps: int
) -> None:
    assume(old_bps != new_bps)  # the same share is no change: it goes on being floored on one total
    with new_database(dialect) as url:
        engine = open_database(url)
        with writing(engine).begin() as connection:
            funded(connection, 1, RICH_BASE)
            connection.execute(ACCOUNT.update().values(ceiling_base=RICH_BASE))
            for partner_bps, charges in ((old_bps, before), (new_bps, after)):
                for charge_base in charges:
                    held = run_call(connection, reservation(1, charge_base))
                    terms = replace(TERMS, partner_bps=partner_bps)
                    run_call(connection, Charge(held.entry_id, facts(charge_base), terms, SIGNER))
            balances = trial_balance(connection).balances
            assert book_errors(connection) == []
        engine.dispose()
        expected = sum(before) * old_bps // 10_000 + sum(after) * new_bps // 10_000
        assert balances.get("partner:1", 0) == expected


class LedgerLife(RuleBasedStateMachine):
    """Random deposits, calls, voids, sweeps and withdrawals; after each step nothing contradicts anything."""

    dialect = "sqlite"
    held = Bundle("held")

    @initialize()
    def open(self) -> None:
        self.open_resources = contextlib.ExitStack()
        self.engine = open_database(self.open_resources.enter_context(new_database(self.dialect)))
        self.writer = writing(self.engine)
        self.step = 0
        self.now_s = NOW_S
        with self.writer.begin() as connection:
            for idx in (1, 2):
                open_account(connection, idx, owner(idx))

    def teardown(self) -> None:
        self.engine.dispose()
        self.open_resources.close()

    def reference(self) -> str:
        self.step += 1
        return f"step-{self.step}"

    @rule(idx=st.integers(1, 2), amount_base=st.integers(1, 5000), ceiling_base=st.integers(0, 3000))
    def deposit(self, idx: int, amount_base: int, ceiling_base: int) -> None:
        with self.writer.begin() as connection:
            chain.credit_deposit(connection, idx, amount_base, self.reference())
            raised = ACCOUNT.c.ceiling_base + ceiling_base
            connection.execute(ACCOUNT.update().where(ACCOUNT.c.idx == idx).values(ceiling_base=raised))

    @rule(target=held, idx=st.integers(1, 2), quote_base=st.integers(0, 3000))
    def reserve(self, idx: int, quote_base: int) -> str:
        with self.writer.begin() as connection:
            request = reservation(idx, quote_base, now_s=self.now_s)
            if quote_base > read.account_view(connection, idx).available_base:
                with pytest.raises(InsufficientFunds):
                    run_call(connection, request)
                return ""
            return run_call(connection, request).entry_id

    @rule(entry_id=held, actual_base=st.integers(0, 4000))
    def post(self, entry_id: str, actual_base: int) -> None:
        if entry_id:
            with self.writer.begin() as connection, contextlib.suppress(EntryClosed):
                charged = run_call(connection, Charge(entry_id, facts(actual_base), TERMS, SIGNER))
                assert not (charged.late and charged.charge_base)

    @rule(entry_id=consumes(held))
    def void(self, entry_id: str) -> None:
        if entry_id:
            with self.writer.begin() as connection, contextlib.suppress(EntryClosed):
                run_call(connection, Release(entry_id, "upstream error"))

    @rule(seconds=st.integers(-LEASE_S, 2 * LEASE_S))
    def let_time_pass_and_sweep(self, seconds: int) -> None:
        self.now_s += seconds  # clocks jump, backwards too
        with self.writer.begin() as connection:
            expire_lapsed(connection, self.now_s)

    @rule(idx=st.integers(1, 2), amount_base=st.integers(1, 5000))
    def request_withdrawal(self, idx: int, amount_base: int) -> None:
        with self.writer.begin() as connection:
            if not read.account_view(connection, idx).withdraw_requested_base:
                chain.request_withdrawal(connection, idx, amount_base, self.reference())

    @invariant()
    def books_balance(self) -> None:
        with self.engine.begin() as connection:
            assert book_errors(connection) == []
            for account in read.accounts(connection):
                assert account.balance_base >= account.reserved_base >= 0
                assert account.spent_base + account.reserved_base <= account.ceiling_base


class LedgerLifeOnPostgresql(LedgerLife):
    """The same on the other database."""

    dialect = "postgresql"


LedgerLife.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
LedgerLifeOnPostgresql.TestCase.settings = settings(max_examples=4, stateful_step_count=25, deadline=None)
TestLedgerLife = LedgerLife.TestCase
TestLedgerLifeOnPostgresql = LedgerLifeOnPostgresql.TestCase
