"""Whether a promised quality is kept: calibrating on some rows, judging on others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.bench.sweep import Floats, hull

RESAMPLES: Final = 1000
CHUNK: Final = 50
RESERVE: Final = 3.75
"""Standard errors that the mean has to be above the floor on the rows of calibration: 1.645 for the resamples
that it is judged by, as much again for rows that may have been drawn badly, and the rest because the cheapest
of many policies was chosen that looked sure."""
STEPS: Final = 30
"""Of a sweep, between which draws are looked at: the best of more would be better by luck only."""
BELIEVED_ROWS: Final = 100.0
"""Rows that a belief in a model is worth, where those fitted on leave open which one is the best."""
DRAWS: Final = 50
"""Draws that are looked at on the way from the strong model's cost to nothing: each saves 2 % more."""
ALIKE: Final = 2.0
"""Standard errors that a model may be behind the best and still be the strong one."""
LOST: Final = -0.95
"""How far a row is below the floor in which the strong model is right and the one that was asked is wrong."""
_TINY: Final = 1e-300


def resamples(n: int, count: int, seed: int) -> Iterator[Floats]:
    """Chunks of (chunk, n): how often each row is in each bootstrap resample."""
    rng = np.random.default_rng(seed)
    even = np.full(n, 1 / n)
    for at in range(0, count, CHUNK):
        yield rng.multinomial(n, even, size=min(CHUNK, count - at)).astype(np.float64)


def rivals(quality: Floats) -> NDArray[np.int64]:
    """Which models may be the strong one of more rows than these; quality: (n, m).

    Of few rows that is not sure: whoever was lucky on them looks best.
    """
    best = int(quality.mean(axis=0).argmax())
    behind = quality[:, [best]] - quality
    error = behind.std(axis=0) / np.sqrt(len(quality))
    return np.flatnonzero(behind.mean(axis=0) <= ALIKE * error)


def draws(quality: Floats, cost: Floats) -> Floats:
    """(p, k): shares of some steps in what a router may do instead of the first alone: draws on the way from
    it along the upper hull of those that cost no more, down to the lowest cost.

    Args:
        quality, cost: (k,), means of the steps.
    """
    alone = np.eye(len(quality))
    affordable = np.flatnonzero(cost <= cost[0])
    way = [0, *affordable[hull(cost[affordable], quality[affordable])[::-1]]]
    shares = [alone[0]]
    for dear, cheap in pairwise(dict.fromkeys(way)):
        saved = (cost[dear] - cost[cheap]) / max(cost[0], _TINY)
        parts = np.linspace(0, 1, math.ceil(saved * DRAWS) + 1)[1:]
        shares += [(1 - part) * alone[dear] + part * alone[cheap] for part in parts]
    return np.stack(shares)


def strongest(bests: Floats, believed: Floats) -> int:
    """Which of the models that may be the strong one seems so by its answers and what was believed before.

    Args:
        bests: (n, r), quality of these models.
        believed: (r,), means that were predicted.
    """
    return int((bests.sum(axis=0) + BELIEVED_ROWS * believed).argmax())


def calibrate(above: Floats, cost: Floats, judged: int, weights: Floats) -> NDArray[np.int64]:
    """The cheapest of several policies at which the floor holds for sure on the rows of calibration.

    Args:
        above: (p, n), how far rows' answers are above the floor.
        cost: (p, n).
        judged: rows that the promise is judged on: few of them call for more reserve.
        weights: (b, n), how often each row counts in each of b resamples.

    Returns:
        (b,), positions among the policies; 0, the first, where nothing else is sure.
    """
    sure = _errors(above, weights, judged) >= RESERVE
    sure[0] = True
    # Up to the first that fails: of many beyond, some would pass by luck.
    sure = np.logical_and.accumulate(sure, axis=0)
    steps: NDArray[np.int64] = np.argmin(np.where(sure, cost @ weights.T, np.inf), axis=0)
    return steps


def _errors(above: Floats, weights: Floats, judged: int) -> Floats:
    """(p, b): by how many standard errors the mean of each policy is above the floor in each resample.

    One row more is counted, in which nothing was left of a strong answer: that it was not among few rows
    does not say that there is none.
    """
    n = weights.sum(axis=1) + 1
    mean = (above @ weights.T + LOST) / n
    spread = np.sqrt((above**2 @ weights.T + LOST**2) / n - mean**2)
    errors: Floats = mean / (spread * np.sqrt(1 / n + 1 / judged))
    return errors


def kept(fitted: tuple[Floats, Floats], judged: Sequence[Floats], seed: int) -> list[float]:
    """The share of resamples in which each floor held, of both the rows of calibration and the judged ones.

    Args:
        fitted: how far the rows of calibration are above the floor by each policy, and their cost, (p, n).
        judged: how far rows' answers are above each floor by the same policies, (p, m).
        seed: of the resamples.
    """
    above, cost = fitted
    count, total = judged[0].shape[1], np.zeros(len(judged), dtype=np.int64)
    first, second = resamples(cost.shape[1], RESAMPLES, seed), resamples(count, RESAMPLES, seed + 1)
    for weights, others in zip(first, second, strict=True):
        steps = calibrate(above, cost, count, weights)
        total += [int(((one[steps] * others).sum(axis=1) >= 0).sum()) for one in judged]
    return [int(one) / RESAMPLES for one in total]


def held(above: Floats, seed: int) -> float:
    """The share of resamples of the rows in which one choice for each is above the floor; above: (n,)."""
    total = sum(int((weights @ above >= 0).sum()) for weights in resamples(len(above), RESAMPLES, seed))
    return total / RESAMPLES
