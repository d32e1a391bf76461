"""Floors: how sure a promise has to be on some rows to be kept on others, and by whom if nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from router.bench.floor import calibrate, draws, held, kept, rivals, strongest

RNG = np.random.default_rng(5)


def test_a_policy_is_believed_where_it_is_sure() -> None:
    above = np.zeros((4, 400))
    above[1], above[2] = RNG.normal(0.5, 1, 400), RNG.normal(0.05, 1, 400)
    above[3] = 9.0  # cheaper, and beyond one that fails
    cost = np.array([[4.0], [3.0], [2.0], [1.0]]) * np.ones(400)
    once = np.ones((1, 400))
    assert calibrate(above, cost, 400, once).tolist() == [1]
    assert calibrate(above + 0.4, cost, 400, once).tolist() == [3]
    assert calibrate(above, cost, 30, once).tolist() == [0]  # so few judged rows may all be bad ones
    assert kept((above, cost), [above], 0) == [1.0]


def test_each_floor_is_judged_by_itself() -> None:
    above, cost = np.full((2, 400), 0.05), np.array([[2.0], [1.0]]) * np.ones(400)
    assert kept((above, cost), [above, -above], 0) == [1.0, 0.0]


@pytest.mark.parametrize(("rows", "chosen"), [(100, 0), (1000, 1)])
def test_few_rows_that_all_went_well_prove_little(rows: int, chosen: int) -> None:
    cost = np.array([[2.0], [1.0]]) * np.ones(rows)
    assert calibrate(np.full((2, rows), 0.05), cost, rows, np.ones((1, rows))).tolist() == [chosen]


def test_draws_go_from_the_strong_model_to_the_lowest_cost() -> None:
    cost = np.array([4.0, 3.0, 2.0, 1.0, 5.0])
    shares = draws(np.array([0.9, 0.5, 0.8, 0.2, 1.0]), cost)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert (shares[0].tolist(), shares[-1].tolist()) == ([1, 0, 0, 0, 0], [0, 0, 0, 1, 0])
    assert not shares[:, 1].any()  # dearer and worse than a draw between its neighbours
    assert not shares[:, 4].any()  # dearer than the strong model, however good
    saved = -np.diff(shares @ cost) / 4.0
    assert (saved > 0).all()
    assert (saved < 0.021).all()


def test_the_way_begins_at_the_strong_model_though_another_is_better() -> None:
    shares = draws(np.array([0.7, 0.9]), np.array([2.0, 1.0]))
    assert (shares[0].tolist(), shares[-1].tolist()) == ([1, 0], [0, 1])
    assert draws(np.array([0.7, 0.9]), np.zeros(2)).tolist() == [[1, 0]]  # nothing to save


def test_the_strongest_by_rows_and_beliefs() -> None:
    lucky = np.column_stack([np.ones(40), np.arange(40) % 8 > 0]).astype(np.float64)
    assert strongest(lucky, np.array([0.7, 0.83])) == 1
    assert strongest(np.tile(lucky, (50, 1)), np.array([0.7, 0.83])) == 0


def test_a_floor_that_holds_half_the_time() -> None:
    centred = RNG.normal(0, 1, 500)
    assert held(centred - centred.mean(), 0) == pytest.approx(0.5, abs=0.05)
    assert (held(np.ones(50), 0), held(-np.ones(50), 0)) == (1.0, 0.0)


def test_who_may_be_the_strong_one() -> None:
    drawn = np.random.default_rng(5).random((400, 3))
    quality = (drawn < (0.8, 0.78, 0.4)).astype(np.float64)
    assert rivals(quality).tolist() == [0, 1]
    assert rivals(np.tile(quality, (400, 1))).tolist() == [int(quality.mean(axis=0).argmax())]
