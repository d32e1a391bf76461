"""A day of calls through the real routing core, with simulated providers and a clock that jumps.

`simulated_traffic.py` draws what happens; of that, only the calls of each hour were recorded. Real is what
decides: plans, balancing, retries, breakers, `auto`, the conductor.
"""

from __future__ import annotations

import asyncio
import math
import random
import selectors
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulated_lots import Lots
from simulated_traffic import DAY_S, MODELS, PROVIDERS, Call, Fault, settings

from mini_llm.errors import MiniLLMError, UpstreamRefused, UpstreamTimeout, UpstreamUnreachable
from mini_llm.http_transport import HttpTransport
from mini_llm.price import Usage
from mini_llm.routing.catalog import Catalog, build_catalog
from mini_llm.routing.plan import Attempt, Candidate
from mini_llm.routing.routes import Routes
from router.conductor.facts import EXPLORATION
from router.conductor.loop import Conductor
from router.config_conductor import ConductorConfig

TIMEOUT_S, FIRST_S, WHOLE_S = 30.0, 5.0, 30.0
"""When a silent provider is given up; when the first content of a stream, and a whole answer, is late."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing that is due."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds of the simulated day."""
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Lets time pass."""
        self._now_s += seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self._loop.jump(timeout)
        return super().select(0)


@dataclass
class Result:
    """What became of a day. `costs_base` and `fates` go by the number of the call; `lots_at_s` is when models
    were drawn by lot, `pauses` when that was paused and resumed.
    """

    fates: list[str] = field(default_factory=list)
    costs_base: list[int] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    rounds_ms: list[float] = field(default_factory=list)
    rounds_cpu_ms: list[float] = field(default_factory=list)
    lots_at_s: list[float] = field(default_factory=list)
    pauses: list[tuple[float, str]] = field(default_factory=list)

    @property
    def served(self) -> float:
        """Part of the calls that were answered in time and at the asked quality."""
        return self.fates.count("served") / len(self.fates)


class Day:
    """One day of the same calls and faults, under one way of operating.

    Args:
        calls: from `drawn_calls`.
        faults: from `drawn_faults`.
        balance: of the operator's file.
        conductor: its settings, None for a router without one.
        seed: of chance within routing and the providers.
        hedge: slow calls ask a second deployment.
        budget_base: the operator's for calls to `auto`, some of which are drawn by lot; None: none are.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        faults: Sequence[Fault],
        balance: str,
        conductor: ConductorConfig | None,
        seed: int,
        budget_base: int | None = None,
        hedge: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._clock, self._rng = loop.time, random.Random(seed)  # noqa: S311
        self._calls, self._balance, self._hedge = calls, balance, hedge
        self._faults = {name: [one for one in faults if one.provider == name] for name in PROVIDERS}
        self._prices = sorted((one for one in faults if one.kind == "price change"), key=lambda o: o.from_s)
        self._factors: dict[str, float] = {}
        drawn_up = settings(balance, {}, hedge)
        self.catalog: Catalog = build_catalog(drawn_up, 100, HttpTransport(), clock=loop.time)
        self._calm = build_catalog(settings(balance, {}), 100, HttpTransport(), clock=loop.time)
        self._choices = Routes(self._calm, clock=loop.time, rng=random.Random(0))  # noqa: S311
        self._lots = None if budget_base is None else Lots(budget_base, loop.time, seed)
        self._routes = Routes(
            self.catalog,
            clock=loop.time,
            rng=random.Random(seed + 1),  # noqa: S311
            mirroring=self._lots,
        )
        self._conductor = None
        if conductor is not None:
            self._conductor = Conductor(self.catalog, conductor, loop.time, self._lots)
        self._every_s = conductor.every_s if conductor else DAY_S
        self.result = Result(["lost"] * len(calls), [0] * len(calls))

    async def run(self) -> Result:
        """Lives through the day."""
        conducting = asyncio.create_task(self._conduct())
        running = set()
        for number, call in enumerate(self._calls):
            await asyncio.sleep(max(call.at_s - self._clock(), 0.0))
            self._reprice()
            task = asyncio.create_task(self._serve(number, call))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        conducting.cancel()
        await asyncio.gather(conducting, return_exceptions=True)
        self.result.lots_at_s = [] if self._lots is None else self._lots.at_s
        return self.result

    async def _conduct(self) -> None:
        while self._conductor is not None:
            began, began_cpu = time.perf_counter(), time.thread_time()
            decisions = self._conductor.decide()
            self._conductor.steer(decisions)
            self.result.rounds_ms.append((time.perf_counter() - began) * 1000)
            self.result.rounds_cpu_ms.append((time.thread_time() - began_cpu) * 1000)
            for one in decisions:
                if one.acted:
                    self.result.decisions[f"{one.proposal.role}: {one.proposal.action.value}"] += 1
                    if one.proposal.deployment == EXPLORATION:
                        self.result.pauses.append((self._clock(), one.proposal.action.value))
                else:
                    self.result.refused += 1
            await asyncio.sleep(self._every_s)

    def _reprice(self) -> None:
        while self._prices and self._clock() >= self._prices[0].from_s:
            change = self._prices.pop(0)
            self._factors[change.provider] = self._factors.get(change.provider, 1.0) * change.strength
            for catalog in (self.catalog, self._calm):
                catalog.adopt(settings(self._balance, self._factors, self._hedge))

    async def _good(self, call: Call) -> frozenset[str] | None:
        """The models that reach the floor of a call to `auto`; None if it names its model.

        A routing core tells in which nothing has ever failed, at the prices of now.
        """
        decision = (await self._choices.plan(call.request)).decision
        return None if decision is None else frozenset(one.model for one in decision.ranked if one.meets)

    async def _serve(self, number: int, call: Call) -> None:
        began_s, attempts, good = self._clock(), list[Attempt](), await self._good(call)
        try:
            plan = await self._routes.plan(call.request, "1", lots=True)
            outcome = await self._routes.attempt(plan, lambda one: self._ask(one, call), attempts)
        except MiniLLMError:
            self.result.fates[number] = "failed"
            return
        waited_s = self._clock() - began_s
        served, (era, broke) = outcome.candidate, outcome.result
        stream = call.request.stream
        if stream:
            served.health.in_flight += 1
            await asyncio.sleep(call.tokens / MODELS[served.deployment.model][1] * (0.5 if broke else 1.0))
            served.health.in_flight -= 1
        if broke:
            served.health.broke_off(self._clock(), era)
            self.result.fates[number] = "broke off"
            return
        if stream:
            served.health.breaker.succeeded(self._clock(), era)
        used = Usage(400, call.tokens)
        cost_base = served.deployment.price.cost_base(used) + sum(one.billed_base(used) for one in attempts)
        self.result.costs_base[number] = cost_base
        if self._lots is not None and plan.decision is not None:
            self._lots.charged(cost_base)
        if good is not None and served.deployment.model not in good:
            self.result.fates[number] = "below"
        else:
            self.result.fates[number] = "late" if waited_s > (FIRST_S if stream else WHOLE_S) else "served"

    async def _ask(self, candidate: Candidate, call: Call) -> tuple[int, bool]:
        """What a provider does with a call.

        Returns: the breaker's era in which it began, and whether the stream that has begun will break off.
        """
        provider, rng, era = candidate.deployment.provider, self._rng, candidate.health.breaker.era
        first_s, speed, _ = MODELS[candidate.deployment.model]
        factor, fails = 1.0, 0.002
        for fault in self._faults[provider]:
            if not fault.from_s <= self._clock() < fault.to_s:
                continue
            if fault.kind == "outage":
                await asyncio.sleep(0.05)
                raise UpstreamUnreachable(provider, "ConnectError")
            if fault.kind == "hangs":
                await asyncio.sleep(TIMEOUT_S)
                raise UpstreamTimeout(provider, TIMEOUT_S)
            if fault.kind == "429 storm" and rng.random() < fault.strength:
                await asyncio.sleep(0.1)
                raise UpstreamRefused(provider, 429)
            if fault.kind == "latency storm":
                factor *= fault.strength
            if fault.kind == "fails slowly":  # more and more, half of it after an answer has begun
                fails += fault.strength * (self._clock() - fault.from_s) / (fault.to_s - fault.from_s)
        takes_s = first_s * math.exp(rng.gauss(0.0, 0.35))
        takes_s += 0.0 if call.request.stream else call.tokens / speed
        takes_s *= factor
        if takes_s > TIMEOUT_S:
            await asyncio.sleep(TIMEOUT_S)
            raise UpstreamTimeout(provider, TIMEOUT_S)
        await asyncio.sleep(takes_s)
        broken = rng.random() < fails
        if broken and (not call.request.stream or rng.random() < 0.5):
            raise UpstreamRefused(provider, 500)
        return era, broken
