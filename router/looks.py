"""What a request would come to, without sending it: who would serve it, what it may cost, how long it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mini_llm.errors import BadRequest, ProviderError
from mini_llm.request import Request
from mini_llm.routing.plan import Candidate, Plan
from mini_llm.routing.routes import Routes
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.base import Surface
from mini_llm.tokens import count_tokens
from router.auth import ACCOUNT_HEADER, Doors, Header
from router.billing import Billing
from router.choosing import cheaper, plan_call
from router.gateway import SCOPES
from router.ledger.errors import BudgetExceeded, InsufficientFunds, LedgerError
from router.ledger.grants import Scope
from router.metering import quote_call
from router.pacing import Paced
from router.passing import passed_on
from router.people.callers import Principal


@dataclass(frozen=True, slots=True)
class Look:
    """A request that was read and planned.

    Attributes:
        principal: who would pay.
        request: the call.
        plan: who would serve it.
        paced: budgets of `auto` that it would count against.
    """

    principal: Principal
    request: Request
    plan: Plan
    paced: Paced | None


@dataclass(frozen=True, slots=True)
class Price:
    """What a call would be offered.

    Attributes:
        plan: who would serve it, without those for whom there is too little money.
        most_base: what would be reserved, base units.
        rate_bps: its price, in basis points of the retail price.
        refusal: why nothing would be reserved, None if it would.
    """

    plan: Plan
    most_base: int
    rate_bps: int
    refusal: LedgerError | None


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of a prompt; `estimated` if no provider counted them."""

    tokens: int
    estimated: bool


class Looks:
    """Reads and plans requests as the gateway does, and writes nothing."""

    def __init__(self, doors: Doors, routes: Routes, billing: Billing) -> None:
        self._doors, self._routes, self._billing = doors, routes, billing

    async def look(
        self,
        header: Header,
        read: Callable[[], Awaitable[tuple[Surface, bytes]]],
        model: str | None = None,
    ) -> Look:
        """Lets the caller in as for a call, rate limits included, then reads and plans the request.

        read: gives the surface and the body, for a known caller only.

        Raises:
            GatewayError: the caller may not.
            MiniLLMError: the request is malformed or nobody serves it.
        """
        principal = (await self._doors.caller(header)).principal(header(ACCOUNT_HEADER))
        passage = self._doors.enter(principal)
        try:
            surface, body = await read()
            principal.require(SCOPES.get(surface.name, Scope.CHAT))
            request = surface.parse(body, model, False)
            left_open = self._routes.chooses(request.model)
            paced = await self._billing.pacing.of(principal) if left_open else None
            purse = None if paced is None else paced.purse
            plan = await plan_call(self._doors, self._routes, principal, request, header, purse=purse)
            if plan.first.own_key:
                paced = None  # as for the call
            return Look(principal, passed_on(request, surface, header, plan), plan, paced)
        finally:
            passage.leave()

    async def price(self, look: Look) -> Price:
        """What the call would be offered now: by the account, its limits and budgets, and credit.

        Raises:
            StaleRate: nothing is offered now.
        """
        self._billing.offers.require_rate()
        plan = look.plan
        refusal: LedgerError | None = None
        rate_bps = self._billing.offers.tier(look.principal.account_idx).rate_bps
        while True:
            quote = quote_call(look.request, plan.deployments)
            try:
                rate_bps = (await self._billing.rehearse(look.principal, quote, look.paced)).rate_bps
            except (InsufficientFunds, BudgetExceeded) as error:
                if (fewer := cheaper(plan, look.request)) is not None:
                    plan = fewer
                    continue
                refusal = error
            except LedgerError as error:
                refusal = error
            return Price(plan, quote.at(rate_bps), rate_bps, refusal)

    async def count(self, look: Look) -> Count:
        """Tokens of the prompt: as the first deployment's provider counts them, else from its text."""
        request = look.request
        try:
            if (counted := await _counted(look.plan.candidates[0], request)) is not None:
                return Count(counted, estimated=False)
        except (BadRequest, ProviderError):
            pass  # an estimate is better than none, and is marked as one
        texts = SURFACES[request.surface].counted_texts(request)
        model = look.plan.deployments[0].upstream_model
        return Count(await asyncio.to_thread(count_tokens, texts, model), estimated=True)


async def _counted(candidate: Candidate, request: Request) -> int | None:
    provider = candidate.provider
    native = request.surface in provider.surfaces
    asked = request if native else SURFACES[request.surface].to_chat(request)
    return await provider.count_tokens(asked, candidate.deployment)
