"""Who was asked for an answer, and why the next one was."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mini_llm.deployment import Deployment
from mini_llm.request import Request
from mini_llm.routing.fit import unfit
from mini_llm.routing.plan import Attempt, Candidate

SERVED: Final = "ok"
PASSED_OVER: Final = "passed over"


@dataclass(frozen=True, slots=True)
class Hop:
    """One deployment that was asked, or was not because of what is known about it.

    Attributes:
        provider: its provider, as configured; ``wallet`` is the wallet.
        deployment: its id.
        outcome: ``ok``, the name of the error's type, or ``passed over``.
        reason: the error, or why it was passed over, in words; empty for the one that served.
        ms: how long it took, milliseconds.
    """

    provider: str
    deployment: str
    outcome: str
    reason: str
    ms: int

    def __str__(self) -> str:
        return f"{self.deployment}: {self.reason or self.outcome} ({self.ms} ms)"


def hops_of(attempts: Sequence[Attempt], served: Deployment | None = None, ms: int = 0) -> tuple[Hop, ...]:
    """The attempts that failed and, after them, the deployment that served."""
    asked = [Hop(one.provider, one.deployment, one.outcome, one.reason, one.ms) for one in attempts]
    if served is not None:
        took_ms = max(ms - sum(one.ms for one in attempts), 0)
        asked.append(Hop(served.provider, served.id, SERVED, "", took_ms))
    return tuple(asked)


def passed_over(request: Request, candidates: Iterable[Candidate]) -> tuple[Hop, ...]:
    """The candidates that were not asked for a reason; those that just had no turn are left out."""
    now_s = time.monotonic()
    hops = []
    for candidate in candidates:
        deployment, health = candidate.deployment, candidate.health
        reason = unfit(request, deployment, candidate.provider)
        if reason is None and (hindrance := health.hindrance(now_s)) is not None:
            reason = hindrance.reason
        if reason is None and (left_s := health.paused_s(now_s)):
            reason = f"asked for a pause of {left_s:.0f} s more"
        if reason is None and not health.breaker.admits(now_s):
            left_s = max(health.breaker.until_s - now_s, 0)
            reason = f"failed before, and is left alone for {left_s:.0f} s more"
        if reason is None and health.steering.rests(now_s):
            left_s = health.steering.rest_until_s - now_s
            reason = f"is to rest for {left_s:.0f} s more, and is asked when all others fail"
        if reason is not None:
            hops.append(Hop(deployment.provider, deployment.id, PASSED_OVER, reason, 0))
    return tuple(hops)
