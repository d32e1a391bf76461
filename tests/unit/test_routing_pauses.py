"""Waiting: as long as a provider asks, where an operator sees it, and never where it helps nobody."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from support.routing import Bench, config

from mini_llm.errors import NoneCanServe, UpstreamRefused
from mini_llm.routing.plan import Candidate
from router.observe.exposition import render
from router.observe.gauges import Gauges
from router.observe.metrics import Metrics
from router.web.operator.alerts import _of_worker
from router.web.operator.figures import PAUSED, SERVES, deployment_state

TWENTY = {"retries": 20, "patience_s": 3600, "deadline_s": 3600}


def refused(status: int, after: float | None = None) -> UpstreamRefused:
    return UpstreamRefused("p", status, retry_after=after)


async def asked_again_after(made: Bench, after: float) -> float:
    """For how long a deployment is left alone whose provider says so."""
    made.answers["a"] = [refused(429, after), None]
    began_s = made.clock.now_s
    with pytest.raises(UpstreamRefused):
        await made.attempt()
    with pytest.raises(NoneCanServe) as told:
        await made.attempt()
    made.clock.now_s += told.value.retry_after_s or 0.0
    assert (await made.attempt()).result == "a"
    return made.clock.now_s - began_s


@pytest.mark.parametrize("breaker", [{}, {"open_s": 1, "max_open_s": 2, "refused_key_s": 1}])
async def test_retry_after_is_heeded_however_long_a_breaker_may_stay_open(breaker: dict[str, Any]) -> None:
    assert await asked_again_after(Bench(config("a", breaker=breaker)), 3600) == 3600


async def test_operator_bounds_what_a_provider_may_ask_for() -> None:
    assert await asked_again_after(Bench(config("a", breaker={"max_wait_s": 600})), 3600) == 600
    assert await asked_again_after(Bench(config("a")), 10**9) == 86_400


async def test_long_pause_is_told_to_the_operator_once(caplog: pytest.LogCaptureFixture) -> None:
    made = Bench(config("a", "b", routes={"m": {"groups": [["a"], ["b"]]}}))
    health = made.health("a")
    made.answers["a"] = [refused(429, 7200)]

    async def slow(candidate: Candidate) -> str:
        await asyncio.sleep(0)
        return await made.call(candidate)

    with caplog.at_level(logging.WARNING):
        plan = await made.plan()
        await asyncio.gather(*(made.routes.attempt(plan, slow, []) for _ in range(3)))
    assert made.asked.count("a") == 3
    assert [record.getMessage()[:43] for record in caplog.records] == [
        "deployment a is not asked for 7200 s: its p",
    ]
    assert health.paused_s(made.clock.now_s) == 7200
    health.reset()
    assert health.paused_s(made.clock.now_s) == 0


async def test_everyday_pause_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    made = Bench(config("a"))
    made.answers["a"] = [refused(429, 4), None]
    with caplog.at_level(logging.WARNING):
        assert (await made.attempt()).result == "a"
    assert caplog.records == []


def test_operators_page_shows_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Bench(config("a"))
    one: Candidate = made.catalog.table.candidates["a"]
    monkeypatch.setattr("time.monotonic", made.clock)
    assert deployment_state(one) == SERVES
    one.health.wait(made.clock.now_s, 7200)
    assert deployment_state(one) == PAUSED
    worker: Any = SimpleNamespace(catalog=made.catalog)
    alert = next(_of_worker(worker, worker))
    assert (alert.tone, alert.what) == ("bad", "Providers want no calls for a while: a (2 hours).")


def test_metrics_show_a_pause() -> None:
    told = render(Metrics(), Gauges(True, 0, pauses={"a": 7200.0})).decode()
    assert 'vibes_deployment_paused_seconds{deployment="a"} 7200.0' in told


async def test_call_does_not_wait_for_an_open_breaker_before_it_asks_behind_it() -> None:
    made = Bench(config("a", "b", retry=TWENTY))
    for name in ("a", "b"):
        made.health(name).breaker.trip(made.clock(), 60)
    await made.attempt()
    assert (len(made.asked), made.clock.slept) == (1, [])


async def test_call_that_opened_the_breaker_does_not_wait_for_it() -> None:
    made = Bench(config("a", retry=TWENTY, breaker={"failures": 2, "open_s": 60}))
    made.answers["a"] = [refused(500)]
    with pytest.raises(UpstreamRefused):
        await made.attempt()
    assert (len(made.asked), len(made.clock.slept)) == (2, 1)


async def test_call_waits_for_a_breaker_that_will_admit_it() -> None:
    made = Bench(config("a", "b", retry={"base_s": 8, "max_s": 8}))
    made.answers["b"] = [refused(404)]
    plan = await made.plan()
    made.health("a").breaker.trip(made.clock(), 1e-6)
    assert (await made.attempt(plan)).result == "a"
    assert (made.asked, len(made.clock.slept)) == (["b", "a"], 1)


async def test_busy_one_is_waited_for() -> None:
    made = Bench(config("a", "b", deployment={"max_parallel": 1}))
    plan = await made.plan()
    eras = {name: made.health(name).begin(0.0) for name in ("a", "b")}

    async def ends(seconds: float) -> None:
        made.clock.now_s += seconds
        for name, era in eras.items():
            made.health(name).gave_up(era)

    object.__setattr__(made.routes._tools, "sleep", ends)
    assert (await made.attempt(plan)).result in ("a", "b")
