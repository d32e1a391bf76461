"""Choosing who may serve a request, in which order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from mini_llm.deployment import Deployment
from mini_llm.errors import BadRequest, NoneCanServe
from mini_llm.request import Request
from mini_llm.routing.balance import by_conversation, by_latency, by_weight
from mini_llm.routing.fit import unfit
from mini_llm.routing.health import Hindrance
from mini_llm.routing.plan import Candidate, Plan
from mini_llm.routing.table import Group, Route
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.opening import opening

Bar = Callable[[Deployment], str | None]
"""Why a deployment may not serve a caller, None if it may."""


class Planner:
    """Makes plans, with a clock and a source of chance."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock, self._rng = clock, rng

    def plan(
        self,
        request: Request,
        route: Route,
        account: str | None,
        bar: Bar | None = None,
    ) -> Plan:
        """The candidates of a route that can serve a request; see ``Routes.plan``.

        Raises:
            NoneCanServe: there is none.
        """
        sieve = Sieve(request, self._clock(), route.several, bar)
        ready = tuple([group for group in self.sift(sieve, route.groups, account) if group])
        shut = sieve.shut
        if shut:
            shut.sort(key=lambda candidate: candidate.health.back_s)
            if not ready:
                ready, shut = (tuple(shut),), []
        if not ready:
            raise none_can_serve(request.model, sieve.reasons)
        return Plan(request.model, ready, route.retry, route.hedge, request.stream, tuple(shut))

    def sift(self, sieve: Sieve, groups: Sequence[Group], account: str | None) -> list[tuple[Candidate, ...]]:
        """Those of each group whom to ask, in order; the sieve keeps the rest."""
        ready: list[tuple[Candidate, ...]] = []
        for group in groups:
            new = group.rollout.new if group.rollout else None
            if new is not None and group.rollout and group.rollout.picks(sieve.now_s, self._rng, account):
                ready.append(sieve.passed((new,)))
            ready.append(self._ordered(group, sieve.passed(group.members), sieve))
        return ready

    def _ordered(self, group: Group, members: tuple[Candidate, ...], sieve: Sieve) -> tuple[Candidate, ...]:
        if len(members) < 2 or group.balance == "ordered":
            return members
        if group.balance == "latency":
            return by_latency(members, self._rng, sieve.now_s, sieve.request.stream)
        if group.balance == "conversation":
            return by_conversation(members, opening(sieve.request.fields), sieve.now_s)
        return by_weight(members, self._rng, sieve.now_s)


class Sieve:
    """Parts candidates into those to ask, those who are shut or are to rest, and the others with reasons.

    Attributes:
        request: what they are asked.
        bar: who may not serve the caller.
        now_s: the moment, seconds of routing's clock.
        shut: those whose breaker is open, or that are to rest.
        reasons: why the rest cannot be asked, by id of the deployment.
    """

    __slots__ = ("_choice", "_unsaid", "bar", "now_s", "reasons", "request", "shut")

    def __init__(self, request: Request, now_s: float, choice: bool, bar: Bar | None = None) -> None:
        self.request, self.now_s, self.bar = request, now_s, bar
        self._choice = choice  # of a single deployment the translation itself tells what is wrong
        self._unsaid: str | None = None
        self.shut: list[Candidate] = []
        self.reasons: dict[str, Hindrance] = {}

    def passed(self, members: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Those of the members whom to ask."""
        ready = []
        for candidate in members:
            deployment, health = candidate.deployment, candidate.health
            if problem := unfit(self.request, deployment, candidate.provider):
                self.reasons[deployment.id] = Hindrance(problem, None)
            elif (
                self._choice
                and self.request.surface not in candidate.provider.surfaces
                and self._cannot_be_said()
            ):
                self.reasons[deployment.id] = Hindrance(self._unsaid or "", None)
            elif self.bar is not None and (barred := self.bar(deployment)):
                self.reasons[deployment.id] = Hindrance(barred, None)
            elif hindrance := health.hindrance(self.now_s):
                self.reasons[deployment.id] = hindrance
            elif health.admits(self.now_s):
                ready.append(candidate)
            else:
                self.shut.append(candidate)
        return tuple(ready)

    def _cannot_be_said(self) -> bool:
        """Chat has no words for the request, so that only a provider of its own format can serve it."""
        if self._unsaid is None:
            try:
                SURFACES[self.request.surface].to_chat(self.request)
                self._unsaid = ""
            except BadRequest as error:
                self._unsaid = error.message
        return bool(self._unsaid)


def none_can_serve(model: str, hindrances: dict[str, Hindrance]) -> NoneCanServe:
    """The refusal of a call that nobody can serve, with the soonest time at which somebody may."""
    waits = [one.retry_after_s for one in hindrances.values() if one.retry_after_s is not None]
    reasons = {deployment: one.reason for deployment, one in hindrances.items()}
    return NoneCanServe(model, reasons, min(waits) if waits else None)
