"""From a promise about many calls to what one call is worth.

Each call goes to the candidate of the highest ``quality - thrift * cost``: what is given up in quality is
given up where it saves most (Everett 1963). The thrift is the highest at which the mean over calls of all
difficulties still keeps the promise, with a reserve for what is not known of the models. Somebody's calls may
all be easier than those, so that each of them has to be good enough by itself, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import exp, inf, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

from mini_llm.auto.logistic import sigmoid

_POINTS: Final = 31
STANDINGS: Final = tuple(NormalDist().inv_cdf((at + 0.5) / _POINTS) for at in range(_POINTS))
"""Where prompts stand among those of their form, as many below each as above: the many calls of a promise."""
DOUBT: Final = 0.45
"""What a model's accuracy differs by from what is known of it: a deviation, log odds. Between tasks it
is about .25; the rest is for how prompts of a task differ from what their text tells, and for chance in
a few hundred."""
SURE: Final = NormalDist().inv_cdf(0.95)
"""Deviations of the mean that are kept in reserve: models keep the promise in 95 of 100 cases."""
CAUTION: Final = exp(-SURE * DOUBT / 2)
"""Of the odds of every candidate but the best, where it is weighed what a call is worth: to leave the
best one costs a part of the reserve, whoever gets the call, so that it has to save a part of the cost."""
MOST_BELOW: Final = 0.2
"""By how much a single call may be predicted below the share of the best one's quality that is promised."""
CLEARLY_CHEAPER: Final = 0.5
"""Of another's cost, from which on a price alone says that one is the weaker and cheaper choice."""
_DIGITS: Final = 2
"""Of abilities and of ratios of costs: more make no difference, and fewer are worked out again."""


class Turn(NamedTuple):
    """From which thrift on calls of one difficulty go to the next cheaper candidate."""

    thrift: float
    step: float
    dear: int
    cheap: int


def worthwhile(abilities: Sequence[float], costs: Sequence[float]) -> list[int]:
    """Positions of the candidates that are better than all that cost as little, the cheapest first.

    Who is dearer than another and no better is never worth asking, and changes nothing for the others.
    """
    kept: list[int] = []
    for at in sorted(range(len(costs)), key=lambda one: (costs[one], -abilities[one])):
        if not kept or abilities[at] > abilities[kept[-1]]:
            kept.append(at)
    return kept


def separated(guessed: Sequence[bool], costs: Sequence[float]) -> list[int]:
    """Positions of the candidates that may be told apart: of those placed by price only, the dearest, and
    whoever costs at most half of the next dearer one here. Which of several neighbours is the better buy no
    price tells.

    Args:
        guessed: of each candidate, whether it is placed by price only.
        costs: of a call at each.
    """
    kept: list[int] = []
    for at in sorted(range(len(costs)), key=lambda one: -costs[one]):
        if not guessed[at] or not kept or costs[at] <= CLEARLY_CHEAPER * costs[kept[-1]]:
            kept.append(at)
    return sorted(kept)


def pick(quality: Sequence[float], costs: Sequence[float], thrift: float, share: float) -> int:
    """Position of the candidate that a call is worth; with all thrift, of the cheapest that is good enough.

    Args:
        quality: predicted, 0..1.
        costs: of the call at each, in any unit.
        thrift: see `most_thrift`.
        share: of the best candidate's quality that is promised of the mean, 0..1.
    """
    best = max(range(len(costs)), key=lambda at: (quality[at], -costs[at]))
    enough = [at for at, one in enumerate(quality) if one >= (share - MOST_BELOW) * quality[best]]
    if thrift == inf:
        return min(enough, key=lambda at: (costs[at], -quality[at]))

    def worth(at: int) -> float:
        relative = costs[at] / costs[best] if costs[best] > 0 else float(costs[at] > 0)
        return (quality[at] if at == best else feared(quality[at])) - thrift * relative

    return max(enough, key=lambda at: (worth(at), -costs[at]))


def feared(quality: float) -> float:
    """What a candidate may be worth that is not the best: its odds lowered by the reserve."""
    return quality * CAUTION / (1 - quality + quality * CAUTION)


def most_thrift(
    abilities: Sequence[float], costs: Sequence[float], steps: tuple[float, ...], share: float
) -> float:
    """The highest thrift that keeps a promise: quality that is given up to save what the best one costs.

    Args:
        abilities: of the candidates, log odds.
        costs: of a call at each, in any unit.
        steps: difficulties of many calls, log odds.
        share: of the best candidate's mean quality that is promised, 0..1.
    """
    kept = worthwhile(abilities, costs)
    dearest = costs[kept[-1]]
    if len(kept) == 1:
        return inf
    return _most_thrift(
        tuple(round(abilities[at], _DIGITS) for at in kept),
        tuple(float(f"{costs[at] / dearest:.{_DIGITS}g}") for at in kept),
        steps,
        share,
    )


@lru_cache(maxsize=4096)
def _most_thrift(
    able: tuple[float, ...], costs: tuple[float, ...], steps: tuple[float, ...], share: float
) -> float:
    """As `most_thrift`, of candidates of which each is dearer and better than the one before.

    By how much a model is better or worse than believed is not known: independent deviations, which add up
    over the calls that it gets and even out over several models that get some. The best one's counts in what
    is promised and in the calls that stay with it.
    """
    best = len(able) - 1
    high = [sigmoid(able[best] - step) for step in steps]
    above = (1 - share) * sum(high)
    felt = [0.0] * len(able)  # how the sum over calls moves with each model's log odds
    felt[best] = (1 - share) * sum(one * (1 - one) for one in high)
    turns = sorted(turn for step in steps for turn in _turns(able, costs, step))
    most, last = 0.0, len(turns) - 1
    for at, (thrift, step, dear, cheap) in enumerate(turns):
        for model, sign in ((dear, -1), (cheap, 1)):
            quality = sigmoid(able[model] - step)
            above += sign * quality
            felt[model] += sign * quality * (1 - quality)
        if above >= SURE * DOUBT * sqrt(sum(one * one for one in felt)):
            most = inf if at == last else (thrift + turns[at + 1].thrift) / 2
    return most


def _turns(able: Sequence[float], costs: Sequence[float], step: float) -> Iterator[Turn]:
    """Where calls of one difficulty go on to a cheaper candidate as thrift rises, turn by turn."""
    at = len(able) - 1
    quality = [feared(sigmoid(one - step)) for one in able[:at]] + [sigmoid(able[at] - step)]
    while at:
        thrift, cheap = min(
            ((quality[at] - quality[one]) / max(costs[at] - costs[one], 1e-9), one) for one in range(at)
        )
        yield Turn(thrift, step, at, cheap)
        at = cheap
