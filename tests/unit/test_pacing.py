"""Budgets of `auto` in the router: days of calls through several workers' gateways, on one ledger."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from support.books import Books, new_books
from support.databases import new_database
from support.paced import BEGINS_S, DAY, ENDS_S, NEXT_DAY, PROMPTS, Clock, Worker, config

from mini_llm.auto.pacer import Pacer, Spent
from router.ledger.call_models import BUDGET
from router.ledger.pacing import PACE, AutoBudget, Steps, bounds_s, join, pacers
from router.ledger.writer import Ledger

OWNER = "auto:key:k:day"
CALLS = 10_000
FEW = 800
PER_CALL_BASE = 120_000
"""Enough for the strong model in a quarter of the calls."""
TELL_S = 30
TOGETHER = 8
STRONG, WEAK = "p/gpt-4o", "p/llama-3.2-1b"
BUDGET_A = AutoBudget(OWNER, DAY, 1_000_000)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10**15)
        yield books


def spent_base(ledger: Ledger, code: str) -> int:
    query = select(BUDGET.c.spent_base).where(BUDGET.c.code == code)
    return ledger.read(lambda connection: connection.execute(query).scalar_one())


async def lived(
    url: str, period: str, calls: int, crashes: bool = False
) -> tuple[float, int, dict[str, list[float]]]:
    """What a day came to: the share of the budget that was spent, calls that were refused, and the predicted
    qualities that were got, by model. Calls come eight at a time, to either of two workers."""
    rng, clock, settings = random.Random(3), Clock(), config()
    workers = [Worker(url, clock, settings, seed) for seed in (1, 2)]
    budget = AutoBudget(OWNER, period, calls * PER_CALL_BASE)
    begins_s, ends_s = bounds_s(period)
    served: dict[str, list[float]] = {STRONG: [], WEAK: []}
    refused, told_s = 0, 0.0
    for number, when in enumerate(sorted(rng.random() for _ in range(calls // TOGETHER))):
        clock.now_s = begins_s + when * (ends_s - begins_s)
        if crashes and number == calls // TOGETHER // 2:  # what this one has not told is lost
            workers.pop().close()
            workers.append(Worker(url, clock, settings, 4))
        asked = (
            rng.choice(workers).call(budget, rng.choice(PROMPTS), max_tokens=800) for _ in range(TOGETHER)
        )
        for answer in await asyncio.gather(*asked):
            if answer is None:
                refused += 1
            else:
                quality = answer.headers["x-vibes-route"].partition("quality=")[2].partition(";")[0]
                served[answer.headers["x-vibes-deployment"]].append(float(quality))
        if clock.now_s - told_s >= TELL_S:
            told_s = clock.now_s
            for worker in workers:
                await worker.pacing.tell()
    for worker in workers:
        await worker.pacing.tell()
    spent = spent_base(workers[0].ledger, budget.limit.code) / budget.limit_base
    for worker in workers:
        worker.close()
    return spent, refused, served


async def test_ten_thousand_calls_spend_the_budget_and_no_more() -> None:
    with new_database("sqlite") as url:
        with new_books(url) as books:
            books.fund(1, 10**15)
        spent, refused, served = await lived(url, DAY, CALLS, crashes=True)
    assert 0.95 <= spent <= 1.0
    assert refused == 0
    assert len(served[STRONG]) > CALLS // 10  # quality gains from the money


async def test_the_second_day_knows_the_first(books: Books) -> None:
    url = url_of(books)
    first, missed, _ = await lived(url, DAY, FEW)  # the last ones may find no money left
    second, refused, _ = await lived(url, NEXT_DAY, FEW, crashes=True)
    assert 0.9 <= first <= 1.0  # with so few calls one is a good part of what is left
    assert 0.95 <= second <= 1.0
    assert refused == 0
    row = books.ledger.read(lambda connection: connection.execute(select(PACE)).one())
    assert (row.owner, row.period) == (OWNER, NEXT_DAY)
    assert missed < TOGETHER
    assert sum(json.loads(row.expected)) == FEW - missed
    assert FEW - 60 < sum(json.loads(row.calls)) <= FEW  # a crash loses what was not told


@pytest.mark.parametrize(
    ("period", "begins", "days"),
    [("2026-11-21", 1_795_219_200, 1), ("2026-12", 1_796_083_200, 31), ("2028-02", 1_832_976_000, 29)],
)
def test_periods(period: str, begins: int, days: int) -> None:
    assert bounds_s(period) == (begins, begins + days * 86_400)


def moved(spent: Spent, calls: int, at: int = 0, **more: Any) -> Spent:
    """The state after calls in one slice."""
    came = list(spent.calls)
    came[at] += calls
    return Spent(**(spent.fields() | {"calls": tuple(came)} | more))


def test_a_budget_that_began_late_expects_the_rest_of_the_day_to_be_as_busy(books: Books) -> None:
    noon_s, later = BEGINS_S + 43_200, AutoBudget(OWNER, NEXT_DAY, 500)

    def tell(now_s: int, budget: AutoBudget, calls: int, at: int) -> Pacer:
        def write(connection: Any) -> list[Pacer]:
            (known,) = pacers(connection, [budget], now_s)
            return join(
                connection, [Steps(budget, known.state, moved(known.state, calls, at, price=2e-6))], now_s
            )

        (pacer,) = books.ledger.run(write)
        return pacer

    assert tell(noon_s, BUDGET_A, 24, 12).plan.since_s == noon_s
    assert tell(noon_s + 7200, BUDGET_A, 24, 14).plan.since_s == noon_s
    (pacer,) = books.ledger.read(lambda connection: pacers(connection, [later], ENDS_S))
    assert pacer.plan.expected == (4,) * 12 + (24, 0, 24) + (0,) * 9
    assert (pacer.plan.budget_base, pacer.state.price, sum(pacer.state.calls)) == (500, 2e-6, 0)
    tell(ENDS_S, later, 1, 0)
    assert tell(ENDS_S, BUDGET_A, 7, 23).state.price == 2e-6  # of a day that is over nothing more is taken in
    (pacer,) = books.ledger.read(lambda connection: pacers(connection, [later], ENDS_S))
    assert sum(pacer.state.calls) == 1


async def test_workers_learn_of_each_other(books: Books) -> None:
    clock = Clock()
    one, other = (Worker(url_of(books), clock, config()) for _ in range(2))
    budget = AutoBudget(OWNER, DAY, 10_000_000)
    assert await one.call(budget, PROMPTS[0]) is not None
    assert await other.call(budget, PROMPTS[0]) is not None
    await one.pacing.tell()
    await other.pacing.tell()
    await other.call(budget, PROMPTS[0])
    found = await other.pacing.of(other.doors.principal)
    assert found is not None
    assert sum(found.purse.pacers[0].state.calls) == 3
    spent = spent_base(one.ledger, budget.limit.code)
    assert found.purse.pacers[0].state.spent_base == spent > 0
    await other.pacing.tell()
    await other.pacing.tell()  # nobody has called since, so it is forgotten
    assert not other.pacing._known
    again = await other.pacing.of(other.doors.principal)
    assert again is not None
    assert again.purse.pacers[0].state == found.purse.pacers[0].state
    for worker in (one, other):
        worker.close()


async def test_a_call_that_outlives_what_is_remembered_counts(books: Books) -> None:
    worker, budget = Worker(url_of(books), Clock(), config()), BUDGET_A
    await worker.call(budget, PROMPTS[0])
    held = await worker.pacing.of(worker.doors.principal)
    assert held is not None
    for _ in range(2):
        await worker.pacing.tell()
    worker.pacing.charged(held, 5)
    await worker.pacing.tell()
    row = books.ledger.read(lambda connection: connection.execute(select(PACE)).one())
    assert sum(json.loads(row.calls)) == 2
    worker.close()


async def test_what_could_not_be_told_is_told_later(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(url_of(books), Clock(), config())
    await worker.call(BUDGET_A, PROMPTS[0])
    with monkeypatch.context() as patch:
        patch.setattr("router.pacing.pacing.join", full)
        with pytest.raises(OSError, match="full"):
            await worker.pacing.tell()
    await worker.pacing.tell()
    row = books.ledger.read(lambda connection: connection.execute(select(PACE)).one())
    assert sum(json.loads(row.calls)) == 1
    worker.close()


def full(*_: object) -> None:
    raise OSError("full")


async def test_who_says_a_quality_gets_it_at_the_lowest_cost(books: Books) -> None:
    worker = Worker(url_of(books), Clock(), config())
    rich = AutoBudget(OWNER, DAY, 10**12)
    for _ in range(60):  # the price falls: there is money for the best in all calls
        last = await worker.call(rich, PROMPTS[2])
    assert last is not None
    assert last.headers["x-vibes-deployment"] == STRONG
    assert "the budget pays for it" in last.headers["x-vibes-route"]
    cheap = await worker.call(rich, PROMPTS[2], vibes_quality="cheap")
    assert cheap is not None
    assert cheap.headers["x-vibes-deployment"] == WEAK
    assert "budget" not in cheap.headers["x-vibes-route"]
    held = await worker.pacing.of(worker.doors.principal)
    assert held is not None
    assert sum(held.purse.pacers[0].state.calls) == 61
    worker.close()


async def test_the_operator_has_a_budget_of_its_own(books: Books) -> None:
    worker = Worker(url_of(books), Clock(), config(budget={"day_usd": "0.1", "month_usd": "1"}))
    answer = await worker.call(None, PROMPTS[0])
    assert answer is not None
    held = await worker.pacing.of(worker.doors.principal)
    assert held is not None
    assert [(one.limit.code, one.limit_base) for one, _ in held.held] == [
        ("auto:operator:day:2026-11-21", 10_000_000),
        ("auto:operator:month:2026-11", 100_000_000),
    ]
    assert worker.pacing.operators_left() == 1
    charged_base = int(answer.headers["x-vibes-charge-base"])
    assert spent_base(worker.ledger, "auto:operator:month:2026-11") == charged_base > 0
    worker.close()
    free = Worker(url_of(books), Clock(), config())
    await free.call(BUDGET_A, PROMPTS[0])
    assert free.pacing.operators_left() is None
    free.close()
    poor = Worker(url_of(books), Clock(), config(budget={"day_usd": "0.000001"}))
    assert await poor.call(None, PROMPTS[0]) is None
    poor.close()


@pytest.mark.parametrize("usd", ["0", "-1", "much"])
def test_an_operators_budget_is_an_amount(usd: str) -> None:
    with pytest.raises(ValueError, match="day_usd"):
        config(budget={"day_usd": usd})


def url_of(books: Books) -> str:
    return str(books.ledger.engine.url.render_as_string(hide_password=False))
