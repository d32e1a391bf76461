"""The pacer under any arrivals: a budget is never passed by more than a hundredth, and state survives."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mini_llm.auto.choice import Option
from mini_llm.auto.pacer import SLICES, InvalidPlan, Pacer, Plan, Spent

DAY_S = 86_400
CALLS = 500
PLAN = Plan(1_000_000, 0, DAY_S, (CALLS,))

CALL = st.tuples(
    st.floats(0, 1),  # when, as a share of the day
    st.floats(0, 1),  # quality of the weak model
    st.floats(0, 1),  # and of the strong one
    st.integers(1, 100),  # cost of the weak model
    st.integers(100, 8_000),  # and of the strong one: up to .8 % of the budget
    st.floats(0.2, 1.25),  # what a call comes to, against what was expected
)
Drawn = tuple[float, float, float, int, int, float]


def replay(pacer: Pacer, calls: list[Drawn]) -> tuple[Pacer, int]:
    """Where the pacer ends, and how many calls it refused."""
    refused = 0
    for when, weak, strong, weak_base, strong_base, factor in calls:
        options = (Option(weak, weak_base), Option(strong, strong_base))
        choice = pacer.choose(options, when * DAY_S)
        if choice is None:
            refused += 1
            continue
        real_base = int(options[choice.index].cost_base * factor)
        pacer = pacer.spend(real_base, weak_base, when * DAY_S)
    return pacer, refused


@settings(max_examples=60, deadline=None)
@given(st.lists(CALL, max_size=60), st.integers(1, 40), st.booleans())
def test_the_budget_holds_in_any_order(calls: list[Drawn], times: int, in_order: bool) -> None:
    many = calls * times  # far more than a budget is planned for, too
    pacer, _ = replay(Pacer(PLAN), sorted(many) if in_order else many)
    assert pacer.state.spent_base <= PLAN.budget_base * 101 // 100


def crowd(seed: int, calls: int = CALLS, *, gain: float = 0.3) -> list[Drawn]:
    drawn = random.Random(seed)
    whens = sorted(drawn.random() for _ in range(calls))
    return [(when, 0.5, 0.5 + gain * drawn.random(), 20, drawn.randint(3000, 8000), 1.0) for when in whens]


SHAPES = {
    "uniform": lambda when: when,
    "front": lambda when: when**6,
    "back": lambda when: 1 - (1 - when) ** 3,
    "burst": lambda when: 0.4 + when / 1000,
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_money_is_spent_where_quality_gains(name: str) -> None:
    calls = [(SHAPES[name](one[0]), *one[1:]) for one in crowd(3)]
    pacer, refused = replay(Pacer(PLAN), calls)
    assert 95 <= 100 * pacer.state.spent_base // PLAN.budget_base <= 100
    assert refused == 0


def test_a_burst_on_a_first_day_leaves_the_rest_of_it_its_money() -> None:
    burst = [(0.2 + at / 1e4, *rest) for at, *rest in crowd(4, 800)]
    later = [(0.3 + 0.7 * at, *rest) for at, *rest in crowd(3)]
    plan = Plan(500_000, 0, DAY_S, since_s=DAY_S // 5)
    pacer, refused = replay(Pacer.first(plan, 0, DAY_S / 5), [*burst, *later])
    assert pacer.state.spent_base * 100 // plan.budget_base >= 90
    assert refused == 0


def test_nothing_is_spent_on_what_brings_nothing() -> None:
    pacer, _ = replay(Pacer(PLAN), [(at, weak, 0.4, *rest) for at, weak, _, *rest in crowd(3)])
    assert pacer.state.spent_base == 20 * CALLS


def test_the_calls_that_gain_most_get_the_money() -> None:
    pacer = Pacer(replace(PLAN, expected=(3 * CALLS,)))
    given: dict[int, list[float]] = {0: [], 1: []}
    for when, weak, strong, weak_base, strong_base, _ in crowd(9, 3 * CALLS):
        choice = pacer.choose((Option(weak, weak_base), Option(strong, strong_base)), when * DAY_S)
        assert choice is not None
        given[choice.index].append((strong - weak) / strong_base)
        pacer = pacer.spend((weak_base, strong_base)[choice.index], weak_base, when * DAY_S)
    given = {index: found[len(found) // 4 :] for index, found in given.items()}  # the price is found by then
    assert sum(given[1]) / len(given[1]) > 1.3 * sum(given[0]) / len(given[0])


def test_a_dearer_provider_moves_the_price_and_not_the_budget() -> None:
    calls = [
        (when, weak, strong, weak_base, strong_base * (1 if when < 0.5 else 3), factor)
        for when, weak, strong, weak_base, strong_base, factor in crowd(4)
    ]
    pacer, refused = replay(Pacer(PLAN), calls)
    assert 95 <= 100 * pacer.state.spent_base // PLAN.budget_base <= 100
    assert refused == 0


def test_the_example_in_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "routing" / "pacing.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)  # noqa: S102
    assert isinstance(names["pacer"], Pacer)
    assert names["pacer"].state.spent_base == 4_800


@given(st.lists(CALL, max_size=20))
def test_a_restart_changes_nothing(calls: list[Drawn]) -> None:
    kept, _ = replay(Pacer(PLAN), calls)
    stored = json.loads(json.dumps(kept.state.fields()))
    restarted = Pacer(PLAN, Spent.from_fields(stored))
    assert restarted == kept
    assert replay(restarted, calls) == replay(kept, calls)


def test_the_next_period_knows_the_price_and_when_calls_come() -> None:
    pacer, _ = replay(Pacer(PLAN), crowd(5))
    later = pacer.next_period(Plan(PLAN.budget_base, DAY_S, 2 * DAY_S, pacer.state.calls))
    assert (later.state.price, later.state.spent_base) == (pacer.state.price, 0)
    assert later.calls_left(DAY_S) == CALLS


@given(st.lists(CALL, max_size=12), st.lists(CALL, max_size=12), st.lists(CALL, max_size=12))
def test_what_two_workers_did_is_joined(before: list[Drawn], here: list[Drawn], there: list[Drawn]) -> None:
    parted, _ = replay(Pacer(PLAN), before)
    mine, theirs = (replay(parted, calls)[0].state for calls in (here, there))
    start = parted.state
    both = start.joined(start, theirs).joined(start, mine)
    assert both.spent_base == mine.spent_base + theirs.spent_base - start.spent_base
    assert sum(both.calls) == sum(mine.calls) + sum(theirs.calls) - sum(start.calls)
    low, high = sorted((mine.price, theirs.price))
    if sum(mine.calls) > sum(start.calls) and sum(theirs.calls) > sum(start.calls):
        assert low * 0.999 <= both.price <= high * 1.001
    assert start.joined(start, mine).price == pytest.approx(mine.price)
    assert mine.joined(start, start) == mine
    assert both.spent_base >= 0
    assert both.cheapest_base >= 0


def test_a_worker_that_had_more_calls_counts_more() -> None:
    start = Spent()
    many, few = (
        replace(start, price=price, calls=(n, *start.calls[1:])) for price, n in ((4e-6, 30), (1e-6, 10))
    )
    assert many.joined(start, few).price == pytest.approx(4e-6 * 0.25**0.25)
    assert few.joined(start, many).price == pytest.approx(1e-6 * 4**0.75)


@pytest.mark.parametrize("since", [0.0, 0.5])
def test_a_first_day_nobody_knew_of_is_paced_by_the_clock(since: float) -> None:
    begins_s = int(since * DAY_S)
    calls = [(since + when * (1 - since), *rest) for when, *rest in crowd(3, 3 * CALLS)]
    start = Pacer(Plan(3_000_000, 0, DAY_S, since_s=begins_s))
    pacer, refused = replay(start, calls)
    assert 95 <= 100 * pacer.state.spent_base // 3_000_000 <= 100
    assert refused == 0
    assert start.left(begins_s) == 1
    half, _ = replay(start, calls[: len(calls) // 2])
    assert half.calls_left((since + 1) / 2 * DAY_S) == pytest.approx(len(calls) / 2, rel=0.1)
    short = Pacer(start.plan, replace(half.state, spent_base=2_700_000))
    assert short.left((since + 1) / 2 * DAY_S) == pytest.approx(0.2, abs=0.03)


def test_what_is_left_for_the_gate() -> None:
    pacer = Pacer(PLAN)
    assert pacer.left(0) == 1
    spent = replace(pacer.state, spent_base=PLAN.budget_base * 3 // 4)
    assert Pacer(PLAN, spent).left(0) == pytest.approx(0.25)
    assert Pacer(PLAN, replace(spent, spent_base=PLAN.budget_base)).left(0) == 0
    assert Pacer(PLAN, replace(spent, calls=(400, *(0,) * (SLICES - 1)))).left(DAY_S / 2) == 1


def test_a_spent_budget_refuses() -> None:
    pacer = Pacer(PLAN, Spent(spent_base=PLAN.budget_base - 10))
    assert pacer.choose((Option(0.5, 11), Option(0.9, 5000)), DAY_S) is None
    assert pacer.choose((Option(0.5, 10), Option(0.9, 5000)), DAY_S) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"budget_base": 0},
        {"ends_s": 0},
        {"since_s": DAY_S},
        {"since_s": -1},
        {"expected": (0,)},
        {"expected": (5, -1)},
    ],
)
def test_plans_that_are_none(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidPlan):
        replace(PLAN, **fields)


@pytest.mark.parametrize(
    "spoilt", [{"calls": [1]}, {"price": 0}, {"price": float("nan")}, {"colour": "red"}, {"calls": None}]
)
def test_states_that_are_none(spoilt: dict[str, object]) -> None:
    with pytest.raises(InvalidPlan):
        Spent.from_fields(Spent().fields() | spoilt)
