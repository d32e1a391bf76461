"""Floors: how sure a promise has to be on some rows to be kept on others, and by whom if nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from router.bench.floor import calibrate, draws, held, kept, margins, reserve_for, rivals, strongest
from router.bench.sweep import Ends, Floats, sweep

RNG = np.random.default_rng(5)
PRICE = np.array([0.01, 1.0])


def test_a_step_is_believed_where_it_is_sure() -> None:
    above = np.zeros((4, 400))
    above[1], above[2] = RNG.normal(0.5, 1, 400), RNG.normal(0.05, 1, 400)
    above[3] = 9.0  # cheaper, and beyond one that fails
    cost = np.array([[4.0], [3.0], [2.0], [1.0]]) * np.ones(400)
    assert calibrate([above], cost, 400, np.ones((1, 400)), 3.0).tolist() == [1]
    assert calibrate([above], cost, 400, np.ones((1, 400)), 0.1).tolist() == [3]
    assert calibrate([above, above - 0.4], cost, 400, np.ones((1, 400)), 3.0).tolist() == [0]
    assert kept(([above], cost), above, 3.0, 0) == 1.0


def test_a_draw_between_steps_goes_from_the_best_answers_to_the_lowest_cost() -> None:
    shares = draws(np.array([0.9, 0.5, 0.8, 0.2]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert shares.sum(axis=1) == pytest.approx(1)
    assert (shares[0].tolist(), shares[-1].tolist()) == ([1, 0, 0, 0], [0, 0, 0, 1])
    assert not shares[:, 1].any()  # dearer and worse than a draw between its neighbours
    assert (np.diff(shares @ np.array([4.0, 3.0, 2.0, 1.0])) < 0).all()


def alike(models: int, rows: int, chance: float = 0.65) -> Floats:
    return (RNG.random((rows, models)) < chance).astype(np.float64)


def test_more_reserve_is_kept_where_chance_decides() -> None:
    """A saving that is there is taken with less reserve than one that is only luck."""
    rows = 600
    strong = alike(1, rows, 0.9)
    steps = np.stack([strong[:, 0], np.maximum(strong[:, 0] - (RNG.random(rows) < 0.01), 0)])
    cost = np.array([[10.0], [1.0]]) * np.ones(rows)
    sure = reserve_for(margins(steps, strong, 0.95), cost, strong, 0)
    models = alike(4, rows)
    unsure = reserve_for(margins(models.T, models, 0.95), np.ones((4, rows)), models, 0)
    assert sure < 4.5 == unsure


def test_the_strongest_by_rows_and_beliefs() -> None:
    lucky = np.column_stack([np.ones(40), np.arange(40) % 8 > 0]).astype(np.float64)
    assert strongest(lucky, np.array([0.7, 0.83])) == 1
    assert strongest(np.tile(lucky, (50, 1)), np.array([0.7, 0.83])) == 0


def test_a_floor_that_holds_half_the_time() -> None:
    centred = RNG.normal(0, 1, 500)
    assert held(centred - centred.mean(), 0) == pytest.approx(0.5, abs=0.05)
    assert (held(np.ones(50), 0), held(-np.ones(50), 0)) == (1.0, 0.0)


def test_margins_are_above_the_strong_models_share() -> None:
    quality = np.array([[0.0, 1.0], [1.0, 1.0]])
    cost = np.tile(PRICE, (2, 1))
    swept = sweep(quality, cost, quality, cost, Ends(0, 1))
    (above,) = margins(swept.quality, quality[:, [1]], 0.9)
    assert above[-1].tolist() == pytest.approx([-0.9, 0.1])


def test_who_may_be_the_strong_one() -> None:
    quality = np.column_stack([RNG.random(400) < chance for chance in (0.8, 0.78, 0.4)]).astype(float)
    assert rivals(quality).tolist() == [0, 1]
    assert rivals(np.tile(quality, (400, 1))).tolist() == [int(quality.mean(axis=0).argmax())]
