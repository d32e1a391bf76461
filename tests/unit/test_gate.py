"""The shipped gate: it leans the right way, tells its rules, and never goes below the floor."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli import main
from mini_llm.auto.anfis import InvalidRules
from mini_llm.auto.choice import Option, Weights
from mini_llm.auto.gate import (
    Gate,
    GateDecision,
    GateInputOutOfRange,
    GateInputs,
    gated_choice,
    shown_to_help,
)

GATE = Gate.shipped()
SHARE = st.floats(0, 1)
PAIR = (Option(0.6, 10), Option(0.9, 1000))
THREE = (Option(0.7, 10), Option(0.8, 100), Option(0.9, 1000))


def decided(*, escalate: bool, cost_weight: float = 1.0) -> GateDecision:
    return GateDecision(cost_weight, escalate, 0.1 if escalate else -0.1, ())


@given(st.tuples(SHARE, SHARE, SHARE, SHARE, SHARE))
def test_every_condition_has_an_answer(values: tuple[float, ...]) -> None:
    decision = GATE.decide(GateInputs(*values))
    assert 2**-5 <= decision.cost_weight <= 2**5
    assert decision.escalate == (decision.advantage > 0)
    assert (decision.cost_weight < 1) == decision.escalate or decision.cost_weight == pytest.approx(1)
    assert 0 < sum(rule.strength for rule in decision.fired) <= 1 + 1e-9
    assert all(first.strength >= second.strength for first, second in pairwise(decision.fired))


def advantage(**given: float) -> float:
    return GATE.decide(GateInputs(**{"difficulty": 0.5, "doubt": 0.3} | given)).advantage


def test_a_stronger_model_is_worth_more_where_it_should_be() -> None:
    assert advantage(difficulty=0.9) > advantage(difficulty=0.1)
    assert advantage(budget_left=1) > advantage(budget_left=0.5) > advantage(budget_left=0.1)
    assert advantage(health=0.2, urgency=1) > advantage(health=1, urgency=1)
    assert advantage(health=0.2, urgency=1) > advantage(health=0.2, urgency=0)


def test_doubt_takes_the_difficulty_out_of_it() -> None:
    sure = advantage(difficulty=0.9) - advantage(difficulty=0.1)
    unsure = advantage(difficulty=0.9, doubt=1) - advantage(difficulty=0.1, doubt=1)
    assert abs(unsure) < sure / 2


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf")])
def test_figures_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(GateInputOutOfRange, match="urgency"):
        GATE.decide(GateInputs(0.5, 0.5, urgency=value))


def test_rules_over_other_inputs_are_refused() -> None:
    terms = [{"word": "any", "centre": 0.5, "width": 1.0}]
    rule = {"terms": [0], "constant": 0.0, "slopes": [0.0]}
    with pytest.raises(InvalidRules, match="moon"):
        Gate({"variables": [{"name": "moon", "terms": terms}], "rules": [rule]})


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        ({}, False),
        ({"urgency": 1.0}, False),
        ({"health": 0.3}, False),
        ({"budget_left": 0.3}, True),
        ({"health": 0.3, "urgency": 0.8}, True),
    ],
)
def test_it_keeps_silent_where_it_was_not_shown_to_help(conditions: dict[str, float], applies: bool) -> None:
    assert shown_to_help(GateInputs(**{"difficulty": 0.9, "doubt": 0.1} | conditions)) == applies
    assert (
        explain("Hi", *(f"--{name.replace('_', '-')}={value}" for name, value in conditions.items()))[
            "applies"
        ]
        == applies
    )


def test_escalation_takes_the_cheapest_of_the_stronger() -> None:
    assert gated_choice(THREE, 0.5, Weights(), decided(escalate=False)).index == 0
    choice = gated_choice(THREE, 0.5, Weights(), decided(escalate=True))
    assert choice.index == 1
    assert "worth its price" in choice.reason


def test_there_may_be_nobody_stronger() -> None:
    choice = gated_choice(PAIR, "best", Weights(), decided(escalate=True))
    assert choice.index == 1
    assert "worth its price" not in choice.reason


def test_the_weight_of_cost_is_multiplied() -> None:
    for cost_weight, index in ((1.0, 0), (1 / 32, 1)):
        decision = decided(escalate=False, cost_weight=cost_weight)
        assert gated_choice(PAIR, 0, Weights(1.0), decision).index == index


@given(
    st.lists(st.builds(Option, st.floats(0.1, 1), st.integers(0, 10**9)), min_size=1, max_size=6),
    SHARE,
    st.booleans(),
    st.floats(2**-5, 2**5),
)
def test_no_decision_goes_below_the_floor(
    options: list[Option], asked: float, escalate: bool, cost_weight: float
) -> None:
    choice = gated_choice(options, asked, Weights(), decided(escalate=escalate, cost_weight=cost_weight))
    assert options[choice.index].quality >= asked * max(option.quality for option in options) - 1e-6


def explain(*arguments: str, stdin: str = "") -> dict[str, object]:
    done = CliRunner().invoke(main, ["route", "explain", *arguments, "--json"], input=stdin)
    assert done.exit_code == 0, done.output
    told: dict[str, object] = json.loads(done.output)
    return told


def test_explain_prints_the_rules_that_fired() -> None:
    done = CliRunner().invoke(main, ["route", "explain", "Why is the sky blue?", "--urgency", "0.7"])
    assert done.exit_code == 0
    told = explain("Why is the sky blue?", "--urgency", "0.7")
    assert told["rules"]
    for rule in told["rules"]:  # type: ignore[attr-defined]
        assert (
            f"{rule['strength']:4.0%}  if {rule['if']}: a stronger model is worth {rule['says']:+.3f}"
            in done.output
        )


def test_explain_ranks_candidates() -> None:
    told = explain("-", "-m", "gpt-4", "-m", "mine=0.01", "--quality", "best", stdin="What is 2 + 2?")
    found = [(one["model"], one["placed_by"]) for one in told["candidates"]]  # type: ignore[attr-defined]
    assert found == [("gpt-4", "published figures"), ("mine", "price")]


def test_explain_names_the_cheapest_that_is_good_enough_as_a_router_does() -> None:
    models = ("-m", "gpt-4o", "-m", "gpt-4o-mini", "-m", "mixtral-8x7b")
    told = explain("What is 3+4?", *models, "--quality", "0.8")
    assert told["candidates"][0]["model"] == "mixtral-8x7b"  # type: ignore[index]
    assert str(told["reason"]).endswith("at the lowest cost")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "mine"],
        ["-m", "gpt-4o=2,50"],
        ["-m", "=3"],
        ["-m", "mine=nan"],
        ["--quality", "good"],
        ["--health", "2"],
    ],
)
def test_explain_refuses_what_it_cannot_read(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, ["route", "explain", "Hi", *arguments])
    assert done.exit_code == 2
