"""Hedging: the second is asked when the first is slow, and only one answer is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.routing import Bench, config

from mini_llm.answer import StreamEvent
from mini_llm.errors import UpstreamRefused
from mini_llm.providers.base import UpstreamStream
from mini_llm.routing.hedge import race
from mini_llm.routing.plan import Attempt, Candidate, Outcome


class Race:
    """Candidates that answer when the test says so."""

    def __init__(self, hedge: dict[str, Any], auto: list[dict[str, Any]] | None = None) -> None:
        if auto is None:
            route = {"groups": [["a"], ["b"]], "hedge": hedge}
            settings = config("a", "b", routes={"m": route}, retry={"retries": 0})
        else:
            settings = config(deployments=auto, auto={"hedge": hedge}, retry={"retries": 0})
        self.bench = Bench(settings)
        self.answers = {one.id: asyncio.Event() for one in settings.deployments}
        self.errors: dict[str, Exception] = {}
        self.asked = {name: asyncio.Event() for name in self.answers}
        self.cancelled: list[str] = []

    async def call(self, candidate: Candidate) -> str:
        name = candidate.deployment.id
        self.asked[name].set()
        try:
            await self.answers[name].wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if name in self.errors:
            raise self.errors[name]
        return name

    async def start(self, **fields: Any) -> asyncio.Task[Outcome[str]]:
        self.attempts: list[Attempt] = []
        plan = await self.bench.plan(**fields)
        return asyncio.ensure_future(self.bench.routes.attempt(plan, self.call, self.attempts))


async def test_second_overtakes_and_the_first_is_stopped_and_listed() -> None:
    race = Race({"delay_s": 0.01})
    running = await race.start()
    await race.asked["b"].wait()
    race.answers["b"].set()
    outcome = await running
    assert outcome.result == "b"
    assert race.cancelled == ["a"]
    assert [(one.deployment, one.outcome) for one in outcome.attempts] == [("a", "Hedged")]
    assert [race.bench.health(name).in_flight for name in "ab"] == [0, 0]


async def test_first_that_answers_in_time_is_alone() -> None:
    race = Race({"delay_s": 60})
    race.answers["a"].set()
    outcome = await (await race.start())
    assert (outcome.result, outcome.attempts) == ("a", ())
    assert not race.asked["b"].is_set()


async def test_first_that_answers_late_still_wins() -> None:
    race = Race({"delay_s": 0.01})
    running = await race.start()
    await race.asked["a"].wait()
    race.bench.clock.now_s += 3
    await race.asked["b"].wait()
    race.bench.clock.now_s += 2
    race.answers["a"].set()
    outcome = await running
    assert outcome.result == "a"
    assert [(one.deployment, one.outcome, one.ms) for one in outcome.attempts] == [("b", "Hedged", 2000)]


async def test_failure_of_one_waits_for_the_other() -> None:
    race = Race({"delay_s": 0.01})
    race.errors["a"] = UpstreamRefused("p", 500)
    running = await race.start()
    await race.asked["b"].wait()
    race.answers["a"].set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done()
    race.answers["b"].set()
    outcome = await running
    assert outcome.result == "b"
    assert [(one.deployment, one.outcome) for one in outcome.attempts] == [("a", "UpstreamRefused")]


async def test_failure_before_the_delay_falls_back_as_ever() -> None:
    race = Race({"delay_s": 60})
    race.errors["a"] = UpstreamRefused("p", 404)
    race.answers["a"].set()
    race.answers["b"].set()
    assert (await (await race.start())).result == "b"


async def test_both_failing_is_told() -> None:
    race = Race({"delay_s": 0.01})
    race.errors = {"a": UpstreamRefused("p", 404), "b": UpstreamRefused("p", 503)}
    running = await race.start()
    await race.asked["b"].wait()
    for event in race.answers.values():
        event.set()
    with pytest.raises(UpstreamRefused):
        await running
    assert sorted(one.deployment for one in race.attempts) == ["a", "b"]


async def test_cancelling_the_call_stops_both() -> None:
    race = Race({"delay_s": 0.01})
    running = await race.start()
    await race.asked["b"].wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sorted(race.cancelled) == ["a", "b"]


class Late(UpstreamStream):
    closed = False

    async def next_batch(self) -> list[StreamEvent]:
        return []

    async def aclose(self) -> None:
        self.closed = True


async def test_stream_that_was_opened_too_late_is_closed() -> None:
    race, late = Race({"delay_s": 0.01}), Late()

    async def call(candidate: Candidate) -> Any:
        if candidate.deployment.id == "b":
            return "b"
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:  # its stream came in the same moment
            return late

    outcome = await race.bench.routes.attempt(await race.bench.plan(), call, [])
    assert outcome.result == "b"
    assert late.closed


async def test_cancelling_the_call_while_the_loser_stops_closes_what_was_won() -> None:
    bench, won, stopping = Bench(config("a", "b")), Late(), asyncio.Event()

    async def ask(candidate: Candidate) -> Late:
        if candidate.deployment.id == "b":
            return won
        try:
            await asyncio.Event().wait()
        finally:
            stopping.set()
            await asyncio.sleep(0.01)
        return Late()

    runners = sorted((await bench.plan()).candidates, key=lambda one: one.deployment.id)
    running = asyncio.ensure_future(race(runners, 0.0, ask))
    await stopping.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert won.closed


async def test_percentile_needs_a_past() -> None:
    race = Race({"percentile": 95})
    running = await race.start()
    await race.asked["a"].wait()
    for _ in range(20):
        race.bench.health("a").whole.measured(0, 0.001)
    assert not race.asked["b"].is_set()
    race.answers["a"].set()
    await running
    race.answers["a"].clear()
    running = await race.start()
    await race.asked["b"].wait()
    race.answers["b"].set()
    assert (await running).result == "b"


async def test_a_call_that_is_given_up_lists_who_was_running() -> None:
    race = Race({"delay_s": 0.01})
    running = await race.start()
    await race.asked["b"].wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted((one.deployment, one.outcome) for one in race.attempts) == [
        ("a", "Stopped"),
        ("b", "Stopped"),
    ]
    assert all(one.price is not None for one in race.attempts)


def priced(name: str, model: str, usd: str) -> dict[str, Any]:
    price = {"prompt_usd_per_mtok": usd, "completion_usd_per_mtok": usd}
    return {"id": name, "model": model, "provider": "p"} | price


MODELS = [
    priced("weak", "llama-3.2-1b", "0.02"),
    priced("near", "gpt-4o", "2.5"),
    priced("far", "gpt-4o", "5"),
]


async def test_model_that_was_left_to_us_is_hedged_by_the_next_that_is_good_enough() -> None:
    race = Race({"delay_s": 0.01}, MODELS)
    running = await race.start(model="auto:best")
    await race.asked["far"].wait()
    race.answers["far"].set()
    outcome = await running
    assert (outcome.result, race.cancelled) == ("far", ["near"])
    assert [(one.deployment, one.outcome) for one in outcome.attempts] == [("near", "Hedged")]
    assert not race.asked["weak"].is_set()


async def test_no_answer_below_the_quality_that_was_asked_for_overtakes_a_slow_one() -> None:
    race = Race({"delay_s": 0.01}, MODELS[:2])
    running = await race.start(model="auto:best")
    await race.asked["near"].wait()
    await asyncio.sleep(0.1)
    assert not race.asked["weak"].is_set()
    race.answers["near"].set()
    assert (await running).attempts == ()
