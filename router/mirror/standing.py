"""How much one account's outcomes count: the more it has, the less each; little if it has paid little.

Outcomes of one account are alike: they rest on one taste, one program, perhaps one purpose. Many of them say
as much as fewer independent ones would (the design effect of cluster samples, Kish 1965), with a bound that
no number of them reaches. Accounts are cheap, too, so one counts by what it has paid.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400
MOST_KEYS: Final = 10_000
"""Accounts, models and kinds whose outcomes of a day are known."""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Weighing:
    """What an outcome counts, beside its kind and the chance of its model.

    Attributes:
        half_life_s: seconds in which a count halves.
        most_a_day: what all outcomes of a kind of one account on one model in a day count at most, from 1 on.
        proven_base: an account that has paid this much counts half, base units; 0: all count alike.
    """

    half_life_s: int
    most_a_day: int
    proven_base: int

    def share(self, before: int) -> float:
        """What the next outcome of an account counts that had so many on the model in a day, above 0..1."""
        return self._worth(before + 1) - self._worth(before)

    def standing(self, spent_base: int) -> float:
        """What outcomes of an account count that has paid so much in all, 0..1."""
        if not self.proven_base:
            return 1.0
        millionths = _MILLION * spent_base // (spent_base + self.proven_base)
        return millionths / _MILLION

    def _worth(self, outcomes: int) -> float:
        """As many independent outcomes say as much; `most_a_day` at most."""
        return outcomes * self.most_a_day / (outcomes + self.most_a_day - 1) if outcomes else 0.0


class Shares:
    """How many outcomes each account had today, in bounded memory."""

    def __init__(self) -> None:
        self._had: OrderedDict[tuple[object, ...], tuple[int, int]] = OrderedDict()

    def take(self, weighing: Weighing, now_s: float, *key: object) -> float:
        """What the next outcome of an account, model and kind counts, see `Weighing.share`."""
        today = int(now_s // DAY_S)
        day, had = self._had.pop(key, (today, 0))
        had = had if day == today else 0
        self._had[key] = today, had + 1
        if len(self._had) > MOST_KEYS:
            self._had.popitem(last=False)
        return weighing.share(had)
