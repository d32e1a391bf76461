"""Plans calls over a catalogue and sees them through."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from mini_llm.answer import Completion
from mini_llm.deployment import Deployment
from mini_llm.errors import UnknownModel
from mini_llm.price import Price
from mini_llm.request import Request
from mini_llm.routing.asked import ASKED, NAMES, without_quality
from mini_llm.routing.asking import Count, OpenedStream, complete, open_stream
from mini_llm.routing.catalog import Catalog
from mini_llm.routing.events import SILENT, Listener
from mini_llm.routing.plan import Attempt, Begun, Candidate, Outcome, Plan
from mini_llm.routing.planning import Bar, Planner
from mini_llm.routing.run import Run, Tools
from mini_llm.surfaces.base import Surface

if TYPE_CHECKING:  # who names the models does not load what choosing them needs
    from mini_llm.auto.purse import Purse
    from mini_llm.routing.auto import Chooser
    from mini_llm.routing.mirroring import Mirroring

T = TypeVar("T")


def listed_price(deployment: Deployment) -> Price:
    """The price of a deployment as it is configured."""
    return deployment.price


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
        price: Callable[[Deployment], Price | None] = listed_price,
        mirroring: Mirroring | None = None,
    ) -> None:
        self.catalog, self._price, self._mirroring = catalog, price, mirroring
        chance = rng or random.Random()  # noqa: S311 - shares out load, guards nothing
        self._tools = Tools(clock, sleep, chance, listener)
        self._planner = Planner(clock, chance)

    @cached_property
    def _chooser(self) -> Chooser:
        from mini_llm.routing.auto import Chooser

        return Chooser(self.catalog, self._planner, self._tools.clock, self._price, self._mirroring)

    def prepare(self) -> None:
        """Loads now what the first call to ``auto`` would wait for, if there is anybody to choose."""
        if self.catalog.table.choosable:
            self._chooser.prepare()

    def chooses(self, model: str) -> bool:
        """The name leaves the model to us, and is no model's own."""
        return model in NAMES and model not in self.catalog.table.routes

    async def plan(
        self,
        request: Request,
        account: str | None = None,
        bar: Bar | None = None,
        lots: bool = False,
        purse: Purse | None = None,
    ) -> Plan:
        """Who may serve a request; sticky rollouts go by the account that calls.

        ``bar`` tells who may not serve the caller. Where no model takes part in the choice,
        ``auto`` is a name like others, which a wallet's router may know. With ``lots`` another model than the
        usual one may be drawn, to learn how it does. ``purse`` is what a call to ``auto`` counts against.

        Raises:
            UnknownModel: nobody serves the model.
            NoneCanServe: those who do cannot serve this request, or not now.
            BadRequest: it asks for a quality that is none.
        """
        route = self.catalog.table.routes.get(request.model)
        if route is None:
            if request.model in NAMES:
                plan = await self._chooser.plan(request, account, bar, lots, purse)
                if plan is not None:
                    return plan
            route = await self.catalog.route(request.model)
            known = self.catalog.table.routes  # by now with what a local server has
            if request.model.startswith(ASKED) and request.model not in NAMES and request.model not in known:
                raise UnknownModel(request.model, (*NAMES, *sorted(known)))
        return self._planner.plan(without_quality(request), route, account, bar)

    def attempt(
        self, plan: Plan, call: Callable[[Candidate], Awaitable[T]], attempts: list[Attempt]
    ) -> Coroutine[Any, Any, Outcome[T]]:
        """Asks one candidate after the other until one serves; each failure is added to ``attempts``.

        A group is asked once round, then again after pauses as ``plan.retry`` says, then the next group is.

        Raises:
            MiniLLMError: all have failed, and this is the last one's error; or the request is at fault.
            NoneCanServe: none could be asked: all are busy, or want a longer pause than the call may make.
        """
        return Run(self._tools, plan, call, attempts).to_the_end()

    def complete(
        self, plan: Plan, surface: Surface, request: Request, attempts: list[Attempt], count: Count
    ) -> Coroutine[Any, Any, Outcome[Completion]]:
        """A whole answer in the caller's format; raises as ``attempt`` does. ``count`` is for providers that
        report no tokens."""
        clock, sent = self._tools.clock, self._sent(plan, request)
        return self.attempt(plan, lambda one: complete(one, surface, sent(one), count, clock), attempts)

    def open_stream(
        self,
        plan: Plan,
        surface: Surface,
        request: Request,
        attempts: list[Attempt],
        begun: list[Begun] | None = None,
    ) -> Coroutine[Any, Any, Outcome[OpenedStream]]:
        """A stream whose first content has come; raises as ``attempt`` does.

        Given up before that, the call has its providers' streams in ``begun``.
        """
        taken = [] if begun is None else begun
        tools, sent = self._tools, self._sent(plan, request)
        return self.attempt(plan, lambda one: open_stream(one, surface, sent(one), tools, taken), attempts)

    def _sent(self, plan: Plan, request: Request) -> Callable[[Candidate], Request]:
        """The request as each candidate gets it: without the quality that it asks for, unless that one is a
        router that chooses by it; where the model was left open, with its own, as translated answers say."""
        bare = without_quality(request)
        if plan.decision is not None:
            return lambda one: bare._replace(model=one.deployment.model)
        if bare is request:
            return lambda _: bare
        return lambda one: request if self.catalog.chooses(one) else bare
