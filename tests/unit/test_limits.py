"""Rate limits of keys: exact in one worker, close among several."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.books import Books, new_books

from router.people import models as models
from router.people.errors import RateLimited
from router.people.exchange import Exchange
from router.people.limits import Limiter, Passage, Rates


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admitted(limiter: Limiter, rates: Rates) -> Passage | None:
    try:
        return limiter.enter("key", rates)
    except RateLimited:
        return None


@given(st.integers(1, 5), st.lists(st.floats(0, 30), max_size=60))
def test_in_no_minute_more_requests_begin_than_allowed(limit: int, pauses: list[float]) -> None:
    clock = Clock()
    limiter = Limiter(clock)
    begun: list[float] = []
    for pause in pauses:
        clock.now += pause
        passage = admitted(limiter, Rates(requests_per_minute=limit))
        if passage is not None:
            begun.append(clock.now)
            passage.leave(5)
        recent = [at for at in begun if at > clock.now - 60]
        assert len(recent) <= limit
        if (
            passage is None
        ):  # and nobody is refused whose minute had room, but for the second that it is kept in
            assert len([at for at in begun if at >= clock.now - 62]) >= limit


@given(st.integers(1, 4), st.lists(st.booleans(), max_size=40))
def test_never_more_calls_at_one_time_than_allowed(limit: int, moves: list[bool]) -> None:
    limiter, running = Limiter(Clock()), []
    for enters in moves:
        if enters:
            passage = admitted(limiter, Rates(parallel=limit))
            assert (passage is None) == (len(running) >= limit)
            if passage is not None:
                running.append(passage)
        elif running:
            passage = running.pop()
            passage.leave(1)
            passage.leave(1)  # a second time changes nothing


def test_tokens_are_held_by_estimate_and_then_counted() -> None:
    clock = Clock()
    limiter, rates = Limiter(clock), Rates(tokens_per_minute=100)
    first = limiter.enter("key", rates)
    first.count(80)
    assert first.headers["x-ratelimit-remaining-tokens"] == "20"
    second = limiter.enter("key", rates)
    with pytest.raises(RateLimited) as refused:
        second.count(30)
    assert refused.value.retry_s == 61
    second.leave()
    first.leave(10)  # it was less than held
    third = limiter.enter("key", rates)
    third.count(90)
    third.leave(150)  # an answer may be longer than the limit: the next call waits
    with pytest.raises(RateLimited) as refused:
        limiter.enter("key", rates)
    assert (refused.value.what, refused.value.retry_s) == ("tokens", 61)
    clock.now += 61
    limiter.enter("key", rates)


def test_a_request_larger_than_the_limit_is_told_not_to_come_again() -> None:
    passage = Limiter(Clock()).enter("key", Rates(tokens_per_minute=100))
    with pytest.raises(RateLimited) as refused:
        passage.count(101)
    assert refused.value.retry_s is None


def test_retry_after_is_when_there_is_room() -> None:
    clock = Clock()
    limiter, rates = Limiter(clock), Rates(requests_per_minute=2)
    limiter.enter("key", rates)
    clock.now += 20
    limiter.enter("key", rates)
    clock.now += 5
    with pytest.raises(RateLimited) as refused:
        limiter.enter("key", rates)
    assert refused.value.retry_s == 36
    clock.now += 36
    limiter.enter("key", rates)


def test_a_key_without_limits_costs_nothing() -> None:
    passage = Limiter(Clock()).enter("key", Rates())
    passage.count(10**9)
    passage.leave(10**9)
    assert passage.headers == {}


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        yield books


async def test_workers_tell_one_another(books: Books) -> None:
    rates = Rates(requests_per_minute=10, parallel=3)
    clock = Clock()
    here, there = Limiter(clock), Limiter(clock)
    one, other = Exchange(books.ledger, here), Exchange(books.ledger, there)
    mine = [here.enter("key", rates) for _ in range(2)]
    await one.once()
    await other.once()
    there.enter("key", rates)
    with pytest.raises(RateLimited, match="parallel"):
        there.enter("key", rates)
    for passage in mine:
        passage.leave(7)
    await one.once()
    await other.once()
    for _ in range(7):
        there.enter("key", rates).leave()
    with pytest.raises(RateLimited, match="requests"):
        there.enter("key", rates)
    clock.now += 62
    await one.once()
    await other.once()
    await one.once()
    assert books.ledger.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM rate_use").scalar()) == 1
    for _ in range(2):  # one call of `there` still runs, and takes one of the three places
        here.enter("key", rates)
    with pytest.raises(RateLimited, match="parallel"):
        here.enter("key", rates)


async def test_exchanging_goes_on_until_it_is_stopped(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.people.exchange.EXCHANGE_S", 0.01)
    limiter = Limiter()
    limiter.enter("key", Rates(parallel=1))
    async with Exchange(books.ledger, limiter).running():
        for _ in range(500):
            await asyncio.sleep(0.01)
            rows = books.ledger.read(lambda c: c.exec_driver_sql("SELECT key_id FROM rate_use").all())
            if rows:
                break
    assert [tuple(row) for row in rows] == [("key",)]
