"""`model: "auto"`: who is chosen, who may not be, who is there for when the chosen one fails."""

from __future__ import annotations

from typing import Any

import pytest
from support.routing import Bench, request

from mini_llm.auto.pacer import SLICES, Pacer, Plan, Spent
from mini_llm.auto.purse import Purse
from mini_llm.config import RoutingConfig
from mini_llm.errors import BadRequest, NoneCanServe, UnknownModel, UpstreamUnreachable
from mini_llm.routing.asked import with_quality, without_quality
from mini_llm.surfaces import SURFACES

TOOLS = [{"type": "function", "function": {"name": "f"}}]
EASY = [{"role": "user", "content": "What is the capital of Portugal?"}]
HARD = [
    {"role": "user", "content": "Derive the posterior of a normal mean with a normal prior, step by step."}
]
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]


def deployment(name: str, model: str, read: str, written: str, **more: Any) -> dict[str, Any]:
    price = {"prompt_usd_per_mtok": read, "completion_usd_per_mtok": written}
    return {"id": name, "model": model, "provider": "p"} | price | more


STRONG = deployment("strong", "gpt-4o", "2.5", "10")
MIDDLE = deployment("middle", "gpt-4o-mini", "0.15", "0.6")
WEAK = deployment("weak", "llama-3.2-1b", "0.02", "0.04", capabilities=["tools"])
NEARLY_AS_GOOD = {"gpt-4o-mini": 0.88}
"""So good that it leaves a reserve for doubt at the usual quality, whatever is asked."""


def bench(*deployments: dict[str, Any], **more: Any) -> Bench:
    settings = {
        "providers": {"p": {"base_url": "http://p/v1"}},
        "deployments": deployments or (STRONG, MIDDLE, WEAK),
        **more,
        "auto": {"priors": NEARLY_AS_GOOD} | more.get("auto", {}),
    }
    return Bench(RoutingConfig.model_validate(settings))


async def test_each_name_and_word_asks_for_its_quality() -> None:
    rig = bench()
    assert (await rig.names(model="auto:cheap"))[0] == "weak"
    assert (await rig.names(model="auto"))[0] == "middle"
    assert (await rig.names(model="auto:best"))[0] == "strong"
    assert (await rig.names(model="auto", vibes_quality="cheap"))[0] == "weak"
    assert (await rig.names(model="auto:cheap", vibes_quality="best"))[0] == "strong"  # the body goes first
    assert (await rig.names(model="auto", vibes_quality=0))[0] == "weak"
    assert (await rig.names(model="auto", vibes_quality="1.0"))[0] == "strong"


async def test_the_decision_tells_every_candidate() -> None:
    plan = await bench().plan(model="auto")
    decision = plan.decision
    assert decision is not None
    assert [one.model for one in decision.ranked] == ["gpt-4o-mini", "gpt-4o", "llama-3.2-1b"]
    assert [one.meets for one in decision.ranked] == [True, True, False]
    assert decision.asked == "standard"
    middle, strong, weak = (one.quality for one in decision.ranked)
    assert weak < decision.floor <= middle < strong
    # 0.15 and 0.60 USD per million tokens are 15 and 60 units of 10^-8 USD each
    assert decision.ranked[0].cost_base == decision.prompt_tokens * 15 + 400 * 60
    told = decision.told("middle")
    assert told.startswith('"gpt-4o-mini";asked=standard;floor=0.')
    assert "at the lowest cost" in told
    assert "those ranked before it did not serve the call" in decision.told("strong")
    assert "below the quality" in decision.told("weak")


