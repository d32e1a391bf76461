"""Choosing a model: floors, weights, order and reasons."""

from __future__ import annotations

import pytest

from mini_llm.auto.choice import InvalidQuality, Option, Weights, choose, share_of

WEAK, MIDDLE, STRONG = Option(0.60, 10), Option(0.80, 100), Option(0.84, 1000)


def test_the_cheapest_that_meets_the_floor() -> None:
    found = choose([STRONG, WEAK, MIDDLE], "high")
    assert (found.index, found.ranked) == (2, (2, 0, 1))
    assert found.floor == pytest.approx(0.95 * 0.84)
    assert found.reason == "predicted quality 0.80 (best 0.84) meets the floor of 0.80 at the lowest cost"


@pytest.mark.parametrize(
    ("asked", "index"), [("best", 2), ("high", 1), ("standard", 1), (0.7, 0), ("0.7", 0), (0, 0), (1, 2)]
)
def test_levels(asked: str | float, index: int) -> None:
    assert choose([WEAK, MIDDLE, STRONG], asked).index == index


def test_of_those_too_weak_the_best_is_asked_next() -> None:
    assert choose([WEAK, Option(0.7, 1000), STRONG], "best").ranked == (2, 1, 0)


def test_money_is_weighed_above_the_floor() -> None:
    options = [Option(0.80, 100), Option(0.82, 101), Option(0.83, 1000)]
    assert choose(options).index == 0
    found = choose(options, weights=Weights(cost=3))
    assert found.index == 1
    assert found.reason.endswith("is worth more than a cheaper candidate saves")
    assert choose(options, weights=Weights(cost=0)).index == 2


def test_time_is_weighed_above_the_floor() -> None:
    options = [Option(0.80, 100, latency_s=9), Option(0.80, 110, latency_s=1)]
    assert choose(options).index == 0
    assert choose(options, weights=Weights(cost=3, latency=0.1)).index == 1


def test_equal_options_keep_their_order() -> None:
    assert choose([MIDDLE, MIDDLE, MIDDLE]).ranked == (0, 1, 2)


def test_free_options() -> None:
    assert choose([Option(0.5, 0), Option(0.9, 0)], 0.1).index == 1


def test_reasons() -> None:
    assert choose([WEAK]).reason == "the only candidate"
    assert choose([WEAK, STRONG]).reason.endswith("as no other candidate's does")


@pytest.mark.parametrize(
    "asked", ["great", "", "nan", float("nan"), -0.1, 1.1, "inf", None, pytest.param(10**400, id="huge")]
)
def test_no_quality(asked: str | float) -> None:
    with pytest.raises(InvalidQuality) as caught:
        share_of(asked)
    assert repr(asked) in str(caught.value)


def test_nothing_to_choose_from() -> None:
    with pytest.raises(ValueError, match="no option"):
        choose([])
