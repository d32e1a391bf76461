"""The plan of a call and its attempts."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mini_llm.deployment import Deployment
from mini_llm.errors import ProviderError
from mini_llm.price import Usage
from mini_llm.providers.base import Provider
from mini_llm.request import Request
from mini_llm.routing.catalog import Catalog

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that can serve the call, and its provider."""

    deployment: Deployment
    provider: Provider


@dataclass(frozen=True, slots=True)
class Plan:
    """Who may serve a call, in the order in which they are asked; never empty."""

    candidates: tuple[Candidate, ...]

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """Their deployments."""
        return tuple(candidate.deployment for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One deployment that was asked and failed.

    Attributes:
        deployment: its id.
        provider: name of its provider.
        outcome: name of the error's type.
        ms: how long it took, milliseconds.
        usage: what it may have used all the same, as far as anybody knows.
        cost_base: what its provider may bill for that, base units.
    """

    deployment: str
    provider: str
    outcome: str
    ms: int
    usage: Usage | None = None
    cost_base: int = 0


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What a call came to, who served it, and who failed before."""

    result: T
    candidate: Candidate
    attempts: tuple[Attempt, ...] = ()


class Routes:
    """Plans calls over a catalogue and sees them through."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def plan(self, request: Request) -> Plan:
        """The candidates for a request.

        Raises:
            UnknownModel: nobody serves it.
            NoneCanServe: those who do cannot serve this request.
        """
        return Plan((Candidate(*await self._catalog.find(request.model)),))

    async def attempt(
        self, plan: Plan, call: Callable[[Candidate], Awaitable[T]], attempts: list[Attempt]
    ) -> Outcome[T]:
        """Asks one candidate after the other until one accepts; each failure is added to ``attempts``.

        Raises:
            ProviderError: the last one failed too.
        """
        candidate = plan.candidates[0]
        began_s = time.monotonic()
        try:
            return Outcome(await call(candidate), candidate, tuple(attempts))
        except ProviderError as error:
            ms = int((time.monotonic() - began_s) * 1000)
            deployment = candidate.deployment
            attempts.append(Attempt(deployment.id, deployment.provider, type(error).__name__, ms))
            raise