@pytest.mark.parametrize("nonsense", ["turbo", "", "1.5", "-1", "nan", True, [], {}, 2, -0.1, "best "])
async def test_a_quality_that_is_none_is_refused(nonsense: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        await bench().plan(model="auto", vibes_quality=nonsense)
    assert refused.value.param == "vibes_quality"


async def test_a_header_says_it_unless_the_body_does() -> None:
    call = with_quality(request(model="auto"), "best")
    assert (await bench().routes.plan(call)).deployments[0].id == "strong"
    call = with_quality(request(model="auto", vibes_quality="cheap"), "best")
    assert (await bench().routes.plan(call)).deployments[0].id == "weak"


async def test_no_provider_sees_the_quality() -> None:
    assert "vibes_quality" not in without_quality(request(vibes_quality="best")).fields
    body = b'{"contents": [{"parts": [{"text": "hi"}]}], "vibes_quality": "best"}'
    gemini = SURFACES["gemini"].parse(body, "auto", False)
    assert (await bench().routes.plan(gemini)).deployments[0].id == "strong"
    assert without_quality(gemini).fields.keys() == {"contents"}
    untouched = request()
    assert without_quality(untouched) is untouched


async def test_who_cannot_serve_is_left_out_with_the_reason() -> None:
    plan = await bench().plan(model="auto:cheap", messages=IMAGE)
    assert [one.id for one in plan.deployments] == ["middle", "strong"]
    assert plan.decision is not None
    assert plan.decision.left_out == {"weak": "does not take images"}
    with pytest.raises(NoneCanServe) as refused:
        await bench(WEAK).plan(model="auto", messages=IMAGE)
    assert refused.value.reasons == {"weak": "does not take images"}


async def test_a_prompt_beyond_the_context_is_for_those_with_a_longer_one() -> None:
    rig = bench({**WEAK, "context_tokens": 100}, STRONG)
    long = [{"role": "user", "content": "a " * 300}]
    assert await rig.names(model="auto:cheap", messages=long) == ["strong"]


async def test_who_may_not_serve_the_caller_is_left_out() -> None:
    rig = bench()
    barred = await rig.routes.plan(
        request(model="auto"), None, lambda one: None if one.model == "llama-3.2-1b" else "not for you"
    )
    assert [one.id for one in barred.deployments] == ["weak"]
    assert barred.decision is not None
    assert barred.decision.left_out == {"strong": "not for you", "middle": "not for you"}


async def test_only_those_of_the_configuration_take_part() -> None:
    rig = bench(auto={"models": ["gpt-*"]})
    assert await rig.names(model="auto:cheap") == ["middle", "strong"]
    with pytest.raises(UnknownModel):
        await bench(auto={"models": []}).plan(model="auto")


async def test_after_a_failure_the_next_in_rank_is_asked() -> None:
    rig = bench()
    rig.answers = {"middle": [UpstreamUnreachable("p", "gone")], "strong": [UpstreamUnreachable("p", "gone")]}
    outcome = await rig.attempt(await rig.plan(model="auto"))
    assert rig.asked == ["middle", "strong", "weak"]
    assert outcome.decision is not None
    assert "did not serve the call, below the quality" in outcome.decision.told(outcome.result)


async def test_no_more_fall_back_than_are_configured() -> None:
    assert await bench(auto={"fallbacks": 0}).names(model="auto") == ["middle"]
    assert await bench(auto={"fallbacks": 1}).names(model="auto") == ["middle", "strong"]


async def test_one_that_fails_is_not_chosen_but_asked_last() -> None:
    rig = bench()
    rig.health("middle").breaker.trip(rig.clock(), 60)
    plan = await rig.plan(model="auto")
    assert [one.id for one in plan.deployments] == ["strong", "weak", "middle"]
    assert plan.decision is not None
    assert "lately" in plan.decision.left_out["middle"]
    for name in ("strong", "weak"):
        rig.health(name).breaker.trip(rig.clock(), 60)
    assert (await rig.names(model="auto"))[0] == "middle"  # nobody else is left to ask


async def test_deployments_of_one_model_at_one_price_share_its_calls() -> None:
    rig = bench({**MIDDLE, "id": "a"}, {**MIDDLE, "id": "b"}, STRONG)
    orders = {tuple(await rig.names(model="auto")) for _ in range(50)}
    assert orders == {("a", "b", "strong"), ("b", "a", "strong")}


async def test_the_cheaper_deployment_of_a_model_is_chosen() -> None:
    rig = bench({**MIDDLE, "id": "dear", "completion_usd_per_mtok": "0.7", "weight": 100}, MIDDLE)
    assert {tuple(await rig.names(model="auto")) for _ in range(20)} == {("middle", "dear")}


@pytest.mark.parametrize("quality", ["standard", "high", 0.99, "best"])
async def test_no_doubt_keeps_the_same_model_from_being_had_for_less(quality: str | float) -> None:
    dear = {**STRONG, "id": "dear", "completion_usd_per_mtok": "12"}
    dated = {**STRONG, "id": "dated", "model": "gpt-4o-2024-08-06", "completion_usd_per_mtok": "9"}
    rig = bench(dear, STRONG, dated, MIDDLE, auto={"priors": {}})
    names = await rig.names(model="auto", vibes_quality=quality, messages=HARD)
    assert names[:3] == ["dated", "strong", "dear"]


async def test_other_models_of_a_route_do_not_come_in_by_it() -> None:
    routes = {"gpt-4o-mini": {"groups": [["middle"], ["strong"]]}}
    rig = bench(auto={"models": ["gpt-4o-mini"]}, routes=routes)
    assert await rig.names(model="auto") == ["middle"]
    assert await rig.names(model="gpt-4o-mini") == ["middle", "strong"]


async def test_a_rollout_goes_on_within_the_chosen_model() -> None:
    new = {**MIDDLE, "id": "new"}
    rollouts = {"gpt-4o-mini": {"to": "new", "steps": [{"percent": 100}]}}
    rig = bench(MIDDLE, new, STRONG, rollouts=rollouts)
    assert (await rig.names(model="auto"))[:2] == ["new", "middle"]


async def test_waiting_counts_where_it_is_given_a_weight() -> None:
    twins = ({**STRONG, "id": "a"}, {**STRONG, "id": "b", "model": "gpt-4o-2024-08-06"})
    rig = bench(*twins, auto={"latency_weight": 0.1})
    rig.health("a").whole.measured(rig.clock(), 9.0)
    rig.health("b").whole.measured(rig.clock(), 1.0)
    assert await rig.names(model="auto") == ["b", "a"]


async def test_what_the_operator_knows_of_a_model_goes_before_its_name() -> None:
    rig = bench(auto={"priors": {"llama-3.2-1b": 0.95}})
    assert (await rig.names(model="auto"))[0] == "weak"


async def test_vectors_are_nobodys_choice() -> None:
    call = SURFACES["embeddings"].parse(b'{"model": "auto", "input": "hi"}')
    with pytest.raises(BadRequest, match="name the model"):
        await bench().routes.plan(call)


async def test_a_model_of_that_name_is_honoured() -> None:
    rig = bench(deployment("own", "auto", "1", "1"), MIDDLE)
    plan = await rig.plan(model="auto")
    assert ([one.id for one in plan.deployments], plan.decision) == (["own"], None)
    aliased = bench(aliases={"auto": "gpt-4o"})
    assert await aliased.names(model="auto") == ["strong"]


async def test_an_explicit_model_is_asked_whatever_it_costs() -> None:
    plan = await bench().plan(model="gpt-4o", vibes_quality="cheap")
    assert ([one.id for one in plan.deployments], plan.decision) == (["strong"], None)


async def test_a_quality_keeps_no_named_model_from_being_asked_in_another_format() -> None:
    rig = bench({**MIDDLE, "id": "a"}, {**MIDDLE, "id": "b"})
    body = b'{"contents": [{"parts": [{"text": "hi"}]}], "vibesQuality": "best"}'
    plan = await rig.routes.plan(SURFACES["gemini"].parse(body, "gpt-4o-mini", False))
    assert {one.id for one in plan.deployments} == {"a", "b"}


@pytest.mark.parametrize("asked", ["standard", "high", 0.8, 0.5])
async def test_the_floor_of_a_call_is_between_the_chosen_one_and_whatever_is_cheaper(asked: Any) -> None:
    for priors in ({}, NEARLY_AS_GOOD):
        decision = (await bench(auto={"priors": priors}).plan(model="auto", vibes_quality=asked)).decision
        assert decision is not None
        first, *others = decision.ranked
        assert first.quality >= decision.floor > 0
        assert all(one.quality < decision.floor for one in others if one.cost_base < first.cost_base)
    everyone = (await bench().plan(model="auto", vibes_quality=1)).decision
    assert everyone is not None
    assert everyone.floor == max(one.quality for one in everyone.ranked)


async def test_a_stronger_model_is_taken_where_the_usual_one_fails_and_somebody_waits() -> None:
    for stream, gate, chosen in ((True, True, "strong"), (False, True, "middle"), (True, False, "middle")):
        rig = bench(auto={"gate": gate, "priors": {}})
        health = rig.health("middle")
        for _ in range(4):
            health.failed(rig.clock(), health.begin(rig.clock()))
        plan = await rig.plan(model="auto", stream=stream, messages=EASY)
        assert plan.deployments[0].id == chosen
        assert plan.decision is not None
        assert (plan.decision.gate is not None) == (chosen == "strong")
    assert plan.decision.fields()["gate"] is None


async def test_a_stronger_model_that_fails_as_often_is_no_way_out() -> None:
    rig = bench()
    for name in ("middle", "strong"):
        for _ in range(4):
            health = rig.health(name)
            health.failed(rig.clock(), health.begin(rig.clock()))
    plan = await rig.plan(model="auto", stream=True)
    assert plan.deployments[0].id == "middle"
    assert plan.decision is not None
    assert plan.decision.gate is None


async def test_the_rules_that_fired_are_told() -> None:
    rig = bench(auto={"urgency": 1, "priors": {}})
    for _ in range(4):
        health = rig.health("middle")
        health.failed(rig.clock(), health.begin(rig.clock()))
    decision = (await rig.plan(model="auto", messages=EASY)).decision
    assert decision is not None
    assert "a stronger model is worth its price" in decision.told("strong")
    gate = decision.fields()["gate"]
    assert gate["escalate"]
    assert all(rule["if"] and 0 < rule["strength"] <= 1 for rule in gate["rules"])
    assert decision.ranked[0].meets  # what was asked for, which is less


async def test_what_choosing_needs_is_read_before_the_first_call() -> None:
    ready, nobody = bench(), bench(auto={"models": []})
    ready.routes.prepare()
    nobody.routes.prepare()
    assert "_predictor" in vars(ready.routes._chooser)
    assert "_chooser" not in vars(nobody.routes)


def paced(left_base: int, price: float, calls: int = 50) -> Purse:
    """A budget of a day of a hundred calls, of which half have come at noon."""
    spent = Spent(10**8 - left_base, price, 20_000, (calls, *(0,) * (SLICES - 1)))
    return Purse((Pacer(Plan(10**8, 0, 86_400, (100,)), spent),), 43_200.0)


@pytest.mark.parametrize(
    ("purse", "chosen", "why"),
    [
        (paced(5 * 10**7, 1e-12), "strong", "the budget pays for it"),
        (paced(5 * 10**7, 1e-3), "weak", "better ones are not worth their cost"),
        (paced(1_200_000, 1e-12), "weak", "better ones would take what the budget keeps for later calls"),
        (paced(0, 1e-12), "weak", "the budget has nothing left for it"),
    ],
    ids=["rich", "dear", "kept", "spent"],
)
async def test_a_budget_decides_where_the_quality_is_left_open(purse: Purse, chosen: str, why: str) -> None:
    rig = bench(auto={"gate": False})
    plan = await rig.routes.plan(request(model="auto"), purse=purse)
    assert plan.decision is not None
    assert (plan.deployments[0].id, plan.decision.asked) == (chosen, "cheap")
    assert plan.decision.reason.endswith(why) or why in plan.decision.reason
    assert plan.decision.fields()["budget"]["decides"] is True
    said = await rig.routes.plan(request(model="auto:best"), purse=purse)
    assert said.deployments[0].id == "strong"
    assert said.decision is not None
    assert said.decision.fields()["budget"]["decides"] is False


async def test_the_gate_hears_of_a_short_budget() -> None:
    """Half the calls are to come, and a tenth of the money is left: a price that is too low is put right."""
    gains = [
        await bench(auto={"gate": gate}).routes.plan(request(model="auto"), purse=paced(10**7, 2e-6))
        for gate in (False, True)
    ]
    without, heard = (plan.decision for plan in gains)
    assert without is not None
    assert heard is not None
    assert without.budget is not None
    assert without.budget.left == pytest.approx(0.2)
    assert heard.gate is not None
    assert heard.gate.cost_weight > 1
    assert heard.ranked[0].cost_base < without.ranked[0].cost_base
