"""Exploration in a simulated day: models drawn by lot, and an operator's budget that pays for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from simulated_traffic import DAY_S

from mini_llm.auto.pacer import Pacer, Plan
from mini_llm.auto.predictor import Prediction
from router.conductor.facts import Spending
from router.mirror.explore import chances, drawn

EXPLORED: Final = 0.03


class Lots:
    """Draws lots as a router does that has learned nothing yet, until it is told to pause.

    Args:
        budget_base: for a day's calls to `auto`, base units.
        clock: seconds of the day.
        seed: of chance.

    Attributes:
        at_s: when another model than the usual one was drawn.
    """

    active = True

    def __init__(self, budget_base: int, clock: Callable[[], float], seed: int) -> None:
        self._clock, self._rng = clock, random.Random(seed)  # noqa: S311
        self._pacer = Pacer.first(Plan(budget_base, 0, round(DAY_S)), 0, 0.0)
        self._paused_until_s = 0.0
        self.at_s: list[float] = []

    def correct(self, prediction: Prediction, _models: Sequence[str]) -> Prediction:
        """See `Mirroring`."""
        return prediction

    def draw(
        self, _account: str, options: int, shipped: int, learned: int, allowed: Sequence[int]
    ) -> tuple[int, tuple[float, ...]]:
        """See `Mirroring`."""
        draws = allowed and self._clock() >= self._paused_until_s
        found = chances(options, shipped, learned, allowed, EXPLORED if draws else 0.0)
        at = drawn(found, self._rng.random())
        if at != shipped:
            self.at_s.append(self._clock())
        return at, found

    def charged(self, cost_base: int) -> None:
        """A call was paid for."""
        self._pacer = self._pacer.spend(cost_base, cost_base, self._clock())

    def spending(self) -> Spending:
        """See `Exploring`."""
        return Spending(self._pacer.left(self._clock()), EXPLORED)

    def pause(self, seconds: float) -> None:
        """See `Exploring`."""
        self._paused_until_s = self._clock() + seconds
