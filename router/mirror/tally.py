"""Outcomes, counted so that old ones fade: all that is learned from, and nothing of any prompt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STEPS_PER_UNIT: Final = 2
"""Predictions are kept to half a unit of log odds: an outcome says far less than that."""
WIDEST: Final = 8


class Kind(StrEnum):
    """Where an outcome comes from. Each has a usual rate of its own: most JSON is valid."""

    FEEDBACK = "feedback"
    FORMAT = "format"
    RETRY = "retry"
    SERVED = "served"


WEIGHTS: Final[Mapping[Kind, float]] = {
    Kind.FEEDBACK: 1.0,
    Kind.FORMAT: 0.5,
    Kind.RETRY: 0.5,
    Kind.SERVED: 0.1,
}
"""What one outcome counts: people who say so count most; failures of a provider already open its breaker."""
RARE: Final = 0.1
"""A chance at which an outcome counts whole. See `weight_of`."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What is counted together.

    Attributes:
        model: who answered.
        form: of the prompt, "choice" or "open".
        kind: where the outcome comes from.
        step: the predicted quality, in log odds, to half a unit.
    """

    model: str
    form: str
    kind: Kind
    step: int

    @property
    def log_odds(self) -> float:
        """Of the predicted quality."""
        return self.step / STEPS_PER_UNIT


@dataclass(frozen=True, slots=True)
class Count:
    """How many outcomes a cell has, and how good they were.

    Attributes:
        weight: of the outcomes, each at most 1, faded.
        good: of them, 0..weight.
        at_s: as of when, Unix seconds.
    """

    weight: float
    good: float
    at_s: float

    def faded(self, now_s: float, half_life_s: float) -> Count:
        """The same later: half of it is left after a half-life. Never more than it was."""
        share = 0.5 ** (max(0.0, now_s - self.at_s) / half_life_s)
        return Count(self.weight * share, self.good * share, max(now_s, self.at_s))

    def moved(self, weight: float, good: float, now_s: float, half_life_s: float) -> Count:
        """With an outcome more, or one that is judged otherwise now.

        Args:
            weight: that comes to it.
            good: that comes to it; negative where less is good now.
            now_s: Unix seconds.
            half_life_s: see `faded`.
        """
        old = self.faded(now_s, half_life_s)
        total = old.weight + weight
        return Count(total, min(total, max(0.0, old.good + good)), old.at_s)


def weight_of(kind: Kind, chance: float) -> float:
    """What an outcome counts, 0..1, of a model that was asked with a chance.

    A model that is asked because it looks good for a prompt tells how it does where it looks good, which
    flatters nobody: where predictions are wrong, that is where they are most so. One that is asked by lot
    tells how it does. Outcomes count by the inverse of the chance, but none for more than itself (inverse
    propensity weights, capped).
    """
    return WEIGHTS[kind] * min(1.0, RARE / chance)


def step_of(quality: float) -> int:
    """The step of log odds that a predicted quality, 0..1, falls into."""
    kept = min(1 - 1e-9, max(1e-9, quality))
    return max(-WIDEST, min(WIDEST, round(STEPS_PER_UNIT * math.log(kept / (1 - kept)))))


class Tally:
    """Counts by cell, in memory."""

    def __init__(self, half_life_s: float, counts: Iterable[tuple[Cell, Count]] = ()) -> None:
        self.half_life_s = half_life_s
        self._counts = dict(counts)

    def add(self, cell: Cell, value: float, chance: float, now_s: float, share: float = 1.0) -> None:
        """Counts an outcome, 0 (bad) .. 1 (good), of a model that was asked with a chance.

        Args:
            cell: where.
            value: of the answer.
            chance: of the model, above 0..1.
            now_s: Unix seconds.
            share: of what it counts by itself, see `router.mirror.standing`.
        """
        count = self._counts.get(cell, Count(0.0, 0.0, now_s))
        weight = share * weight_of(cell.kind, chance)
        self._counts[cell] = count.moved(weight, weight * value, now_s, self.half_life_s)

    def at(self, now_s: float) -> dict[Cell, Count]:
        """What is left of the counts."""
        return {cell: count.faded(now_s, self.half_life_s) for cell, count in sorted(self._counts.items())}
