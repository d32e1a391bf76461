"""What a router reaches at every price: quality and cost as its thrift goes from none to all.

With thrift λ a prompt goes to the model of the highest ``predicted quality - λ * predicted cost``. The sweep
holds what that gives, row by row, so that resamples of the rows cost one matrix product. Drawing a thrift for
each call is a router too, so that every mean of two steps is reached: what counts is the steps' upper hull.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_STEPS: Final = 1000
LEAST_STEPS: Final = 50
CELLS: Final = 8_000_000
"""Steps times rows, beyond which the steps become fewer: 200 MB of memory for a sweep up to 160,000 rows."""
_ALIKE: Final = 1e-9
_TINY: Final = 1e-300
_UNIT: Final = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Sweep:
    """A router over its thrift, from none to all.

    Attributes:
        thrift: (k,), rising; the first is 0, the last sends everything to the cheapest.
        quality, cost: (k, n), of what was chosen for each row; the first row of each is the strong model
            alone and the last the weak one, whatever the predictions say.
        share: (k, n), 1 where the strong model was chosen; 0 elsewhere.
    """

    thrift: Floats
    quality: Floats
    cost: Floats
    share: Floats


@dataclass(frozen=True)
class Ends:
    """Positions of the two models that a router is measured between, among the columns."""

    weak: int
    strong: int


def ends(quality: Floats, price: Floats) -> Ends:
    """The strong model answers best on these rows, the dearer of two equals; the weak one is the cheapest."""
    means = quality.mean(axis=0)
    strong = int(np.lexsort((price, means))[-1])
    return Ends(int(np.lexsort((-means, price))[0]), strong)


def thrifts(predicted: Floats, price: Floats) -> Floats:
    """Values of thrift at which choices change, evenly spread over the changes; both (n, m)."""
    turns = np.concatenate(list(_turns(predicted, price)))
    if not len(turns):
        return np.array([0.0, 1.0])
    steps = min(MOST_STEPS, max(LEAST_STEPS, CELLS // len(predicted)))
    inner = np.unique(np.quantile(turns, np.linspace(0, 1, steps)))
    return np.concatenate([[0.0], inner, [inner[-1] * 2 + 1]])


def _turns(predicted: Floats, price: Floats) -> Iterator[Floats]:
    """Where rows go on to the next cheaper model as thrift rises, first change by first change."""
    at = np.argmax(predicted, axis=1)[:, None]
    for _ in range(predicted.shape[1]):
        lost = np.take_along_axis(predicted, at, axis=1) - predicted
        saved = np.take_along_axis(price, at, axis=1) - price
        turns = np.divide(lost, saved, out=np.full(lost.shape, np.inf), where=saved > 0)
        at = np.argmin(turns, axis=1)[:, None]
        turn = np.take_along_axis(turns, at, axis=1)[:, 0]
        going = np.isfinite(turn)
        yield turn[going]
        at, predicted, price = at[going], predicted[going], price[going]


def picks(predicted: Floats, price: Floats, thrift: float) -> NDArray[np.int64]:
    """(n,): which model each row goes to."""
    chosen: NDArray[np.int64] = np.argmax(predicted - thrift * price, axis=1)
    return chosen


def sweep(
    quality: Floats,
    cost: Floats,
    predicted: Floats,
    price: Floats,
    between: Ends,
    steps: Floats | None = None,
) -> Sweep:
    """Routes every row at every thrift.

    Args:
        quality, cost: (n, m), what each model's answer was worth and cost.
        predicted: (n, m), the router's guess of quality.
        price: (n, m), what a router knows beforehand of the costs, in any unit.
        between: the two models that are compared with.
        steps: values of thrift, rising; those at which choices change if None.
    """
    steps = thrifts(predicted, price) if steps is None else steps
    rows = np.arange(len(quality))
    chosen = [np.full(len(rows), between.strong)]
    chosen += [picks(predicted, price, float(one)) for one in steps]
    chosen += [np.full(len(rows), between.weak)]
    return Sweep(
        np.concatenate([[0.0], steps, [np.inf]]),
        np.stack([quality[rows, one] for one in chosen]),
        np.stack([cost[rows, one] for one in chosen]),
        np.stack([(one == between.strong).astype(np.float64) for one in chosen]),
    )


@dataclass(frozen=True)
class Figures:
    """How good a router is between a weak and a strong model.

    Attributes:
        apgr: area under the share of the gap in quality that it recovers, over the share of calls that go to
            the strong model (two models) or of the budget between both (more); .5 is chance, None without a
            gap.
        cpt50, cpt80: the share of calls, or of that budget, that recovers 50 and 80 % of the gap. With two
            models, points of the steps themselves, as RouteLLM's paper has it (Ong et al. 2024); with more,
            of their hull.
        saving_95, saving_90: the saved share of what the strong model alone costs, at 95 and 90 % of its
            quality, on the hull.
    """

    apgr: float | None
    cpt50: float | None
    cpt80: float | None
    saving_95: float
    saving_90: float


def figures(swept: Sweep, weights: Floats, by_calls: Sweep | None = None) -> list[Figures]:
    """The figures of several resamples.

    Args:
        swept: see `sweep`.
        weights: (b, n), how often each row is in each resample.
        by_calls: the router with all calls at one price, if the area and the points of the curve are measured
            by calls of the strong model; by cost if None.
    """

    def mean(of: Floats) -> Floats:
        means: Floats = of @ weights.T / weights.sum(axis=1)
        return means

    quality, cost = mean(swept.quality), mean(swept.cost)
    if by_calls is None:
        spent, reached = (cost - cost[-1]) / np.maximum(cost[0] - cost[-1], _TINY), quality
    else:
        spent, reached = mean(by_calls.share), mean(by_calls.quality)
    return [
        Figures(
            *_curve(reached[:, at], spent[:, at], by_calls is None), *savings(quality[:, at], cost[:, at])
        )
        for at in range(len(weights))
    ]


def saving(cost: float, dearest: float) -> float:
    """The saved share of a cost; nothing where there is nothing to save."""
    return 1 - cost / dearest if dearest > 0 else 0.0


def frontier(cost: Floats, quality: Floats) -> tuple[Floats, Floats]:
    """Vertices of the non-decreasing upper hull of points, both rising: what draws between points reach.

    Source: the measure of RouterBench (Hu et al. 2024); monotone chain (Andrew 1979).

    Args:
        cost, quality: (k,), means of each step, or of each model.
    """
    at = hull(cost, quality)
    return cost[at], quality[at]


def hull(cost: Floats, quality: Floats) -> NDArray[np.int64]:
    """Positions of the vertices of `frontier`, the cheapest first."""
    order = np.lexsort((-quality, cost))
    highest = np.maximum.accumulate(quality[order])
    order = order[np.concatenate([[True], quality[order][1:] > highest[:-1]])]
    kept: list[tuple[float, float, int]] = []
    for here in zip(cost[order].tolist(), quality[order].tolist(), order.tolist(), strict=True):
        while len(kept) > 1 and _below(kept[-2], kept[-1], here):
            kept.pop()
        kept.append(here)
    return np.array([at for _, _, at in kept])


def _below(
    left: tuple[float, float, int], middle: tuple[float, float, int], right: tuple[float, float, int]
) -> bool:
    """Whether the middle point is not above the line between its neighbours."""
    rise = (middle[1] - left[1]) * (right[0] - left[0])
    return rise <= (right[1] - left[1]) * (middle[0] - left[0])


def savings(quality: Floats, cost: Floats) -> tuple[float, float]:
    """The share saved at 95 and at 90 % of the first, the strong model; both (k,), means to draw from."""
    spent, reached = frontier(cost, quality)
    at_95, at_90 = (
        saving(float(np.interp(part * quality[0] - _ALIKE, reached, spent)), float(cost[0]))
        for part in (0.95, 0.90)
    )
    return at_95, at_90


def _curve(quality: Floats, spent: Floats, drawn: bool) -> tuple[float | None, float | None, float | None]:
    """The area, and what recovers 50 and 80 % of the gap, of mean quality and spending at each step, (k,);
    with draws between steps, of their hull."""
    strong, weak = quality[0], quality[-1]
    if strong - weak <= _ALIKE:
        return None, None, None
    recovered = (quality - weak) / (strong - weak)
    if drawn:
        spent, recovered = frontier(spent, recovered)
        half, most = (max(0.0, float(np.interp(part - _ALIKE, recovered, spent))) for part in (0.5, 0.8))
    else:
        half, most = (float(spent[recovered >= part - _ALIKE].min()) for part in (0.5, 0.8))
        order = np.argsort(spent, kind="stable")
        spent, recovered = spent[order], recovered[order]
    curve = np.interp(_UNIT, spent, recovered)
    return float((curve[:-1] + curve[1:]).mean() / 2), half, most  # in equal steps: trapezoids
