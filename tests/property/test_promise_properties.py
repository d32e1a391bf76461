"""Who else is on offer changes a choice only by being worth it."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from mini_llm.auto.choice import Option, choose
from mini_llm.auto.logistic import sigmoid
from mini_llm.auto.predictor import Prediction, Predictor

MODELS = st.lists(st.tuples(st.floats(-1, 4), st.integers(1, 10_000)), min_size=1, max_size=8)
SHARES = st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0])


def choice(models: list[tuple[float, int]], step: float, share: float) -> tuple[float, int]:
    """Ability and cost of whoever is chosen."""
    abilities, costs = zip(*models, strict=True)
    quality = tuple(sigmoid(one - step) for one in abilities)
    found = Prediction(0.5, 0.5, quality, "open", abilities)
    asked = Predictor.shipped().share_of_call(found, share, costs)
    options = [Option(one, cost) for one, cost in zip(quality, costs, strict=True)]
    return models[choose(options, asked).index]


@given(MODELS, st.floats(-1, 1), SHARES, st.data())
def test_a_candidate_that_is_dominated_changes_nothing(
    models: list[tuple[float, int]], step: float, share: float, data: st.DataObject
) -> None:
    ability, cost = data.draw(st.sampled_from(models))
    worse = ability - data.draw(st.floats(0, 3)), cost + data.draw(st.integers(1, 10_000))
    assert choice(models, step, share) == choice([*models, worse], step, share)


@given(MODELS, st.floats(-1, 1), SHARES)
def test_the_chosen_one_is_on_offer_and_worth_it(
    models: list[tuple[float, int]], step: float, share: float
) -> None:
    ability, cost = choice(models, step, share)
    assume(len(models) > 1)
    assert not any(able > ability and other < cost for able, other in models)
