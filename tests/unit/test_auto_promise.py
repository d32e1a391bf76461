"""A promise about the mean of many calls, and what one call is worth by it."""

from __future__ import annotations

from math import inf, sqrt

import pytest

from mini_llm.auto.choice import Option, choose
from mini_llm.auto.logistic import sigmoid
from mini_llm.auto.predictor import Predictor
from mini_llm.auto.priors import ModelFacts
from mini_llm.auto.promise import (
    DOUBT,
    MOST_BELOW,
    STANDINGS,
    SURE,
    most_thrift,
    pick,
    separated,
    worthwhile,
)

STEPS = tuple(0.6 * standing for standing in STANDINGS)
PAIR = (0.9, 1.6), (1.0, 20.0)
ALIKE = (1.96, 1.97, 1.98, 1.99, 2.0), (1.0, 2.0, 3.0, 4.0, 20.0)
"""Believed to be so good that each alone would keep a promise of 95 % without a reserve."""
SPREAD = (0.2, 0.9, 1.5, 1.6), (0.1, 1.0, 4.0, 20.0)
CHAT = "Give three tips for staying healthy."
PAIRS = (
    (("gpt-4o", 10.0), ("gpt-4o-mini", 0.6)),
    (("gpt-4.1", 8.0), ("gpt-4.1-mini", 1.6), ("gpt-4.1-nano", 0.4)),
    (("claude-sonnet-4-5", 15.0), ("claude-haiku-4-5", 5.0)),
)

Models = tuple[tuple[float, ...], tuple[float, ...]]


def chosen(models: Models, thrift: float, promised: float) -> list[int]:
    """Who gets the call of each difficulty."""
    abilities, costs = models
    return [pick([sigmoid(one - step) for one in abilities], costs, thrift, promised) for step in STEPS]


def reserve(models: Models, thrift: float, promised: float) -> float:
    """By how many deviations of what models may be worse or better the mean is above the promise."""
    abilities, _ = models
    best = abilities.index(max(abilities))
    above, felt = 0.0, [0.0] * len(abilities)
    for at, step in zip(chosen(models, thrift, promised), STEPS, strict=True):
        for model, weight in ((at, 1.0), (best, -promised)):
            quality = sigmoid(abilities[model] - step)
            above += weight * quality
            felt[model] += weight * quality * (1 - quality)
    return above / (DOUBT * sqrt(sum(one * one for one in felt)))


def spent(models: Models, promised: float) -> float:
    thrift = most_thrift(*models, STEPS, promised)
    return sum(models[1][at] for at in chosen(models, thrift, promised)) / len(STEPS)


@pytest.mark.parametrize("models", [PAIR, ALIKE, SPREAD, ((3.0, -1.0), (2.0, 1.0))])
@pytest.mark.parametrize("promised", [0.8, 0.9, 0.95, 0.99])
def test_the_mean_is_kept_though_models_are_worse_than_believed(models: Models, promised: float) -> None:
    assert reserve(models, most_thrift(*models, STEPS, promised), promised) >= SURE * 0.99


@pytest.mark.parametrize("promised", [0.9, 0.95])
def test_no_more_is_asked_than_keeps_it(promised: float) -> None:
    thrift = most_thrift(*PAIR, STEPS, promised)
    assert 0 < thrift < inf
    assert reserve(PAIR, thrift * 1.1, promised) < SURE


@pytest.mark.parametrize("promised", [0.9, 0.95])
def test_many_that_are_alike_leave_something_to_save(promised: float) -> None:
    assert spent(ALIKE, promised) < 0.8 * 20
    assert spent(ALIKE, promised) <= spent(((1.96, 2.0), (1.0, 20.0)), promised) + 1e-9


def test_a_small_saving_is_not_worth_much_quality() -> None:
    """Whoever saves a fifth of a call gets none where another saves nearly all of it for the same loss."""
    models = (0.9, 0.95, 1.6), (1.0, 16.0, 20.0)
    thrift = most_thrift(*models, STEPS, 0.95)
    assert set(chosen(models, thrift, 0.95)) == {0, 2}


