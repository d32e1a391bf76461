"""Which of several models to ask: one that is good enough, and worth what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SHARES: Final[dict[str, float]] = {"standard": 0.90, "high": 0.95, "best": 1.0}
"""What the levels of quality mean: the share of the best candidate's predicted quality that will do."""
COST_ALONE: Final = 1e9
"""A weight of cost beside which no difference in quality counts."""
_ALIKE: Final = 1e-9
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Option:
    """A model that could be asked.

    Attributes:
        quality: predicted, 0..1.
        cost_base: what the call is expected to cost, base units.
        latency_s: expected until the answer is whole.
    """

    quality: float
    cost_base: int
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """What money and time are worth, in quality.

    Attributes:
        cost: of what the dearest option costs. At 3, a candidate that costs a tenth of that more than another
            has to be .3 better to go first, once both are good enough.
        latency: of one second.
    """

    cost: float = COST_ALONE
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The options in the order in which to ask them.

    Attributes:
        index: of the chosen one.
        ranked: indices of all of them, the chosen one first.
        floor: the predicted quality that was asked for, 0..1.
        reason: why, in words, for the person who asked.
    """

    index: int
    ranked: tuple[int, ...]
    floor: float
    reason: str


class InvalidQuality(ValueError):
    """A quality is neither a level nor a number from 0 to 1.

    Attributes:
        asked: what was asked for.
    """

    def __init__(self, asked: object) -> None:
        super().__init__(f"quality {asked!r} is neither {', '.join(SHARES)} nor a number from 0 to 1")
        self.asked = asked


def share_of(asked: str | float) -> float:
    """The share of the best candidate's quality that will do.

    Args:
        asked: a level, a number, or the text of a number.

    Raises:
        InvalidQuality: anything else.
    """
    if isinstance(asked, str) and asked in SHARES:
        return SHARES[asked]
    try:
        share = float(asked)
    except (TypeError, ValueError, OverflowError):
        raise InvalidQuality(asked) from None
    if not 0 <= share <= 1:  # refuses NaN too
        raise InvalidQuality(asked)
    return share


def choose(
    options: Sequence[Option],
    asked: str | float = "standard",
    weights: Weights | None = None,
    room_base: int | None = None,
) -> Choice:
    """Chooses among options that can all serve a call.

    Those that meet the floor come first, by ``quality - weight * cost - weight * latency``; the others
    follow by quality, so that whoever is asked when the first ones fail is the best of the rest. Those that
    there is no money for come last, the cheapest first, and are not what the floor is measured by.

    Args:
        options: one at least.
        asked: see `share_of`.
        weights: what money and time are worth; cost alone counts if None.
        room_base: the most that the call may cost, base units; any amount if None.

    Raises:
        InvalidQuality: see `share_of`.
        ValueError: there is no option.
    """
    if not options:
        raise ValueError("there is no option to choose from")
    share, weights = share_of(asked), weights or Weights()
    affordable = [one for one in options if room_base is None or one.cost_base <= room_base]
    best = max(option.quality for option in affordable or options)
    floor = share * best
    dearest_base = max(1, max(option.cost_base for option in options))

    def order(index: int) -> tuple[int, float, int, int]:
        option = options[index]
        if room_base is not None and option.cost_base > room_base:
            return 2, option.cost_base, 0, index
        if option.quality < floor - _ALIKE:
            return 1, -option.quality, option.cost_base, index
        millionths = option.cost_base * _MILLION // dearest_base
        utility = option.quality - weights.cost * millionths / _MILLION - weights.latency * option.latency_s
        return 0, -utility, option.cost_base, index

    ranked = tuple(sorted(range(len(options)), key=order))
    return Choice(ranked[0], ranked, floor, _reason(options, options[ranked[0]], floor, best))


def _reason(options: Sequence[Option], chosen: Option, floor: float, best: float) -> str:
    if len(options) == 1:
        return "the only candidate"
    head = f"predicted quality {chosen.quality:.2f} (best {best:.2f}) meets the floor of {floor:.2f}"
    enough = [option for option in options if option.quality >= floor - _ALIKE]
    if len(enough) == 1:
        return f"{head}, as no other candidate's does"
    if chosen.cost_base == min(option.cost_base for option in enough):
        return f"{head} at the lowest cost"
    return f"{head}, and is worth more than a cheaper candidate saves"
