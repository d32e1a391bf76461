"""Whether a promised quality is kept: calibrating on some rows, judging on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.bench.sweep import Floats, hull

RESAMPLES: Final = 1000
CHUNK: Final = 50
RESERVES: Final = (3.75, 4.0, 4.25, 4.5)
"""Standard errors that the mean may have to be above the floor on the rows of calibration."""
LIKELY: Final = 1.645
"""Standard errors above the floor at which it holds in 95 of 100 resamples."""
KEPT: Final = 0.95
"""Of halves of the rows of calibration, how many have to show that, calibrated on the other half."""
BELIEVED_ROWS: Final = 100.0
"""Rows that a belief in a model is worth, where those fitted on leave open which one is the best."""
HALVES: Final = 200
DRAWS: Final = 8
"""Shares of a draw between two steps that are looked at."""
ALIKE: Final = 2.0
"""Standard errors that a model may be behind the best and still be the strong one."""
_TINY: Final = 1e-12


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
    """(p, k): shares of a sweep's steps in what a router may do: draws along their upper hull, from the best
    answers to the lowest cost.

    Args:
        quality, cost: (k,), means of the steps.
    """
    alone = np.eye(len(quality))
    vertices = alone[hull(cost, quality)[::-1]]
    shares = [vertices[0]]
    for dear, cheap in pairwise(vertices):
        shares += [(1 - part) * dear + part * cheap for part in np.linspace(0, 1, DRAWS + 1)[1:]]
    return np.stack(shares)


def strongest(bests: Floats, believed: Floats) -> int:
    """Which of the models that may be the strong one seems so by its answers and what was believed before.

    Args:
        bests: (n, r), quality of these models.
        believed: (r,), means that were predicted.
    """
    return int((bests.sum(axis=0) + BELIEVED_ROWS * believed).argmax())


def margins(quality: Floats, bests: Floats, share: float) -> list[Floats]:
    """(p, n) for each model that may be the strong one: how far rows' answers are above its share.

    Args:
        quality: (p, n), of the rows.
        bests: (n, r), quality of these models.
        share: of the strong model's quality.
    """
    return [quality - share * best for best in bests.T]


def calibrate(
    above: Sequence[Floats], cost: Floats, judged: int, weights: Floats, reserve: float
) -> NDArray[np.int64]:
    """The cheapest of several policies at which the floor holds for sure on the rows of calibration.

    Args:
        above: of `margins`, (p, n) each.
        cost: (p, n).
        judged: rows that the promise is judged on: few of them call for more reserve.
        weights: (b, n), how often each row counts in each of b resamples.
        reserve: standard errors that the mean has to be above the floor.

    Returns:
        (b,), positions among the policies; 0, the first, where nothing else is sure.
    """
    sure = np.logical_and.reduce([_errors(one, weights, judged) >= reserve for one in above])
    sure[0] = True
    # Up to the first that fails: of many beyond, some would pass by luck.
    sure = np.logical_and.accumulate(sure, axis=0)
    steps: NDArray[np.int64] = np.argmin(np.where(sure, cost @ weights.T, np.inf), axis=0)
    return steps


def _errors(above: Floats, weights: Floats, judged: int) -> Floats:
    """(p, b): by how many standard errors the mean of each policy is above the floor in each resample."""
    n = weights.sum(axis=1)
    mean = above @ weights.T / n
    spread = np.sqrt(np.maximum(above**2 @ weights.T / n - mean**2, 0))
    errors: Floats = (mean + _TINY) / (spread * np.sqrt(1 / n + 1 / judged) + _TINY)
    return errors


def reserve_for(above: Sequence[Floats], cost: Floats, bests: Floats, seed: int) -> float:
    """The smallest reserve with which a half of the rows keeps the promise on the other half, as it would be
    judged: beside the model that is the best there, in 95 of 100 resamples. If none does, the largest.

    Args:
        above, cost: as for `calibrate`.
        bests: (n, r), quality of the models that may be the strong one.
        seed: of the halves.
    """
    count = cost.shape[1]
    rng = np.random.default_rng(seed)
    inside = (rng.random((HALVES, count)).argsort(axis=1) < count // 2).astype(np.float64)
    outside = 1 - inside
    best = np.argmax(outside @ bests, axis=1)
    rest = count - count // 2
    beyond = np.stack([_errors(one, outside, rest) for one in above])
    for reserve in RESERVES:
        steps = calibrate(above, cost, rest, inside, reserve)
        if (beyond[best, steps, np.arange(HALVES)] >= LIKELY).mean() >= KEPT:
            return reserve
    return RESERVES[-1]


def kept(fitted: tuple[Sequence[Floats], Floats], judged: Floats, reserve: float, seed: int) -> float:
    """The share of resamples in which the floor held, of both the rows of calibration and the judged ones.

    Args:
        fitted: margins and cost of the rows of calibration.
        judged: how far rows' answers are above the floor by the same policies, (p, m).
        reserve: see `calibrate`.
        seed: of the resamples.
    """
    above, cost = fitted
    count, total = judged.shape[1], 0
    first, second = resamples(cost.shape[1], RESAMPLES, seed), resamples(count, RESAMPLES, seed + 1)
    for weights, others in zip(first, second, strict=True):
        steps = calibrate(above, cost, count, weights, reserve)
        total += int(((judged[steps] * others).sum(axis=1) >= 0).sum())
    return total / RESAMPLES


def held(above: Floats, seed: int) -> float:
    """The share of resamples of the rows in which one choice for each is above the floor; above: (n,)."""
    total = sum(int((weights @ above >= 0).sum()) for weights in resamples(len(above), RESAMPLES, seed))
    return total / RESAMPLES
