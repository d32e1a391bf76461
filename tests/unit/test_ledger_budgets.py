"""Spending limits: what counts against them, when it comes back, and callers that race for the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update
from support.books import LEASE_S, NOW_S, Books, new_books, reservation

from router.db_sessions import writing
from router.ledger import (
    AttemptFacts,
    Budget,
    BudgetExceeded,
    InsufficientFunds,
    Release,
    Reserved,
    book_errors,
    expire_lapsed,
)
from router.ledger.call_models import ATTEMPT, BUDGET

DAY = Budget("key:ab12:day:2026-11-21", 1000)
MONTH = Budget("team:7:month:2026-11", 1500)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 100_000)
        yield books


def limited(quote_base: int, *budgets: Budget, key: str | None = None) -> object:
    return replace(reservation(1, quote_base, key), budgets=budgets, key_id="ab12", user_idx=9)


def hold(books: Books, quote_base: int, *budgets: Budget, key: str | None = None) -> Reserved:
    held = books.ledger.run(limited(quote_base, *budgets, key=key))  # type: ignore[call-overload]
    assert isinstance(held, Reserved)
    return held


def sums(books: Books) -> dict[str, tuple[int, int]]:
    rows = books.ledger.read(lambda c: c.execute(BUDGET.select()).all())
    return {row.code: (row.reserved_base, row.spent_base) for row in rows}


def test_a_budget_follows_the_call_from_quote_to_charge(books: Books) -> None:
    held = hold(books, 600, DAY, MONTH)
    assert sums(books) == {DAY.code: (600, 0), MONTH.code: (600, 0)}
    books.check()
    books.post(held.entry_id, 250)
    assert sums(books) == {DAY.code: (0, 250), MONTH.code: (0, 250)}


def test_what_does_not_fit_is_refused_with_the_budget_that_is_short(books: Books) -> None:
    hold(books, 900, DAY, MONTH)
    with pytest.raises(BudgetExceeded) as caught:
        hold(books, 101, DAY, MONTH)
    error = caught.value
    assert (error.code, error.limit_base, error.left_base, error.needed_base) == (DAY.code, 1000, 100, 101)
    with pytest.raises(BudgetExceeded) as caught:
        hold(books, 601, MONTH)
    assert caught.value.code == MONTH.code
    assert sums(books)[MONTH.code] == (900, 0)
    hold(books, 100, DAY, MONTH)


def test_a_refusal_for_want_of_money_touches_no_budget(books: Books) -> None:
    with pytest.raises(InsufficientFunds):
        hold(books, 100_001, Budget("rich", 10**9))
    assert sums(books) == {}


def test_a_budget_that_was_lowered_below_its_sums_has_nothing_left(books: Books) -> None:
    hold(books, 900, DAY)
    with pytest.raises(BudgetExceeded) as caught:
        hold(books, 1, replace(DAY, limit_base=10))
    assert caught.value.left_base == 0


def test_a_budget_named_twice_counts_once(books: Books) -> None:
    hold(books, 600, DAY, DAY)
    assert sums(books) == {DAY.code: (600, 0)}


@pytest.mark.parametrize("end", ["voided", "expired"])
def test_a_call_that_came_to_nothing_gives_back(books: Books, end: str) -> None:
    held = hold(books, 600, DAY)
    if end == "voided":
        books.ledger.run(Release(held.entry_id, "upstream 503"))
    else:
        books.ledger.run(lambda c: expire_lapsed(c, NOW_S + LEASE_S + 1))
        assert books.post(held.entry_id, 600).late
    assert sums(books) == {DAY.code: (0, 0)}


def test_a_replayed_call_counts_once(books: Books) -> None:
    books.post(hold(books, 600, DAY, key="key").entry_id, 600)
    books.ledger.run(limited(600, DAY, key="key"))  # type: ignore[call-overload]
    assert sums(books) == {DAY.code: (0, 600)}


async def test_of_racing_callers_those_that_fit_are_served(books: Books) -> None:
    async def caller() -> str:
        try:
            held = await books.ledger.reserve(limited(100, DAY))  # type: ignore[arg-type]
        except BudgetExceeded:
            return "refused"
        await asyncio.sleep(0.002)
        assert isinstance(held, Reserved)
        await asyncio.to_thread(books.post, held.entry_id, 100)
        return "served"

    assert Counter(await asyncio.gather(*(caller() for _ in range(60)))) == {"served": 10, "refused": 50}
    assert sums(books) == {DAY.code: (0, 1000)}


@pytest.mark.parametrize("column", ["reserved_base", "spent_base"])
def test_a_budget_that_contradicts_its_calls_is_found(books: Books, column: str) -> None:
    books.post(hold(books, 600, DAY).entry_id, 100)
    hold(books, 50, DAY)
    for value, found in ((7, 1), ({"reserved_base": 50, "spent_base": 100}[column], 0)):
        with writing(books.ledger.engine).begin() as connection:
            connection.execute(update(BUDGET).values({column: value}))
        assert len(books.ledger.read(book_errors)) == found


def test_tries_of_a_call_are_kept_whether_it_was_charged_or_not(books: Books) -> None:
    failed = AttemptFacts("east/x", "UpstreamTimeout", 3000, 12)
    books.post(hold(books, 600).entry_id, 100, attempts=(failed, failed._replace(deployment="west/x")))
    books.ledger.run(Release(hold(books, 600).entry_id, "UpstreamTimeout", attempts=(failed,)))
    rows = books.ledger.read(lambda c: c.execute(ATTEMPT.select().order_by(*ATTEMPT.primary_key)).all())
    assert [(row.position, row.deployment, row.ms, row.cost_base) for row in rows] == [
        (0, "east/x", 3000, 12),
        (1, "west/x", 3000, 12),
        (0, "east/x", 3000, 12),
    ]
