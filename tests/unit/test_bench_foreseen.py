"""Costs that a router expects, and what it is worth to know that long prompts are dear."""

from __future__ import annotations

import numpy as np
import pytest

from router.bench.foreseen import foreseen_costs
from router.bench.sweep import Ends, Floats, figures, sweep

RNG = np.random.default_rng(3)
LENGTHS = RNG.integers(20, 2000, 800)
PROMPTS = ["x" * int(length) for length in LENGTHS]


def test_price_and_usual_answer_are_found() -> None:
    answers = RNG.integers(10, 90, (800, 2))
    cost = LENGTHS[:, None] * np.array([2.0, 60.0]) + answers * np.array([8.0, 120.0])
    found = foreseen_costs(PROMPTS, cost)
    assert found.mean(axis=0) == pytest.approx(cost.mean(axis=0))
    told = LENGTHS[:, None] * np.array([2.0, 60.0]) + 50 * np.array([8.0, 120.0])
    assert np.abs(found / told - 1).max() < 0.05


@pytest.mark.parametrize("cost", [2000.0 - LENGTHS, LENGTHS - 15.0])
def test_neither_prices_nor_answers_are_negative(cost: Floats) -> None:
    found = foreseen_costs(PROMPTS, cost[:, None])[:, 0]
    assert found.mean() == pytest.approx(cost.mean())
    assert (np.diff(found[np.argsort(LENGTHS)]) >= -1e-9).all()
    assert found.min() >= 0


def test_prompts_of_one_length_cost_the_mean() -> None:
    cost = RNG.random((50, 3))
    assert np.allclose(foreseen_costs(["same"] * 50, cost), cost.mean(axis=0))
    assert np.allclose(foreseen_costs([""] * 50, cost), cost.mean(axis=0))


def test_short_prompts_go_to_the_strong_model_first_where_all_gain_alike() -> None:
    quality = np.column_stack([RNG.random(800) < 0.7, np.ones(800)]).astype(float)
    predicted = np.tile([0.7, 1.0], (800, 1)) + RNG.normal(0, 0.01, (800, 2))
    cost = LENGTHS[:, None] * np.array([0.01, 1.0])
    even = np.tile(cost.mean(axis=0), (800, 1))
    knowing, blind = (
        figures(sweep(quality, cost, predicted, price, Ends(0, 1)), np.ones((1, 800)))[0]
        for price in (foreseen_costs(PROMPTS, cost), even)
    )
    assert blind.saving_90 == pytest.approx(1 / 3, abs=0.08)
    assert knowing.saving_90 > blind.saving_90 + 0.15
    assert knowing.apgr is not None
    assert knowing.apgr > 0.6
