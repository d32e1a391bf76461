"""What a router did within the last minute, from two looks at its counters."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from mini_llm.routing.run import OVERTAKEN
from router.beside import beside
from router.observe.metrics import SECONDS, Histogram, Labels, Metrics

LOOK_S: Final = 5.0
"""The counters are looked at so often."""
LOOKS: Final = 12
"""Looks that are kept: a minute."""
ANSWERED: Final = "answered"


@dataclass(frozen=True)
class ProviderPulse:
    """Tries at one provider: how many, how many of them failed, and how many calls went elsewhere then."""

    provider: str
    tries: int
    failed: int
    fallbacks: int


@dataclass(frozen=True)
class Pulse:
    """The last minute, or less if the router has just started.

    Attributes:
        span_s: how long it is.
        calls: paid calls that ended; `refused` those that ended in an error.
        tokens: of charged calls, read and written.
        p50_s, p99_s: duration of calls to the last byte; None without calls. From a histogram, so each is
            known within the bounds of its bucket.
        first_p50_s, first_p99_s: of streams, until the first content.
        providers: by name.
    """

    span_s: float
    calls: int
    refused: int
    tokens: int
    p50_s: float | None
    p99_s: float | None
    first_p50_s: float | None
    first_p99_s: float | None
    providers: tuple[ProviderPulse, ...]


@dataclass(frozen=True)
class Look:
    at_s: float
    outcomes: Mapping[Labels, int]
    attempts: Mapping[Labels, int]
    fallbacks: Mapping[Labels, int]
    tokens: int
    seconds: Sequence[int]
    first: Sequence[int]


class PulseKeeper:
    """Looks at the counters from time to time."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._looks = deque((look(metrics),), maxlen=LOOKS + 1)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Looks until the block ends."""
        async with beside(self._keep()):
            yield

    def pulse(self) -> Pulse:
        """The last minute up to now."""
        return between(self._looks[0], look(self._metrics))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._looks.append(look(self._metrics))


def between(old: Look, new: Look) -> Pulse:
    """What happened between two looks."""
    outcomes, attempts = _grown(old.outcomes, new.outcomes), _grown(old.attempts, new.attempts)
    fallbacks = _grown(old.fallbacks, new.fallbacks)
    seconds = [after - before for before, after in zip(old.seconds, new.seconds, strict=True)]
    first = [after - before for before, after in zip(old.first, new.first, strict=True)]
    calls = sum(outcomes.values())
    return Pulse(
        span_s=max(new.at_s - old.at_s, 0.001),
        calls=calls,
        refused=calls - sum(value for (_, outcome), value in outcomes.items() if outcome == "ok"),
        tokens=new.tokens - old.tokens,
        p50_s=quantile(seconds, 50),
        p99_s=quantile(seconds, 99),
        first_p50_s=quantile(first, 50),
        first_p99_s=quantile(first, 99),
        providers=tuple(_providers(attempts, fallbacks)),
    )


def quantile(counts: Sequence[int], percent: int) -> float | None:
    """The duration that so many of a hundred do not exceed, evenly within its bucket; None of none.

    Args:
        counts: by the bounds of `SECONDS`, the last one without a bound.
        percent: 1 to 99.
    """
    total = sum(counts)
    if not total:
        return None
    rank = total * percent / 100
    for at, below in enumerate(accumulate(counts)):
        if below >= rank:
            low = SECONDS[at - 1] if at else 0.0
            high = SECONDS[at] if at < len(SECONDS) else low
            return low + (high - low) * (rank - (below - counts[at])) / counts[at]
    return SECONDS[-1]


def _providers(attempts: Mapping[Labels, int], fallbacks: Mapping[Labels, int]) -> Iterable[ProviderPulse]:
    tries: dict[str, int] = {}
    failed: dict[str, int] = {}
    for (_, provider, outcome), count in attempts.items():
        if outcome != OVERTAKEN:
            tries[provider] = tries.get(provider, 0) + count
        if outcome not in (ANSWERED, OVERTAKEN):
            failed[provider] = failed.get(provider, 0) + count
    for name in sorted(tries):
        yield ProviderPulse(name, tries[name], failed.get(name, 0), fallbacks.get((name,), 0))


def _grown(old: Mapping[Labels, int], new: Mapping[Labels, int]) -> dict[Labels, int]:
    return {labels: value - old.get(labels, 0) for labels, value in new.items() if value != old.get(labels)}


def look(metrics: Metrics) -> Look:
    kinds = metrics.tokens.values
    return Look(
        at_s=time.monotonic(),
        outcomes=dict(metrics.outcomes.values),
        attempts=dict(metrics.attempts.values),
        fallbacks=dict(metrics.fallbacks.values),
        tokens=sum(value for (_, kind), value in kinds.items() if kind in ("prompt", "completion")),
        seconds=_summed(one for surface, one in metrics.seconds.items() if surface),
        first=_summed(metrics.first_content.values()),
    )


def _summed(histograms: Iterable[Histogram]) -> list[int]:
    none = [0] * (len(SECONDS) + 1)
    return [sum(column) for column in zip(none, *(one.counts for one in histograms), strict=True)]
