"""A new deployment gets a growing part of a model's traffic, and none once it fails too often."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Final, NamedTuple

from mini_llm.config_routing import RolloutConfig
from mini_llm.routing.breaker import State
from mini_llm.routing.health import Health
from mini_llm.routing.plan import Candidate

BOUND_Z: Final = 2.33
"""Normal quantile of the upper bound on the others' error rate: they are worse with a chance of 1 %."""

log = logging.getLogger(__name__)


class Stage(Enum):
    """Of a rollout."""

    RAMPING = "ramping"
    DONE = "done"
    """The last step's time is over; its percentage stays."""
    ROLLED_BACK = "rolled_back"
    """The new deployment gets nothing until its rollout is configured anew or started again."""


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """A rollout as an operator sees it; ``reason`` says why it was rolled back."""

    model: str
    deployment: str
    stage: Stage
    percent: float
    calls: int
    failures: int
    stable_calls: int
    stable_failures: int
    reason: str | None


class _Record(NamedTuple):
    """Where a deployment's counters stood when the rollout began: below zero by what was counted before its
    provider changed, with which its counters begin anew."""

    health: Health
    calls: int
    failures: int

    def since(self) -> tuple[int, int]:
        """Calls and failures since then. Of calls that ran then, some end as none and some as failures."""
        calls = max(self.health.calls - self.calls, 0)
        return calls, min(self.health.failures - self.failures, calls)


class Rollout:
    """One rollout within one process. It survives a reload of the configuration that does not change it.

    The test for a rollback: were the new deployment as good as the others, so many failures would have a
    chance below ``settings.chance``. "As good" is the upper Wilson bound of the others' error rate since the
    rollout began, never above ``settings.max_error_rate``; the chance is the exact tail of the binomial
    distribution.

    Attributes:
        settings: as configured.
        stage: how far it is.
        held: percent at which an operator holds it, so that it takes no steps; None lets it go on. A rollback
            counts all the same.
        reason: why it was rolled back.
    """

    def __init__(self, model: str, settings: RolloutConfig, now_s: float) -> None:
        self.model, self.settings = model, settings
        self.new: Candidate | None = None
        self.held: float | None = None
        self._stable: tuple[Candidate, ...] = ()
        self.restart(now_s)

    def restart(self, now_s: float) -> None:
        """Begins with the first step and an empty record."""
        self.stage = Stage.RAMPING
        self.reason: str | None = None
        self._step, self._step_s = 0, now_s
        self._records: dict[str, _Record] = {}
        self._judged, self._step_calls = (0, 0), 0
        if self.new is not None:
            self.attach(self.new, self._stable)

    def attach(self, new: Candidate, stable: Sequence[Candidate]) -> None:
        """Names who is compared; counting goes on for those who are known already, by whatever counters."""
        self.new, self._stable = new, tuple(stable)
        for candidate in (new, *stable):
            health, known = candidate.health, self._records.get(candidate.deployment.id)
            if known is None or known.health is not health:
                calls, failures = known.since() if known is not None else (0, 0)
                record = _Record(health, health.calls - calls, health.failures - failures)
                self._records[candidate.deployment.id] = record

    @property
    def percent(self) -> float:
        """Part of the traffic that the new deployment gets now."""
        if self.stage is Stage.ROLLED_BACK:
            return 0.0
        return self.settings.steps[self._step].percent if self.held is None else self.held

    def counts(self) -> tuple[int, int, int, int]:
        """Calls and failures of the new deployment, then of the others, since it began."""
        new = self._since((self.new,) if self.new else ())
        return (*new, *self._since(self._stable))

    def picks(self, now_s: float, rng: random.Random, account: str | None) -> bool:
        """True if this call goes to the new deployment; ``account`` decides about it in a sticky rollout."""
        if self.stage is Stage.ROLLED_BACK:
            return False
        self._judge()
        self._advance(now_s)
        percent = self.percent
        if self.settings.sticky and account is not None:
            digest = blake2b(f"{self.model}\0{self.settings.to}\0{account}".encode(), digest_size=8).digest()
            return int.from_bytes(digest, "big") * 100 < percent * 2**64
        return rng.random() * 100 < percent

    def roll_back(self, reason: str) -> None:
        """Sends all traffic to the others again."""
        self.stage, self.reason = Stage.ROLLED_BACK, reason
        log.error("rollout of %s for model %r rolled back: %s", self.settings.to, self.model, reason)

    def status(self) -> RolloutStatus:
        """How it stands."""
        return RolloutStatus(
            self.model, self.settings.to, self.stage, self.percent, *self.counts(), self.reason
        )

    def _since(self, candidates: Sequence[Candidate]) -> tuple[int, int]:
        calls = failures = 0
        for candidate in candidates:
            its_calls, its_failures = self._records[candidate.deployment.id].since()
            calls += its_calls
            failures += its_failures
        return calls, failures

    def _judge(self) -> None:
        """Compares the error rates, when the new deployment has failed again or twice as much is known."""
        calls, failures, stable_calls, stable_failures = self.counts()
        if self.new is None or not failures:
            return
        evidence = (failures, stable_calls.bit_length())
        if evidence == self._judged:
            return
        if calls < self.settings.min_calls and self.new.health.breaker.state is State.CLOSED:
            return  # an open breaker keeps calls away, so more of them are not to be waited for
        self._judged = evidence
        rate = min(upper_bound(stable_failures, stable_calls), self.settings.max_error_rate)
        chance = tail(failures, calls, rate)
        if chance < self.settings.chance:
            self.roll_back(
                f"{failures} of {calls} calls failed, against {stable_failures} of {stable_calls} elsewhere "
                f"(at most {rate:.2%} there; chance of so many {chance:.1e})"
            )

    def _advance(self, now_s: float) -> None:
        step = self.settings.steps[self._step]
        if self.stage is not Stage.RAMPING or self.held is not None or now_s - self._step_s < step.for_s:
            return
        calls = self.counts()[0]
        if step.percent and calls - self._step_calls < step.min_calls:
            return
        if self._step + 1 == len(self.settings.steps):
            self.stage = Stage.DONE
            log.info("rollout of %s for model %r is done", self.settings.to, self.model)
            return
        self._step, self._step_s, self._step_calls = self._step + 1, now_s, calls
        log.info("rollout of %s for model %r: %g %%", self.settings.to, self.model, self.percent)


def upper_bound(failures: int, calls: int) -> float:
    """Wilson's upper bound of an error rate; 1 if nothing is known.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if not calls:
        return 1.0
    rate, z2 = failures / calls, BOUND_Z**2
    middle = rate + z2 / (2 * calls)
    half = BOUND_Z * math.sqrt(rate * (1 - rate) / calls + z2 / (4 * calls**2))
    return min((middle + half) / (1 + z2 / calls), 1.0)


def tail(failures: int, calls: int, rate: float) -> float:
    """The chance that at least ``failures`` of ``calls`` fail when each does with chance ``rate``."""
    if failures <= 0 or rate >= 1.0:
        return 1.0
    if rate <= 0.0:
        return 0.0
    term = math.exp(
        math.lgamma(calls + 1)
        - math.lgamma(failures + 1)
        - math.lgamma(calls - failures + 1)
        + failures * math.log(rate)
        + (calls - failures) * math.log1p(-rate)
    )
    total = term
    for count in range(failures, calls):
        term *= (calls - count) / (count + 1) * rate / (1 - rate)
        total += term
        if count > calls * rate and term < total * 1e-12:
            break
    return min(total, 1.0)
