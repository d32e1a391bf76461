"""A promise about the mean of many calls, and what it asks of one."""

from __future__ import annotations

import pytest

from mini_llm.auto.logistic import sigmoid
from mini_llm.auto.predictor import Predictor
from mini_llm.auto.priors import ModelFacts
from mini_llm.auto.promise import STANDINGS, caution, share_of_call

STEPS = tuple(0.6 * standing for standing in STANDINGS)


def enough(abilities: tuple[float, ...], share: float, step: float) -> set[float]:
    """Whom a call may go to."""
    return {one for one in abilities if sigmoid(one - step) >= share * sigmoid(max(abilities) - step) - 1e-9}


def mean_share(abilities: tuple[float, ...], share: float) -> float:
    """What calls reach of the best if each goes to the worst that will do, which is worse than believed."""
    top = max(abilities)
    rivals = set().union(*(enough(abilities, share, step) for step in STEPS)) - {top}
    lost = caution(len(rivals))
    reached = sum(
        min(sigmoid(one - (lost if one < top else 0) - step) for one in enough(abilities, share, step))
        for step in STEPS
    )
    return reached / sum(sigmoid(top - step) for step in STEPS)


ALIKE = (2.0, 1.99, 1.98, 1.97, 1.96)
"""Believed to be so good that each alone would keep a promise of 95 % without a reserve."""


@pytest.mark.parametrize("abilities", [(0.9, 1.6), (1.6, 0.2, 1.5, 0.9), (3.0, -1.0), (1.6, 1.4), ALIKE])
@pytest.mark.parametrize("promised", [0.8, 0.9, 0.95, 0.99])
def test_the_mean_is_kept_though_the_others_are_worse_than_believed(
    abilities: tuple[float, ...], promised: float
) -> None:
    assert mean_share(abilities, share_of_call(abilities, STEPS, promised)) >= promised - 1e-9


@pytest.mark.parametrize("promised", [0.9, 0.95])
def test_no_more_is_asked_than_keeps_it(promised: float) -> None:
    asked = share_of_call((0.9, 1.2, 1.6), STEPS, promised)
    shares = {sigmoid(one - step) / sigmoid(1.6 - step) for one in (0.9, 1.2) for step in STEPS}
    next_lower = max(share for share in shares if share < asked - 1e-9)
    assert mean_share((0.9, 1.2, 1.6), next_lower) < promised


def test_those_that_are_alike_leave_a_reserve_too() -> None:
    asked = share_of_call(ALIKE, STEPS, 0.95)
    assert asked > 0.95
    alone = sum(enough(ALIKE, asked, step) == {2.0} for step in STEPS)
    assert 0 < alone < len(STEPS)  # and some calls are still worth what a cheaper one costs


@pytest.mark.parametrize("promised", [0.5, 0.9, 0.95, 1.0])
def test_what_is_believed_equally_good_is_one_candidate(promised: float) -> None:
    assert share_of_call((1.6, 0.9, 1.6, 0.9, 0.9), STEPS, promised) == share_of_call(
        (1.6, 0.9), STEPS, promised
    )
    assert share_of_call((1.6, 1.6, 1.6), STEPS, promised) == promised


def test_who_gets_no_call_anyway_changes_nothing() -> None:
    """Nine weak candidates make nobody look better than it is."""
    weak = tuple(-2 - at / 10 for at in range(9))
    assert share_of_call((1.6, 1.4, *weak), STEPS, 0.95) == share_of_call((1.6, 1.4), STEPS, 0.95)


def test_nothing_is_asked_where_nothing_is_promised() -> None:
    assert share_of_call(ALIKE, STEPS, 0.0) == 0.0
    assert share_of_call((2.0, -2.0), STEPS, 0.0) == 0.0


def test_where_nothing_can_break_it_the_promise_itself_is_asked() -> None:
    assert share_of_call(ALIKE, STEPS, 0.5) == 0.5


def test_some_calls_may_be_worse_than_the_promise() -> None:
    assert share_of_call((0.9, 1.6), STEPS, 0.95) < 0.95


def test_a_higher_promise_asks_more_of_a_call() -> None:
    found = [share_of_call((0.9, 1.2, 1.6), STEPS, promised) for promised in (0.5, 0.8, 0.9, 0.95, 1.0)]
    assert found == sorted(found)
    assert found[-1] == 1.0


def test_of_one_candidate_nothing_is_asked() -> None:
    assert share_of_call((1.0,), STEPS, 0.9) == 0.9


def test_of_a_prediction() -> None:
    predictor = Predictor.shipped()
    models = [ModelFacts("mixtral", 0.24, 0.24), ModelFacts("gpt-4", 24.7, 24.7)]
    found = predictor.predict("How much is 12 + 30?", models)
    assert found.form == "open"
    assert 0.7 < predictor.share_of_call(found, 0.95) < 0.95


def test_caution_grows_with_the_candidates() -> None:
    assert caution(0) == 0
    assert caution(1) == pytest.approx(0.5)
    assert caution(10) == pytest.approx(1.27, abs=0.01)
