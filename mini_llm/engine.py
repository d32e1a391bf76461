"""One call of an app: through the routes of the settings, and to the wallet when they fail.

The engine knows every wire format (``mini_llm.surfaces``) and is used on one event loop at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any
from weakref import finalize

from mini_llm.config import ProviderConfig
from mini_llm.config_sdk import WALLET, Settings
from mini_llm.costs import Costs
from mini_llm.errors import BadRequest, MiniLLMError, NotSetUp
from mini_llm.hops import Hop, hops_of, passed_over
from mini_llm.http_transport import HttpTransport
from mini_llm.metering import completion_usage
from mini_llm.providers.base import Provider
from mini_llm.replies import Answer, Stream, ms_since
from mini_llm.request import Request, encode
from mini_llm.routing.open import OpenCatalog
from mini_llm.routing.plan import Attempt, Outcome
from mini_llm.routing.routes import Routes
from mini_llm.surfaces import SURFACES
from mini_llm.transport import Transport
from mini_llm.usage import Call, UsageLog

__all__ = ["Answer", "Engine", "Stream", "make_request"]


class Engine:
    """Asks for answers.

    Args:
        settings: what may be asked; all keys are in it.
        transport: what to speak HTTP through, None for the library's own; one that is given stays its
            giver's to close.

    Raises:
        NotSetUp: there is neither a provider nor a wallet.
        ConfigErrors: the settings do not fit together.
    """

    def __init__(self, settings: Settings, *, transport: Transport | None = None) -> None:
        if not settings.providers and settings.wallet is None:
            raise NotSetUp
        self.settings = settings
        self.costs = Costs(settings)
        self._owned = transport is None
        self._http = transport or HttpTransport()
        self._wallet = _make_wallet(settings, self._http)
        self.catalog = OpenCatalog(settings, self._http, self._wallet)
        self._routes = Routes(self.catalog, price=self.costs.price)
        path = settings.usage_path
        self._log = UsageLog(path, self.costs.cost) if path is not None else None
        if self._log is not None:  # whose thread would outlive an engine that nobody closes
            finalize(self, self._log.close, wait=False).atexit = False  # type: ignore[misc]

    async def prepare(self) -> None:
        """Reads now what the first call to ``auto`` would wait for."""
        await asyncio.to_thread(self._routes.prepare)

    async def complete(self, request: Request) -> Answer:
        """A whole answer in the format of the request.

        Raises:
            MiniLLMError: there is none; ``hops`` of the error tells who was asked.
        """
        surface, attempts = SURFACES[request.surface], list[Attempt]()
        began_s = time.monotonic()
        try:
            plan = await self._routes.plan(request)
            served = await self._routes.complete(plan, surface, request, attempts, completion_usage)
            usage = await completion_usage(surface, request, served.result, served.candidate.deployment)
        except MiniLLMError as error:
            self._failed(request, error, attempts, began_s)
            raise
        answer = Answer(self.costs, served, self._passed_over(request, served), usage, ms_since(began_s))
        self._record(request, "ok", answer, len(attempts) + 1, answer.ms)
        return answer

    async def open_stream(self, request: Request) -> Stream:
        """A streamed answer in the format of the request, once its first content has come.

        Raises:
            MiniLLMError: there is none; ``hops`` of the error tells who was asked.
        """
        surface, attempts = SURFACES[request.surface], list[Attempt]()
        began_s = time.monotonic()
        try:
            plan = await self._routes.plan(request)
            served = await self._routes.open_stream(plan, surface, request, attempts)
        except MiniLLMError as error:
            self._failed(request, error, attempts, began_s)
            raise

        def ended(stream: Stream, outcome: str, ms: int) -> None:
            self._record(request, outcome, stream, len(attempts) + 1, ms)

        return Stream(self.costs, request, served, self._passed_over(request, served), began_s, ended)

    async def explain(self, request: Request) -> dict[str, Any]:
        """Who would be asked for an answer and why, as JSON values, without asking anybody.

        Raises:
            MiniLLMError: nobody could be asked.
        """
        from mini_llm.routing.explain import explain  # few calls need it

        plan = await self._routes.plan(request)
        return explain(request, plan, self.catalog.members(request.model))

    async def models(self) -> dict[str, str]:
        """Every name that is known to be served, with its first provider.

        These are configured models and aliases by their names, and as ``provider/model`` or ``wallet/model``
        what each provider and the wallet's router list, if they answer.
        """
        return (await self.listed())[0]

    async def listed(self) -> tuple[dict[str, str], list[str]]:
        """As `models`, and who could not be asked."""
        from mini_llm.probe import probe_all  # few calls need it

        asked: dict[str, ProviderConfig] = dict(self.settings.providers)
        wallet = self.settings.wallet
        if wallet is not None and (router := wallet.as_provider) is not None:
            asked[WALLET] = router
        offered, told = await asyncio.gather(self.catalog.offers(), probe_all(asked))
        offered = await self.catalog.choices() | offered
        found = {name: deployment.provider for name, deployment in offered.items()}
        for one in told:
            for model in one.models or ():
                found.setdefault(f"{one.provider}/{model}", one.provider)
        return found, [one.provider for one in told if not one.healthy]

    async def aclose(self) -> None:
        """Closes connections, and writes what the usage log still holds."""
        if self._wallet is not None:
            await self._wallet.aclose()
        if self._owned:
            await self._http.aclose()
        if self._log is not None:
            await asyncio.to_thread(self._log.close)

    def _record(
        self, request: Request, outcome: str, reply: Answer | Stream | None, asked: int, ms: int
    ) -> None:
        """Keeps a call in the usage log, if there is one."""
        if self._log is None:
            return
        call = Call(request.model, request.surface, request.stream, outcome, asked, ms)
        if reply is not None:
            call = replace(call, deployment=reply.deployment, usage=reply.usage, billed=reply.billed)
        self._log.record(call)

    def _failed(self, request: Request, error: MiniLLMError, attempts: list[Attempt], began_s: float) -> None:
        """Says on an error who was asked, and keeps the call."""
        error.hops = hops_of(attempts)
        if len(attempts) > 1:
            error.add_note("tried: " + "; ".join(map(str, error.hops)))
        self._record(request, type(error).__name__, None, len(attempts), ms_since(began_s))

    def _passed_over(self, request: Request, served: Outcome[Any]) -> tuple[Hop, ...]:
        """Those before the one that served that were not asked, because of what is known about them."""
        if served.decision is not None:  # which says more
            return ()
        members = self.catalog.members(request.model)
        if members and members[0] is served.candidate:
            return ()
        asked = {attempt.deployment for attempt in served.attempts}
        before = takewhile(lambda one: one is not served.candidate, members)
        return passed_over(request, (one for one in before if one.deployment.id not in asked))


def make_request(surface: str, fields: Mapping[str, Any]) -> Request:
    """A call in the format of a surface.

    Raises:
        BadRequest: a field that routing rests on is missing or malformed, or something is no JSON.
    """
    try:
        body = encode(fields)
    except ValueError:
        raise BadRequest("something in the request is no JSON, such as NaN or half a letter") from None
    return SURFACES[surface].parse(body)


def _make_wallet(settings: Settings, http: Transport) -> Provider | None:
    config = settings.wallet
    if config is None:
        return None
    if config.base_url is None and settings.providers:  # a first deposit before the first login
        return None
    from mini_llm.wallet.provider import make_wallet_provider  # only who has a wallet waits for it

    return make_wallet_provider(config, http)
