"""Plans calls over a catalogue and sees them through."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mini_llm.answer import Completion
from mini_llm.request import Request
from mini_llm.routing.asking import Count, OpenedStream, complete, open_stream
from mini_llm.routing.catalog import Catalog
from mini_llm.routing.events import SILENT, Listener
from mini_llm.routing.plan import Attempt, Candidate, Outcome, Plan
from mini_llm.routing.planning import Planner
from mini_llm.routing.run import Run, Tools
from mini_llm.surfaces.base import Surface

T = TypeVar("T")


class Routes:
    """Chooses deployments for calls, and asks them.

    Attributes:
        catalog: what is on offer.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        listener: Listener = SILENT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.catalog = catalog
        chance = rng or random.Random()  # noqa: S311 - shares out load, guards nothing
        self._tools = Tools(clock, sleep, chance, listener)
        self._planner = Planner(clock, chance)

    async def plan(self, request: Request, account: str | None = None) -> Plan:
        """Who may serve a request; sticky rollouts go by the account that calls.

        Raises:
            UnknownModel: nobody serves the model.
            NoneCanServe: those who do cannot serve this request, or not now.
        """
        route = self.catalog.table.routes.get(request.model) or await self.catalog.route(request.model)
        return self._planner.plan(request, route, account)

    async def attempt(
        self, plan: Plan, call: Callable[[Candidate], Awaitable[T]], attempts: list[Attempt]
    ) -> Outcome[T]:
        """Asks one candidate after the other until one serves; each failure is added to ``attempts``.

        A group is asked once round, then again after pauses as ``plan.retry`` says, then the next group is.

        Raises:
            MiniLLMError: all have failed, and this is the last one's error; or the request is at fault.
            NoneCanServe: none could be asked: all are busy, or want a longer pause than the call may make.
        """
        return await Run(self._tools, plan, call, attempts).to_the_end()

    async def complete(
        self, plan: Plan, surface: Surface, request: Request, attempts: list[Attempt], count: Count
    ) -> Outcome[Completion]:
        """A whole answer in the caller's format; raises as ``attempt`` does. ``count`` is for providers that
        report no tokens."""
        clock = self._tools.clock
        return await self.attempt(plan, lambda one: complete(one, surface, request, count, clock), attempts)

    async def open_stream(
        self, plan: Plan, surface: Surface, request: Request, attempts: list[Attempt]
    ) -> Outcome[OpenedStream]:
        """A stream whose first content has come; raises as ``attempt`` does."""
        clock = self._tools.clock
        return await self.attempt(plan, lambda one: open_stream(one, surface, request, clock), attempts)
