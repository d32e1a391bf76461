"""Balance by latency: who cannot be measured is not in the way of every call."""

from __future__ import annotations

import asyncio

import pytest
from support.routing import Bench, config, request

from mini_llm.errors import UpstreamRefused
from mini_llm.routing.plan import Candidate

UNSUITED = UpstreamRefused("p", 400, "not supported", code="model_not_supported")


def bench() -> Bench:
    made = Bench(config("a", "b", balance="latency", latency_decay_s=60, retry={"retries": 0}))
    made.health("b").whole.measured(made.clock(), 0.1)
    return made


@pytest.mark.parametrize("error", [UNSUITED, UpstreamRefused("p", 500), UpstreamRefused("p", 404)])
async def test_one_that_never_answers_is_tried_once_in_a_while(error: UpstreamRefused) -> None:
    made = bench()
    made.answers["a"] = [error]
    for _ in range(30):
        assert (await made.attempt()).result == "b"
        made.clock.now_s += 1
    assert made.asked.count("a") == 1
    made.clock.now_s += 31
    assert [(await made.attempt()).result for _ in range(3)] == ["b"] * 3
    assert made.asked.count("a") == 2


async def test_one_that_was_stopped_before_it_answered_is_not_asked_first_again() -> None:
    made = bench()

    async def hangs(candidate: Candidate) -> str:
        await asyncio.sleep(60)
        return candidate.deployment.id

    task = asyncio.ensure_future(made.routes.attempt(await made.plan(), hangs, []))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await made.names() == ["b", "a"]


async def test_request_that_is_at_fault_itself_says_nothing_about_the_deployment() -> None:
    made = bench()
    made.answers["a"] = [UpstreamRefused("p", 400, "messages: must alternate"), None]
    with pytest.raises(UpstreamRefused):
        await made.attempt()
    assert (await made.attempt()).result == "a"


async def test_streams_and_whole_answers_are_tried_apart() -> None:
    made = bench()
    made.health("b").first.measured(made.clock(), 0.1)
    made.answers["a"] = [UNSUITED]
    plan = await made.routes.plan(request(stream=True))
    await made.attempt(plan)
    assert await made.names(stream=True) == ["b", "a"]
    assert await made.names() == ["a", "b"]
