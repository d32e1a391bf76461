"""What happens when deployments fail: again, elsewhere, or told to the client."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.routing import Bench, config

from mini_llm.errors import (
    AnswerTooLarge,
    BadRequest,
    MiniLLMError,
    NoneCanServe,
    UnknownModel,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from mini_llm.price import Price, Usage
from mini_llm.routing.breaker import State
from mini_llm.routing.plan import Attempt
from mini_llm.routing.verdict import judge
from mini_llm.wallet.errors import CapReached, Overcharged, WalletError

PRICED = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
TWO = {"routes": {"m": {"groups": [["a"], ["b"]]}}}


def refused(status: int, detail: str = "", code: str | None = None, after: float | None = None) -> Any:
    return UpstreamRefused("p", status, detail, code=code, retry_after=after)


def two(**more: Any) -> Bench:
    return Bench(config("a", "b", **(TWO | more)))


@pytest.mark.parametrize(
    "error",
    [
        refused(400, "messages: must alternate"),
        refused(422),
        refused(413),
        refused(415),
    ],
)
async def test_clients_fault_goes_nowhere_else(error: MiniLLMError) -> None:
    bench = two()
    bench.answers["a"] = [error]
    with pytest.raises(UpstreamRefused) as told:
        await bench.attempt()
    assert told.value is error
    assert bench.asked == ["a"]
    assert bench.health("a").failures == 0


@pytest.mark.parametrize(
    ("error", "again", "blamed"),
    [
        (refused(400, "maximum context length is 8192 tokens"), False, False),
        (refused(400, code="context_length_exceeded"), False, False),
        (refused(400, "This model does not support tools"), False, False),
        (refused(401), False, False),
        (refused(403), False, True),
        (refused(403, "no access"), False, False),
        (refused(301), False, True),
        (refused(404), False, True),
        (refused(408), True, True),
        (refused(409), True, True),
        (refused(429, after=0.5), True, False),
        (refused(500), True, True),
        (refused(529), True, True),
        (refused(0), True, True),
        (UpstreamUnreachable("p", "refused"), True, True),
        (UpstreamTimeout("p", 1), False, True),
        (UpstreamProtocolError("p", "no JSON"), False, True),
        (UnknownModel("m", ()), False, False),
        (BadRequest("chat cannot say this"), False, False),
    ],
)
async def test_failure_falls_back(error: MiniLLMError, again: bool, blamed: bool) -> None:
    bench = two()
    bench.answers["a"] = [error]
    outcome = await bench.attempt()
    assert outcome.result == "b"
    assert bench.asked == (["a"] * 3 if again else ["a"]) + ["b"]
    assert bench.health("a").failures == (len(bench.asked) - 1 if blamed else 0)
    assert {one.outcome for one in outcome.attempts} == {type(error).__name__}
    assert [one.deployment for one in outcome.attempts] == bench.asked[:-1]


async def test_an_answer_that_is_too_large_is_asked_for_once_and_nobodys_fault() -> None:
    bench, attempts = two(deployment=PRICED), list[Attempt]()
    bench.answers["a"] = [AnswerTooLarge("p", 9)]
    with pytest.raises(AnswerTooLarge):
        await bench.routes.attempt(await bench.plan(), bench.call, attempts)
    assert (bench.asked, bench.health("a").failures) == (["a"], 0)
    assert attempts[0].billed_base(Usage(10, 20)) == 10 * 1000 + 20 * 2000


@pytest.mark.parametrize(
    ("error", "bills"),
    [
        (UpstreamTimeout("p", 1), True),
        (UpstreamProtocolError("p", "no JSON"), True),
        (refused(500), False),
        (UpstreamUnreachable("p", "refused"), False),
    ],
)
async def test_a_try_whose_provider_may_have_done_its_work_is_reckoned(
    error: MiniLLMError, bills: bool
) -> None:
    bench = two(deployment=PRICED)
    bench.answers["a"] = [error]
    first = (await bench.attempt()).attempts[0]
    assert (first.billed_base(Usage(10, 20)) > 0) is bills


async def test_group_is_asked_once_round_before_it_is_asked_again() -> None:
    bench = Bench(config("a", "b", "c", routes={"m": {"groups": [["a", "b"], ["c"]]}}))
    bench.answers = {"a": [refused(500)], "b": [refused(500)]}
    assert (await bench.attempt()).result == "c"
    rounds = [set(bench.asked[start : start + 2]) for start in (0, 2, 4)]
    assert rounds == [{"a", "b"}] * 3
    assert bench.asked[6:] == ["c"]


async def test_pauses_grow_and_are_random() -> None:
    longest: list[float] = [0.0, 0.0, 0.0]
    for seed in range(60):
        bench = Bench(
            config("a", retry={"retries": 3, "base_s": 1, "max_s": 3}, breaker={"failures": 99}), seed
        )
        bench.answers["a"] = [refused(500)]
        with pytest.raises(UpstreamRefused):
            await bench.attempt()
        assert len(bench.clock.slept) == 3
        longest = [max(pair) for pair in zip(longest, bench.clock.slept, strict=True)]
    assert [round(seconds) for seconds in longest] == [1, 2, 3]


async def test_retry_after_is_waited_for_if_short() -> None:
    bench = Bench(config("a"))
    bench.answers["a"] = [refused(429, after=4), None]
    assert (await bench.attempt()).result == "a"
    assert 4 <= sum(bench.clock.slept) <= 4.25


async def test_retry_after_that_is_too_long_sends_the_call_on() -> None:
    bench = two()
    bench.answers["a"] = [refused(429, after=60)]
    assert (await bench.attempt()).result == "b"
    assert bench.asked == ["a", "b"]
    assert bench.clock.slept == []
    assert (await bench.attempt()).result == "b"  # the next call does not disturb a at all
    assert bench.asked == ["a", "b", "b"]


async def test_call_that_would_have_to_wait_too_long_is_told_when_to_come_back() -> None:
    bench = Bench(config("a"))
    bench.answers["a"] = [refused(429, after=60)]
    with pytest.raises(UpstreamRefused):
        await bench.attempt()
    bench.clock.now_s += 20
    with pytest.raises(NoneCanServe, match="a: asked for a pause") as told:
        await bench.attempt()
    assert told.value.retry_after_s == 40
    assert bench.asked == ["a"]


async def test_bare_429_pauses_a_moment() -> None:
    bench = Bench(config("a", breaker={"limited_s": 2}))
    bench.answers["a"] = [refused(429), None]
    await bench.attempt()
    assert 2 <= sum(bench.clock.slept) <= 2.25


async def test_deadline_stops_retries_and_fallback() -> None:
    bench = two(retry={"deadline_s": 30})
    bench.answers["a"] = [refused(500)]
    bench.takes_s["a"] = 40
    with pytest.raises(UpstreamRefused):
        await bench.attempt()
    assert bench.asked == ["a"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (refused(401, "Incorrect API key provided: sk-secret"), "its provider refuses the operator's key"),
        (refused(301), "its provider's address leads elsewhere, so base_url is wrong"),
    ],
)
async def test_what_the_operator_must_mend_is_told_loudly_once_and_left_alone(
    error: UpstreamRefused, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = two()
    bench.answers["a"] = [error]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (await bench.attempt()).result == "b"
    assert bench.asked == ["a", "b", "b", "b"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert f"left alone for 60 s: {why}" in caplog.text
    assert "sk-secret" not in caplog.text
    bench.clock.now_s += 61
    bench.answers["a"] = [None]
    assert (await bench.attempt()).result == "a"


async def test_breaker_opens_and_others_serve() -> None:
    bench = two(retry={"retries": 0})
    bench.answers["a"] = [refused(500)]
    for _ in range(10):
        assert (await bench.attempt()).result == "b"
    assert bench.asked.count("a") == 5
    assert bench.health("a").breaker.state is State.OPEN


async def test_alone_behind_an_open_breaker_it_is_asked_all_the_same() -> None:
    bench = Bench(config("a", retry={"retries": 0}))
    bench.health("a").breaker.trip(bench.clock(), 60)
    assert (await bench.attempt()).result == "a"


async def test_those_with_open_breakers_are_the_last_resort() -> None:
    bench = Bench(config("a", "b"))
    bench.health("a").breaker.trip(bench.clock(), 60)
    bench.answers["b"] = [refused(404)]
    assert (await bench.attempt()).result == "a"
    assert bench.asked == ["b", "a"]


async def test_last_error_is_raised_and_all_attempts_are_listed() -> None:
    bench = two(retry={"retries": 0})
    bench.answers = {"a": [refused(500)], "b": [UpstreamTimeout("p", 3)]}
    bench.takes_s = {"a": 0.25, "b": 3}
    attempts: list[Attempt] = []
    with pytest.raises(UpstreamTimeout):
        await bench.routes.attempt(await bench.plan(), bench.call, attempts)
    assert attempts == [
        Attempt("a", "p", "UpstreamRefused", 250),
        Attempt("b", "p", "UpstreamTimeout", 3000, price=Price(0, 0)),
    ]


async def test_cancelled_call_blames_nobody_and_leaves_no_trace() -> None:
    bench = Bench(config("a", deployment={"max_parallel": 1}))

    async def hang(_: object) -> str:
        await asyncio.sleep(3600)
        return ""

    task = asyncio.ensure_future(bench.routes.attempt(await bench.plan(), hang, []))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bench.health("a").in_flight == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (bench.health("a").in_flight, bench.health("a").failures, bench.health("a").calls) == (0, 0, 0)


async def test_busy_one_is_passed_over_between_plan_and_attempt() -> None:
    bench = two(deployment={"max_parallel": 1})
    plan = await bench.plan()
    bench.health("a").begin(bench.clock())
    assert (await bench.attempt(plan)).result == "b"


def test_faults_inside_are_no_verdicts() -> None:
    assert judge(refused(418)).elsewhere is False
    assert judge(refused(400, "Unsupported value: 'temperature'")).elsewhere


@pytest.mark.parametrize(
    "error", [CapReached(2, 1, 5), Overcharged("total", 2, 1)], ids=["limit", "overcharged"]
)
def test_what_the_users_money_forbids_is_not_tried_again(error: WalletError) -> None:
    verdict = judge(error)
    assert (verdict.elsewhere, verdict.again, verdict.blames) == (True, False, False)
