"""Money under concurrent spending, replays, crashes, lapsed leases and a clock that jumps.

Each step is one commit, as in the router. A crash is a worker that forgets what it holds between two of them:
its reservation is neither charged nor voided, until a lease lapses. The clock jumps both ways.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from sqlalchemy import Engine
from support.books import NOW_S, SIGNER, TERMS, Books, facts, reservation
from support.databases import new_database

from router.db import open_database
from router.ledger import (
    Budget,
    Charge,
    EntryClosed,
    IdempotencyMismatch,
    InFlight,
    Ledger,
    LedgerError,
    PostedCharge,
    Release,
    Renewal,
    Replay,
    Reserved,
    book_errors,
    expire_lapsed,
    tiers,
)

FUNDS_BASE = 10_000
BUDGET = Budget("promo:1", 3_000)
SPONSOR = 9


class Money(RuleBasedStateMachine):
    """Two workers on one database, users 1 and 2, and a sponsor whose credit user 1 may spend."""

    dialect = "sqlite"
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.now_s, self.charged = NOW_S, dict[str, int]()
        self.stack = ExitStack()

    @initialize()
    def open(self) -> None:
        self.url = self.stack.enter_context(new_database(self.dialect))
        self.engines: list[Engine] = [open_database(self.url) for _ in range(2)]
        self.workers = [self.stack.enter_context(Ledger(engine)) for engine in self.engines]
        for idx in (1, 2, SPONSOR):
            Books(self.workers[0]).fund(idx, FUNDS_BASE)

    def teardown(self) -> None:
        self.stack.close()
        for engine in getattr(self, "engines", []):
            engine.dispose()

    @rule(
        target=held,
        worker=st.integers(0, 1),
        idx=st.integers(1, 2),
        quote_base=st.integers(0, FUNDS_BASE),
        key=st.sampled_from((None, None, "a", "b")),
        promoted=st.booleans(),
    )
    def reserve(self, worker: int, idx: int, quote_base: int, key: str | None, promoted: bool) -> object:
        asked = reservation(idx, quote_base, key, now_s=self.now_s)
        if promoted and idx == 1:
            asked = replace(asked, account_idx=SPONSOR, user_idx=1, origin_idx=1, budgets=(BUDGET,))
        try:
            got = self.workers[worker].run(asked)
        except (InFlight, IdempotencyMismatch):
            return multiple()
        except LedgerError:
            return multiple()
        if isinstance(got, Replay):
            assert got.charge_base == self.charged[got.entry_id]
            return multiple()
        assert got.entry_id not in self.charged
        return got

    @rule(call=held, worker=st.integers(0, 1), actual_base=st.integers(0, 2 * FUNDS_BASE))
    def charge(self, call: Reserved, worker: int, actual_base: int) -> None:
        """Also again after a lost answer, by another worker, and after a lapse: one outcome for ever."""
        try:
            posted: PostedCharge = self.workers[worker].run(
                Charge(call.entry_id, facts(actual_base, time_s=self.now_s), TERMS, SIGNER)
            )
        except EntryClosed:  # voided
            return
        assert posted.charge_base <= call.quote_base
        first = self.charged.setdefault(call.entry_id, posted.charge_base)
        assert posted.charge_base == first

    @rule(call=consumes(held), worker=st.integers(0, 1))
    def give_back(self, call: Reserved, worker: int) -> None:
        try:
            self.workers[worker].run(Release(call.entry_id, "ProviderError"))
        except EntryClosed:
            assert call.entry_id in self.charged

    @rule(call=consumes(held))
    def crash(self, call: Reserved) -> None:
        """The worker is gone: nobody will finish this call."""

    @rule(call=held)
    def renew_lease(self, call: Reserved) -> None:
        with suppress(EntryClosed):
            self.workers[0].run(Renewal(call.entry_id, self.now_s + 60))

    @rule(seconds=st.sampled_from((-(10**6), -61, 1, 30, 61, 10**6)))
    def clock_jumps(self, seconds: int) -> None:
        self.now_s += seconds

    @rule(worker=st.integers(0, 1))
    def sweep(self, worker: int) -> None:
        self.workers[worker].run(lambda c: expire_lapsed(c, self.now_s))

    @invariant()
    def money_is_right(self) -> None:
        if not hasattr(self, "workers"):
            return
        ledger = self.workers[0]
        books = Books(ledger)
        assert ledger.read(book_errors) == []
        views = [books.account(idx) for idx in (1, 2, SPONSOR)]
        assert sum(view.spent_base for view in views) == sum(self.charged.values())
        for view in views:
            assert 0 <= view.reserved_base <= view.balance_base
            assert view.spent_base + view.balance_base == FUNDS_BASE
        credit = ledger.read(lambda c: tiers.promo_view(c, 1))
        assert credit.spent_base + credit.reserved_base <= BUDGET.limit_base
        assert credit.spent_base == views[2].spent_base


class MoneyOnPostgresql(Money):
    """The same, on the other database."""

    dialect = "postgresql"


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestMoneyOnPostgresql = MoneyOnPostgresql.TestCase
TestMoneyOnPostgresql.settings = settings(max_examples=3, stateful_step_count=25, deadline=None)
