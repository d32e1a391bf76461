"""From a promise about many calls to what one call has to be predicted at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Final

from mini_llm.auto.logistic import sigmoid

_POINTS: Final = 31
STANDINGS: Final = tuple(NormalDist().inv_cdf((at + 0.5) / _POINTS) for at in range(_POINTS))
"""Where prompts stand among those of their form, as many below each as above: the many calls of a promise."""
DOUBT: Final = 0.5
"""What a model's accuracy differs by from one benchmark to the next, beside that of others, log odds."""


def caution(rivals: int) -> float:
    """Log odds by which those that calls may go to, but the best, are taken to be worse than believed.

    One deviation, and what the most flattered of several is flattered by: calls go to whoever looks good.
    Source of the expected maximum of normal deviates: Blom 1958.

    Args:
        rivals: how many of them there are; what is believed equally good counts once.
    """
    if not rivals:
        return 0.0
    return DOUBT * (1 + NormalDist().inv_cdf((rivals - 0.375) / (rivals + 0.25)))


@lru_cache(maxsize=1024)
def share_of_call(abilities: tuple[float, ...], steps: tuple[float, ...], share: float) -> float:
    """The lowest share of the best candidate's quality that a call may be predicted at.

    Each call is taken to go to the worst candidate that meets it, the worst case for whatever prices there
    are, and each candidate but the best to do worse than predicted. That may ask more of a call than is
    promised: where all are predicted to be little worse than the best, the promise alone leaves no reserve
    for those that are worse than that. Candidates of one ability are one here, as a model's copies err
    alike, and who equals the best meets any share.

    Args:
        abilities: of the candidates, log odds.
        steps: difficulties of many calls, log odds.
        share: of the best candidate's mean quality that is promised, 0..1.
    """
    able = sorted(set(abilities))
    best = [sigmoid(able[-1] - step) for step in steps]
    likely = [
        [sigmoid(ability - step) / high for ability in able] for step, high in zip(steps, best, strict=True)
    ]
    shares = sorted({one for call in likely for one in call})
    enough = share * sum(best)
    at = bisect_left(shares, True, key=lambda asked: _mean(able, steps, likely, asked) >= enough)
    if at == 0:  # Whoever gets the calls, the promise is kept.
        return min(share, shares[0])
    return shares[at] if at < len(shares) else 1.0


def _mean(
    able: Sequence[float], steps: Sequence[float], likely: Sequence[Sequence[float]], share: float
) -> float:
    """Quality over all calls, added up, where each goes to the worst candidate that is predicted at a share
    of the best and all that are let through anywhere, but the best, are worse than believed.

    Args:
        able: abilities, rising.
        steps: difficulties of the calls.
        likely: of each call, what each candidate is predicted at, as a share of the best.
        share: that is asked for.
    """
    worst = [bisect_left(call, share) for call in likely]
    fear, best = caution(len(able) - 1 - min(worst)), len(able) - 1
    return sum(
        sigmoid(able[one] - (fear if one < best else 0.0) - step)
        for one, step in zip(worst, steps, strict=True)
    )
