"""One call on its way through its plan: asking, pausing, asking elsewhere."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mini_llm.config_routing import HedgeConfig
from mini_llm.errors import MiniLLMError, UpstreamRefused
from mini_llm.routing.events import Listener, left_alone
from mini_llm.routing.health import Hindrance
from mini_llm.routing.hedge import race
from mini_llm.routing.plan import Attempt, Candidate, Outcome, Plan
from mini_llm.routing.planning import none_can_serve
from mini_llm.routing.verdict import Verdict, judge

T = TypeVar("T")

OVERTAKEN = "Hedged"
"""Outcome of an attempt that another overtook."""
STOPPED = "Stopped"
"""Outcome of an attempt that was running when the call was given up."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run needs from outside; tests bring their own."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    rng: random.Random
    listener: Listener


class Run(Generic[T]):
    """One call through one plan."""

    __slots__ = (
        "_attempts",
        "_began_s",
        "_call",
        "_deferred",
        "_last",
        "_paused_s",
        "_plan",
        "_tools",
        "_verdicts",
    )

    def __init__(
        self,
        tools: Tools,
        plan: Plan,
        call: Callable[[Candidate], Awaitable[T]],
        attempts: list[Attempt],
    ) -> None:
        self._tools, self._plan, self._call, self._attempts = tools, plan, call, attempts
        self._began_s = tools.clock()
        self._paused_s = 0.0
        self._last: MiniLLMError | None = None
        self._verdicts: dict[Candidate, Verdict] = {}
        self._deferred: list[Candidate] = []

    async def to_the_end(self) -> Outcome[T]:
        """See ``Routes.attempt``."""
        plan = self._plan
        if plan.hedge is not None and (won := await self._hedged(plan.hedge)) is not None:
            return won
        for group in plan.groups:
            if (won := await self._through(group, plan.retry.retries)) is not None:
                return won
        last_resort = (*self._deferred, *plan.shut)
        if last_resort and (won := await self._through(last_resort, 0, open_too=True)) is not None:
            return won
        if self._last is not None:
            raise self._last
        raise none_can_serve(plan.model, self._hindrances())

    async def _through(
        self, group: Sequence[Candidate], retries: int, open_too: bool = False
    ) -> Outcome[T] | None:
        """Asks a group, once round and again; None if it could not serve."""
        for tries in range(retries + 1):
            for candidate in group:
                if not self._may_ask(candidate, tries, open_too):
                    continue
                try:
                    result = await self._ask(candidate)
                except MiniLLMError as error:
                    self._note(candidate, error)
                else:
                    return Outcome(result, candidate, tuple(self._attempts), self._plan.decision)
            if tries == retries or not await self._paused(group, tries):
                break
        return None

    def _may_ask(self, candidate: Candidate, tries: int, open_too: bool) -> bool:
        health, now_s = candidate.health, self._tools.clock()
        verdict = self._verdicts.get(candidate)
        if verdict is not None and not (verdict.again and tries):
            return False
        if now_s < health.wait_until_s or health.hindrance(now_s) is not None:
            return False
        if self._last is not None and now_s - self._began_s > self._plan.retry.deadline_s:
            return False
        if open_too or health.admits(now_s):
            return True
        if verdict is None and candidate not in self._deferred:
            self._deferred.append(candidate)
        return False

    def _note(self, candidate: Candidate, error: MiniLLMError) -> None:
        """Takes a failure in; raises it if others would answer the same."""
        verdict = judge(error)
        if not verdict.elsewhere:
            raise error
        self._last, self._verdicts[candidate] = error, verdict

    async def _paused(self, group: Sequence[Candidate], tries: int) -> bool:
        """Waits before the next round; False if there should be none."""
        retry, now_s = self._plan.retry, self._tools.clock()
        # From nothing up to a limit that doubles: calls that failed together do not come back together.
        extra_s = self._tools.rng.random() * min(retry.max_s, retry.base_s * 2**tries)
        again = [one for one in group if self._worth_waiting(one, now_s + extra_s)]
        if not again or now_s - self._began_s > retry.deadline_s:
            return False
        pause_s = min(one.health.paused_s(now_s) for one in again) + extra_s
        if self._paused_s + pause_s > retry.patience_s:
            return False
        self._paused_s += pause_s
        await self._tools.sleep(pause_s)
        return True

    def _worth_waiting(self, candidate: Candidate, then_s: float) -> bool:
        """It may be asked again, and not only as a last resort, which needs no waiting."""
        verdict, health = self._verdicts.get(candidate), candidate.health
        if verdict is None:
            return candidate not in self._deferred or health.admits(then_s)
        return verdict.again and health.admits(max(then_s, health.wait_until_s))

    def _hindrances(self) -> dict[str, Hindrance]:
        """Why nobody could be asked."""
        now_s, found = self._tools.clock(), {}
        for candidate in self._plan.candidates:
            health = candidate.health
            wait_s = health.paused_s(now_s)
            pause = Hindrance("asked for a pause", wait_s)
            found[candidate.deployment.id] = (None if wait_s else health.hindrance(now_s)) or pause
        return found

    async def _ask(self, candidate: Candidate) -> T:
        """Asks one candidate, and notes how it did."""
        tools, health = self._tools, candidate.health
        began_s = tools.clock()
        era = health.begin(began_s)
        try:
            result = await self._call(candidate)
        except MiniLLMError as error:
            self._failed(candidate, error, era, began_s)
            raise
        except BaseException:
            now_s = tools.clock()
            ran_s = now_s - began_s
            health.gave_up(era)
            health.latency(self._plan.stream).missed(now_s)
            self._attempts.append(_attempt(candidate, STOPPED, ran_s, bills=True))
            tools.listener.stopped(candidate.deployment, ran_s)
            raise
        now_s = tools.clock()
        health.succeeded(now_s, era, now_s - began_s, self._plan.stream)
        tools.listener.attempted(candidate.deployment, "ok", now_s - began_s)
        return result

    def _failed(self, candidate: Candidate, error: MiniLLMError, era: int, began_s: float) -> None:
        now_s, verdict = self._tools.clock(), judge(error)
        deployment, health = candidate.deployment, candidate.health
        outcome = type(error).__name__
        self._attempts.append(_attempt(candidate, outcome, now_s - began_s, str(error), verdict.bills))
        self._tools.listener.attempted(deployment, outcome, now_s - began_s)
        if verdict.elsewhere:
            health.latency(self._plan.stream).missed(now_s)
        opened = False
        if verdict.blames:
            opened = health.failed(now_s, era)
        else:
            health.gave_up(era)
        if verdict.mend and not deployment.own_key:  # what is a user's, is not its fault
            opened = opened or health.breaker.admits(now_s)
            health.breaker.trip(now_s, health.breaker.settings.refused_key_s)
        if verdict.low_credit and not deployment.own_key:
            log.error("deployment %s: the operator's credit there is too low for long answers", deployment.id)
        health.limited += verdict.limited
        _heed_pause(candidate, error, verdict, now_s)
        if opened:
            left_alone(self._tools.listener, candidate, now_s, error, verdict.mend)

    async def _hedged(self, hedge: HedgeConfig) -> Outcome[T] | None:
        """Asks the first candidate, and when it is slow the second beside it; None if neither serves."""
        ready = [one for one in self._plan.candidates if self._may_ask(one, 0, False)]
        ready = [*ready[:1], *filter(self._plan.good_enough, ready[1:])][:2]
        delay_s = self._delay_s(hedge, ready[0]) if len(ready) == 2 else None
        if delay_s is None:
            return None
        began_s = self._tools.clock()
        raced = await race(ready, delay_s, self._ask)
        stopped = {one.deployment: one for one in self._attempts if one.outcome == STOPPED}
        self._attempts[:] = [one for one in self._attempts if one.outcome != STOPPED]
        for loser in raced.overtaken:  # on its way, or after the winner
            late = _attempt(loser, STOPPED, self._tools.clock() - began_s, bills=True)
            self._attempts.append(replace(stopped.get(late.deployment, late), outcome=OVERTAKEN))
        if raced.won is not None:
            candidate, result = raced.won
            return Outcome(result, candidate, tuple(self._attempts), self._plan.decision)
        for candidate, error in raced.failed:
            self._note(candidate, error)
        return None

    def _delay_s(self, hedge: HedgeConfig, first: Candidate) -> float | None:
        """When to ask the second; None while too little is known about the first."""
        if hedge.percentile is None:
            return hedge.delay_s
        return first.health.latency(self._plan.stream).percentile_s(hedge.percentile)


def _attempt(
    candidate: Candidate, outcome: str, seconds: float, reason: str = "", bills: bool = False
) -> Attempt:
    deployment, ms = candidate.deployment, int(seconds * 1000)
    price = deployment.price if bills and not deployment.own_key else None
    return Attempt(deployment.id, deployment.provider, outcome, ms, reason=reason, price=price)


def _heed_pause(candidate: Candidate, error: MiniLLMError, verdict: Verdict, now_s: float) -> None:
    """When the provider wants to be asked again; after a 429 that does not say, as configured."""
    if not isinstance(error, UpstreamRefused) or not verdict.again:
        return
    settings = candidate.health.breaker.settings
    seconds = error.retry_after
    if seconds is None and verdict.limited:
        seconds = settings.limited_s
    if not seconds:
        return
    health, seconds = candidate.health, min(seconds, settings.max_wait_s)
    if seconds > settings.max_open_s and not health.paused_s(now_s) and not candidate.deployment.own_key:
        log.warning(
            "deployment %s is not asked for %.0f s: its provider wants that (%s)",
            candidate.deployment.id,
            seconds,
            error,
        )
    health.wait(now_s, seconds)
