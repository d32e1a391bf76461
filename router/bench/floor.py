"""Whether a promised quality is kept: calibrating on some rows, judging on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.bench.sweep import Floats, Sweep

RESAMPLES: Final = 1000
CHUNK: Final = 50
SURE: Final = 4.0
"""Standard errors that the mean has to be above the floor on the rows of calibration."""
ALIKE: Final = 2.0
"""Standard errors that a model may be behind the best and still be the strong one."""


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


def margins(swept: Sweep, bests: Floats, share: float) -> list[Floats]:
    """(k, n) for each model that may be the strong one: how far rows' answers are above its share.

    Args:
        swept: of the rows.
        bests: (n, r), quality of these models.
        share: of the strong model's quality.
    """
    return [swept.quality - share * best for best in bests.T]


def calibrate(above: Sequence[Floats], cost: Floats, judged: int, weights: Floats) -> NDArray[np.int64]:
    """The cheapest step of a sweep at which the floor holds for sure on the rows of calibration.

    Args:
        above: of `margins`, (k, n) each.
        cost: (k, n).
        judged: rows that the promise is judged on: few of them call for more reserve.
        weights: (b, n), how often each row counts in each of b resamples.

    Returns:
        (b,), positions among the steps; 0, the first step, where nothing else is sure.
    """
    n = weights.sum(axis=1)
    sure = np.ones((len(cost), len(weights)), dtype=bool)
    for one in above:
        mean = one @ weights.T / n
        spread = np.sqrt(np.maximum(one**2 @ weights.T / n - mean**2, 0))
        sure &= mean >= SURE * spread * np.sqrt(1 / n + 1 / judged)
    sure[0] = True
    # Up to the first step that fails: of many steps beyond, some would pass by luck.
    sure = np.logical_and.accumulate(sure, axis=0)
    steps: NDArray[np.int64] = np.argmin(np.where(sure, cost @ weights.T / n, np.inf), axis=0)
    return steps


def kept(fitted: tuple[Sequence[Floats], Floats], judged: Floats, seed: int) -> float:
    """The share of resamples in which the floor held, of both the rows of calibration and the judged ones.

    Args:
        fitted: margins and cost of the rows of calibration.
        judged: how far rows' answers are above the floor at the same steps, (k, p).
        seed: of the resamples.
    """
    above, cost = fitted
    count, total = judged.shape[1], 0
    first, second = resamples(cost.shape[1], RESAMPLES, seed), resamples(count, RESAMPLES, seed + 1)
    for weights, others in zip(first, second, strict=True):
        steps = calibrate(above, cost, count, weights)
        total += int(((judged[steps] * others).sum(axis=1) >= 0).sum())
    return total / RESAMPLES


def held(above: Floats, seed: int) -> float:
    """The share of resamples of the rows in which one choice for each is above the floor; above: (n,)."""
    total = sum(int((weights @ above >= 0).sum()) for weights in resamples(len(above), RESAMPLES, seed))
    return total / RESAMPLES
