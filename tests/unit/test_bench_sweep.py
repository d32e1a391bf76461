"""What a router reaches over its thrift: known figures of small tables, and hulls of them."""

from __future__ import annotations

import numpy as np
import pytest

from router.bench.sweep import Ends, Figures, ends, figures, frontier, sweep

PRICE = np.array([0.01, 1.0])


def known(gains: list[int], order: list[float]) -> Figures:
    """Figures of a weak model that is always wrong where a strong one gains, predicted in an order."""
    quality = np.column_stack([1.0 - np.array(gains), np.ones(len(gains))])
    predicted = np.column_stack([np.zeros(len(order)), order])
    cost = np.tile(PRICE, (len(gains), 1))
    swept = sweep(quality, cost, predicted, cost, Ends(0, 1))
    return figures(swept, np.ones((1, len(gains))), swept)[0]


def test_a_perfect_order() -> None:
    found = known([1, 1, 0, 0, 0, 0, 0, 0, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1])
    assert found.apgr == pytest.approx(0.9, abs=0.01)
    assert (found.cpt50, found.cpt80) == (0.1, 0.2)
    assert found.saving_95 == pytest.approx(1 - (0.15 + 0.85 * 0.01))  # half of the calls to one or to two
    assert found.saving_90 == pytest.approx(1 - (0.1 + 0.9 * 0.01))


def test_the_worst_order() -> None:
    found = known([0, 0, 0, 0, 0, 0, 0, 0, 1, 1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1])
    assert found.apgr == pytest.approx(0.1, abs=0.01)
    assert (found.cpt50, found.cpt80) == (0.9, 1.0)  # of the steps themselves, as papers have it
    assert found.saving_95 == pytest.approx(0.99 / 4)  # who draws between both models saves that


def three(quality: list[float], cost: list[float], rows: int = 10) -> Figures:
    """Figures of models of which nothing tells one prompt from another."""
    of_all = np.tile(quality, (rows, 1))
    prices = np.tile(cost, (rows, 1))
    between = ends(of_all, np.array(cost))
    return figures(sweep(of_all, prices, of_all, prices, between), np.ones((1, rows)))[0]


def test_prompts_that_are_all_alike_are_shared_out_by_a_draw() -> None:
    found = three([0.4, 0.84, 0.9], [0.01, 0.1, 1.0])
    assert found.saving_95 == pytest.approx(0.9 * 0.75)
    assert found.saving_90 == pytest.approx(1 - (0.1 - 0.09 * 0.03 / 0.44))
    assert found.cpt50 == pytest.approx(0.09 / 0.99 * 0.25 / 0.44)
    # Two triangles above the weak model: up to the middle one, and on to the strong one.
    first, middle = 0.09 / 0.99, 0.44 / 0.5
    assert found.apgr == pytest.approx(first * middle / 2 + (1 - first) * (middle + 1) / 2, abs=0.01)


def test_what_is_dearer_and_worse_than_a_draw_is_no_part_of_the_hull() -> None:
    cost, quality = np.array([3.0, 1.0, 2.0, 2.0, 4.0, 1.0]), np.array([0.9, 0.1, 0.4, 0.45, 0.8, 0.0])
    spent, reached = frontier(cost, quality)
    assert (spent.tolist(), reached.tolist()) == ([1.0, 3.0], [0.1, 0.9])
    assert [one.tolist() for one in frontier(np.zeros(3), np.ones(3))] == [[0.0], [1.0]]


def test_no_gap() -> None:
    found = known([0] * 10, list(np.linspace(0.1, 0.9, 10)))
    assert (found.apgr, found.cpt50) == (None, None)
    assert found.saving_95 == pytest.approx(0.99)


def test_weak_and_strong() -> None:
    quality = np.array([[0.2, 0.9, 0.5, 0.9]] * 3)
    assert ends(quality, np.array([3.0, 1.0, 0.1, 2.0])) == Ends(2, 3)
