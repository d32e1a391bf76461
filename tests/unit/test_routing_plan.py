"""Who is asked, and in which order."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any

import pytest
from support.routing import Bench, config

from mini_llm.errors import BadRequest, NoneCanServe, UnknownModel
from mini_llm.price import Usage
from mini_llm.request import Request
from mini_llm.routing.health import Limits
from mini_llm.surfaces import SURFACES

IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize("balance", ["weighted", "conversation"])
async def test_weights_share_out_the_first_place(balance: str) -> None:
    settings = config("a", "b", "c", balance=balance)
    weights = {"a": 6, "b": 3, "c": 1}
    deployments = [
        item.model_copy(update={"weight": weights[item.id or ""]}) for item in settings.deployments
    ]
    bench = Bench(settings.model_copy(update={"deployments": tuple(deployments)}))
    asked = [[{"role": "user", "content": f"question {number}"}] for number in range(4000)]
    orders = [tuple(await bench.names(messages=messages)) for messages in asked]
    firsts = Counter(order[0] for order in orders)
    # Four standard deviations of a binomial of 4000 are at most 127.
    assert abs(firsts["a"] - 2400) < 127
    assert abs(firsts["b"] - 1200) < 127
    assert abs(firsts["c"] - 400) < 80
    seconds = Counter(order[1] for order in orders if order[0] == "a")
    assert abs(seconds["b"] / seconds.total() - 0.75) < 0.04  # by weight among the rest


async def test_weight_zero_is_asked_after_all_others() -> None:
    settings = config("a", "b")
    idle = settings.deployments[0].model_copy(update={"weight": 0})
    bench = Bench(settings.model_copy(update={"deployments": (idle, settings.deployments[1])}))
    assert {tuple(await bench.names()) for _ in range(50)} == {("b", "a")}


async def test_groups_stay_in_order() -> None:
    bench = Bench(config("a", "b", "c", routes={"m": {"groups": [["c"], ["a", "b"]]}}))
    orders = {tuple(await bench.names()) for _ in range(50)}
    assert orders == {("c", "a", "b"), ("c", "b", "a")}


async def test_alias_may_stand_for_several_models_in_order() -> None:
    settings = config("a", aliases={"best": ["n", "m"], "quick": "m"})
    other = settings.deployments[0].model_copy(update={"id": "x", "model": "n"})
    bench = Bench(settings.model_copy(update={"deployments": (*settings.deployments, other)}))
    assert await bench.names(model="best") == ["x", "a"]
    assert await bench.names(model="quick") == ["a"]
    assert list(await bench.catalog.offers()) == ["best", "m", "n", "quick"]
    with pytest.raises(UnknownModel):
        await bench.plan(model="worst")


async def test_fastest_is_asked_first_and_equals_share() -> None:
    bench = Bench(config("a", "b", "c", balance="latency"))
    now_s = bench.clock()
    for name, seconds in (("a", 1.0), ("b", 0.4), ("c", 0.45)):
        bench.health(name).whole.measured(now_s, seconds)
    orders = Counter([tuple(await bench.names()) for _ in range(200)])
    assert set(orders) == {("b", "c", "a"), ("c", "b", "a")}
    assert min(orders.values()) > 60


async def test_unmeasured_one_is_tried_by_one_call_at_a_time() -> None:
    bench = Bench(config("a", "b", balance="latency"))
    bench.health("a").whole.measured(bench.clock(), 0.1)
    assert (await bench.names())[0] == "b"
    era = bench.health("b").begin(bench.clock())
    assert (await bench.names())[0] == "a"
    bench.health("b").succeeded(bench.clock(), era, 0.05, False)
    assert (await bench.names())[0] == "b"


async def test_streams_and_whole_answers_are_measured_apart() -> None:
    bench = Bench(config("a", "b", balance="latency"))
    for name, first, whole in (("a", 0.1, 9.0), ("b", 0.5, 2.0)):
        bench.health(name).first.measured(bench.clock(), first)
        bench.health(name).whole.measured(bench.clock(), whole)
    assert (await bench.names(stream=True))[0] == "a"
    assert (await bench.names())[0] == "b"


async def test_figure_that_is_too_old_is_taken_anew() -> None:
    bench = Bench(config("a", "b", balance="latency", latency_decay_s=10))
    bench.health("a").whole.measured(bench.clock(), 9.0)
    bench.clock.now_s += 45
    bench.health("b").whole.measured(bench.clock(), 0.1)
    assert (await bench.names())[0] == "b"
    bench.clock.now_s += 10  # a's figure is 55 s old
    assert (await bench.names())[0] == "a"


@pytest.mark.parametrize(
    ("lacks", "fields", "told"),
    [
        ("images", {"messages": IMAGE}, "does not take images"),
        ("tools", {"tools": TOOLS}, "does not take tools"),
        ("many", {"n": 2}, "does not take many"),
    ],
)
async def test_what_a_deployment_cannot_do_is_not_sent_to_it(
    lacks: str, fields: dict[str, Any], told: str
) -> None:
    settings = config("a", "b")
    able = tuple(name for name in settings.deployments[0].capabilities if name != lacks)
    plain = settings.deployments[0].model_copy(update={"capabilities": able})
    bench = Bench(settings.model_copy(update={"deployments": (plain, settings.deployments[1])}))
    assert await bench.names(**fields) == ["b"]
    alone = Bench(settings.model_copy(update={"deployments": (plain,)}))
    with pytest.raises(NoneCanServe, match=told) as refused:
        await alone.plan(**fields)
    assert (refused.value.reasons, refused.value.retry_after_s) == ({"a": told}, None)


def responses(**fields: Any) -> Request:
    body = {"model": "m", "input": "hello"} | fields
    return SURFACES["responses"].parse(json.dumps(body).encode())


def two_formats(*ids: str) -> Bench:
    """Deployments of one model; those whose id begins with `r` are at a server that speaks responses."""
    settings = config(
        *ids,
        providers={
            "p": {"base_url": "http://p/v1"},
            "r": {"base_url": "http://r/v1", "surfaces": ["chat", "responses"]},
        },
    )
    moved = [
        item.model_copy(update={"provider": "r"}) if str(item.id).startswith("r") else item
        for item in settings.deployments
    ]
    return Bench(settings.model_copy(update={"deployments": tuple(moved)}))


async def test_what_chat_cannot_say_goes_to_those_that_speak_the_format() -> None:
    bench = two_formats("p1", "r1", "p2", "r2")
    unsayable = responses(previous_response_id="resp_1")
    for _ in range(20):
        plan = await bench.routes.plan(unsayable)
        assert sorted(one.id for one in plan.deployments) == ["r1", "r2"]
    plan = await bench.routes.plan(responses())
    assert sorted(one.id for one in plan.deployments) == ["p1", "p2", "r1", "r2"]
    for name in ("r1", "r2"):
        bench.health(name).drained = True
    with pytest.raises(NoneCanServe) as refused:
        await bench.routes.plan(unsayable)
    assert refused.value.reasons["r1"] == "is drained"
    assert "previous_response_id" in refused.value.reasons["p1"]


async def test_of_a_single_deployment_the_translation_tells_what_is_wrong() -> None:
    bench = two_formats("p1")
    unsayable = responses(previous_response_id="resp_1")
    plan = await bench.routes.plan(unsayable)
    with pytest.raises(BadRequest) as refused:
        await bench.routes.complete(plan, SURFACES["responses"], unsayable, [], no_count)
    assert refused.value.param == "previous_response_id"


async def no_count(*_: object) -> Usage:
    raise AssertionError


async def test_embeddings_and_chat_are_kept_apart() -> None:
    server = {"base_url": "http://p/v1", "surfaces": ["embeddings", "chat"]}
    bench = Bench(config("a", deployment={"capabilities": ["embeddings"]}, providers={"p": server}))
    with pytest.raises(NoneCanServe, match="makes embeddings only"):
        await bench.plan()


@pytest.mark.parametrize(
    ("words", "cap", "fits"),
    [(99, None, True), (100, None, False), (89, 10, True), (95, 10, False), (10, 500, False)],
)
async def test_context_is_refused_only_if_it_is_surely_too_short(
    words: int, cap: int | None, fits: bool
) -> None:
    bench = Bench(config("a", deployment={"context_tokens": 100, "max_output_tokens": 95}))
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": "word " * words}]}
    if cap is not None:
        fields["max_tokens"] = cap
    if fits:
        assert await bench.names(**fields) == ["a"]
    else:
        with pytest.raises(
            NoneCanServe, match=f"context of 100 tokens, and this prompt has at least {words}"
        ):
            await bench.plan(**fields)


async def test_one_long_word_is_not_refused() -> None:
    bench = Bench(config("a", deployment={"context_tokens": 100}))
    assert await bench.names(messages=[{"role": "user", "content": "x" * 5000}]) == ["a"]


async def test_a_stopped_one_is_left_out_whatever_undrains_it() -> None:
    bench = Bench(config("a", "b"))
    bench.health("a").stopped = True
    bench.health("a").drained = False
    bench.health("a").reset()
    assert await bench.names() == ["b"]
    bench.health("b").stopped = True
    with pytest.raises(NoneCanServe, match="a: is stopped by the operator") as refused:
        await bench.plan()
    assert refused.value.retry_after_s == 30.0


async def test_drained_and_busy_ones_are_left_out_and_said() -> None:
    bench = Bench(config("a", "b", deployment={"max_parallel": 1}))
    bench.health("a").drained = True
    assert await bench.names() == ["b"]
    bench.health("b").begin(bench.clock())
    with pytest.raises(NoneCanServe, match="a: is drained; b: serves 1 calls already") as refused:
        await bench.plan()
    assert refused.value.retry_after_s == 1.0


async def test_contract_limits_hold() -> None:
    bench = Bench(config("a", "b", deployment={"rpm": 2, "tpm": 100}))
    for _ in range(2):
        bench.health("a").begin(bench.clock())
    bench.health("b").used(bench.clock(), Usage(60, 40), 1, None)
    with pytest.raises(NoneCanServe, match=r"2 requests of this minute.*100 tokens of this minute"):
        await bench.plan()
    bench.clock.now_s += 121
    assert sorted(await bench.names()) == ["a", "b"]


def trip(bench: Bench, name: str, seconds: float) -> None:
    bench.health(name).breaker.trip(bench.clock(), seconds)


async def test_open_breakers_go_last_and_soonest_first() -> None:
    bench = Bench(config("a", "b", "c"))
    trip(bench, "a", 50)
    plan = await bench.plan()
    assert [one.deployment.id for one in plan.shut] == ["a"]
    assert plan.candidates[-1].deployment.id == "a"
    trip(bench, "b", 20)
    trip(bench, "c", 30)
    plan = await bench.plan()
    assert [one.id for one in plan.deployments] == ["b", "c", "a"]
    assert not plan.shut


async def test_plan_in_flight_is_kept_while_the_configuration_changes() -> None:
    bench = Bench(config("a"))
    plan = await bench.plan()
    bench.catalog.adopt(config("b"))
    assert (await bench.attempt(plan)).result == "a"
    assert await bench.names() == ["b"]


async def test_reload_keeps_what_is_known_of_unchanged_deployments() -> None:
    bench = Bench(config("a", "b"))
    trip(bench, "a", 50)
    provider = bench.catalog.table.providers["p"]
    bench.catalog.adopt(config("a", "c", deployment={"rpm": 7}))
    assert bench.catalog.table.providers["p"] is provider
    assert not bench.health("a").breaker.admits(bench.clock())
    assert bench.health("a").limits == Limits(rpm=7)
    moved = config("a", providers={"p": {"base_url": "http://elsewhere/v1"}})
    bench.catalog.adopt(moved)
    assert bench.health("a").breaker.admits(bench.clock())
    assert bench.catalog.table.providers["p"] is not provider


async def test_drain_by_hand_outlives_a_reload_and_the_file_decides_when_it_changes() -> None:
    bench = Bench(config("a", "b"))
    bench.health("a").drained = True
    bench.catalog.adopt(config("a", "b"))
    assert await bench.names() == ["b"]
    bench.catalog.adopt(config("a", "b", deployment={"drained": True}))
    bench.catalog.adopt(config("a", "b"))
    assert sorted(await bench.names()) == ["a", "b"]


async def test_timeouts_come_from_the_narrowest_that_says() -> None:
    settings = config(
        "a",
        deployment={"timeouts": {"idle_s": 1}},
        providers={"p": {"base_url": "http://p/v1", "read_timeout_s": 2}},
        timeouts={"connect_s": 3, "idle_s": 3, "first_byte_s": 3, "total_s": 30},
    )
    timeouts = (await Bench(settings).plan()).deployments[0].timeouts
    assert timeouts is not None
    assert dataclasses.astuple(timeouts) == (3, 2, 1, 30)


async def test_plan_of_other_candidates() -> None:
    bench = Bench(config("a", "b", routes={"m": {"groups": [["a"], ["b"]]}}))
    plan = await bench.plan()
    own = dataclasses.replace(plan.candidates[1])
    assert plan.only([own]).candidates == (own,)
    assert (await bench.attempt(plan.only([own]))).result == "b"