def test_who_is_dearer_and_no_better_is_not_looked_at() -> None:
    assert worthwhile([1.0, 0.9, 2.0, 2.0, 1.0], [1.0, 3.0, 9.0, 8.0, 1.0]) == [0, 3]
    with_them = (0.9, 1.6, 1.6, 1.0, 0.9, 1.5), (1.0, 20.0, 25.0, 21.0, 1.0, 30.0)
    assert most_thrift(*with_them, STEPS, 0.95) == most_thrift(*PAIR, STEPS, 0.95)


def test_of_those_that_only_a_price_tells_of_neighbours_are_passed_over() -> None:
    costs = [30.0, 24.0, 12.0, 11.0, 1.0, 0.9]
    assert separated([True] * 6, costs) == [0, 2, 4]
    assert separated([False] * 6, costs) == [0, 1, 2, 3, 4, 5]
    assert separated([False, True, True, False, True, True], costs) == [0, 2, 3, 4]
    predictor = Predictor.shipped()
    found = predictor.predict(CHAT, [ModelFacts(f"acme {cost}", cost, cost) for cost in costs])
    options = [Option(one, int(cost * 10)) for one, cost in zip(found.quality, costs, strict=True)]
    picked = {
        choose(options, predictor.share_of_call(found, at / 100, costs)).index for at in range(0, 101, 2)
    }
    assert picked == {0, 2, 4, 5}  # the cheapest where nothing is promised


def test_the_ends() -> None:
    assert most_thrift(*ALIKE, STEPS, 0.0) == inf
    assert most_thrift(*ALIKE, STEPS, 1.0) == 0.0
    assert most_thrift((1.0,), (3.0,), STEPS, 1.0) == inf
    assert most_thrift(*ALIKE, STEPS, 0.5) == inf  # nothing can break it
    assert pick([0.5, 0.6, 0.6], [1.0, 2.0, 1.0], inf, 0.5) == 2
    assert pick([0.5, 0.6, 0.6], [1.0, 2.0, 1.0], 0.0, 0.5) == 2
    assert most_thrift((1.0, 2.0), (0.0, 0.0), STEPS, 0.9) == inf  # free, so that only the best is worthwhile


@pytest.mark.parametrize("prompt", ["What is the capital of France?", "Is 7 prime?", CHAT])
def test_calls_that_are_all_easier_than_others_are_good_enough_each(prompt: str) -> None:
    predictor = Predictor.shipped()
    names, costs = ("gpt-4o", "llama-3.2-1b"), (10.0, 0.1)
    found = predictor.predict(prompt, [ModelFacts(*both) for both in zip(names, costs, strict=True)])
    best, weak = found.quality
    for at in range(1, 101):
        if at / 100 - MOST_BELOW > weak / best:
            assert predictor.share_of_call(found, at / 100, costs) > weak / best
    assert predictor.share_of_call(found, 0.5, costs) <= weak / best


def test_a_higher_promise_leaves_less_thrift() -> None:
    found = [most_thrift(*SPREAD, STEPS, promised) for promised in (0.5, 0.8, 0.9, 0.95, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0.0


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0][0])
def test_standard_saves_money_on_chat(pair: tuple[tuple[str, float], ...]) -> None:
    facts = [ModelFacts(name, price, price) for name, price in pair]
    costs = [price for _, price in pair]
    predictor = Predictor.shipped()
    found = predictor.predict(CHAT, facts)
    options = [Option(quality, int(cost * 100)) for quality, cost in zip(found.quality, costs, strict=True)]
    assert choose(options, predictor.share_of_call(found, 0.9, costs)).index > 0
    assert choose(options, predictor.share_of_call(found, 1.0, costs)).index == 0


def test_of_a_prediction() -> None:
    predictor = Predictor.shipped()
    models = [ModelFacts("mixtral", 0.24, 0.24), ModelFacts("gpt-4", 24.7, 24.7)]
    easy = predictor.predict("How much is 12 + 30?", models)
    shares = [predictor.share_of_call(easy, share, (0.24, 24.7)) for share in (0.0, 0.5, 0.8, 0.95, 1.0)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert predictor.share_of_call(easy, 0.95, (0.0, 0.0)) == 0.95  # the best is free
    assert predictor.share_of_call(easy, 0.95, (5.0, 1.0)) == 0.95  # and the cheapest
