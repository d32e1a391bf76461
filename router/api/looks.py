"""What a call would cost and how long its prompt is, without making it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mini_llm.deployment import Deployment
from mini_llm.errors import BadRequest
from mini_llm.request import Request as Call
from mini_llm.request import encode, read_object
from mini_llm.routing.explain import explain
from mini_llm.routing.plan import Candidate
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.base import Surface
from mini_llm.surfaces.wording import camel
from router.api.bodies import read_body
from router.api.errors import ANSWERS
from router.ledger import read
from router.looks import Look, Looks, Price
from router.metering import most_usage, quote_call

ESTIMATED_HEADER: Final = "x-vibes-estimated"

routes = APIRouter()


@routes.post("/v1/quote", summary="Price a call without making it")
async def quote(request: Request) -> dict[str, Any]:
    """Body: `{"surface": "chat" | "responses" | "messages" | "gemini" | "embeddings", "request": {…}}`.

    `request` is what would be sent to that surface; for `gemini`, with `model` in it. Amounts are base units
    as decimal strings, at the price of the account's tier (`rate_bps` of retail); `available_base` is told to
    who may read the account. If the call would be refused now, by the account or a limit, `affordable` is
    false and `refusal` the error's code. Nothing is reserved, so this may change before the call is made.
    """
    look = await _look(request, _quoted)
    price = await _looks(request).price(look)
    return {
        "object": "quote",
        "surface": look.request.surface,
        "model": look.request.model,
        **await _money(request, look, price),
        "deployments": [
            _offer(look.request, one.deployment, price.rate_bps) for one in price.plan.candidates
        ],
    }


@routes.post("/v1/route", summary="Explain who would serve a call without making it")
async def route(request: Request) -> dict[str, Any]:
    """Body as for `/v1/quote`. `chosen` would be asked first; `candidates` are in the order of their rank.

    For `auto` each candidate has its predicted quality (0 to 1), cost and latency; `placed_by` says what the
    quality rests on: a prior, published figures, estimates, or nothing but its `price`, and then no floor is
    promised of it. `left_out` says who is no candidate, and why. Nobody is called and nothing is reserved, so
    the call itself may find it otherwise.
    """
    look = await _look(request, _quoted)
    price = await _looks(request).price(look)
    members: list[Candidate] = []
    if price.plan.decision is None:
        found = await request.app.state.catalog.route(look.request.model)
        members = [one for group in found.groups for one in group.members]
    explained = explain(look.request, price.plan, members, price.rate_bps)
    return explained | await _money(request, look, price)


@routes.post("/v1/messages/count_tokens", summary="Count a prompt's tokens (Anthropic's Messages API)")
async def count_messages_tokens(request: Request) -> JSONResponse:
    """As the provider counts them if it can be asked, else estimated, which `x-vibes-estimated` says."""
    return await _count(request, await _look(request, _as_it_is("messages")), "input_tokens")


@routes.post("/v1/models/{model:path}:countTokens", summary="Count a prompt's tokens (Gemini API)")
@routes.post("/v1beta/models/{model:path}:countTokens", summary="Count a prompt's tokens (Gemini API)")
async def count_gemini_tokens(request: Request, model: str) -> JSONResponse:
    """As the provider counts them if it can be asked, else estimated, which `x-vibes-estimated` says."""
    return await _count(request, await _look(request, _gemini_prompt, model), "totalTokens")


async def _money(request: Request, look: Look, price: Price) -> dict[str, Any]:
    """What would be reserved, and whether it could be; how much the account has is for who may see it."""
    shown = {}
    if look.principal.sees_account:
        ledger, account_idx = request.app.state.ledger, look.principal.account_idx
        view = await asyncio.to_thread(ledger.read, lambda c: read.account_view(c, account_idx))
        shown["available_base"] = str(view.available_base)
    refusal = price.refusal
    return {
        "most_base": str(price.most_base),
        **shown,
        "rate_bps": price.rate_bps,
        "vibes_per_usd": price.plan.first.vibes_per_usd or request.app.state.reload.config.vibes_per_usd,
        "affordable": refusal is None,
        "refusal": None if refusal is None else ANSWERS[type(refusal)](refusal).code,
    }


async def _count(request: Request, look: Look, name: str) -> JSONResponse:
    count = await _looks(request).count(look)
    return JSONResponse({name: count.tokens}, headers={ESTIMATED_HEADER: str(count.estimated).lower()})


async def _look(
    request: Request, read_call: Callable[[bytes], tuple[Surface, bytes]], model: str | None = None
) -> Look:
    request.app.state.switching.require_open()

    async def arriving() -> tuple[Surface, bytes]:
        limit_bytes: int = request.app.state.settings.max_body_bytes
        return read_call(await read_body(request.scope, request.receive, limit_bytes))

    read_it: Callable[[], Awaitable[tuple[Surface, bytes]]] = arriving
    return await _looks(request).look(request.headers.get, read_it, model)


def _looks(request: Request) -> Looks:
    looks: Looks = request.app.state.looks
    return looks


def _quoted(body: bytes) -> tuple[Surface, bytes]:
    fields, _ = read_object(body)
    name, call = fields.get("surface", "chat"), fields.get("request")
    if not isinstance(name, str) or name not in SURFACES:
        raise BadRequest(f"'surface' must be one of {', '.join(SURFACES)}", "surface")
    if not isinstance(call, dict):
        raise BadRequest("'request' must be the body that would be sent to the surface", "request")
    return SURFACES[name], encode(call)


def _as_it_is(name: str) -> Callable[[bytes], tuple[Surface, bytes]]:
    return lambda body: (SURFACES[name], body)


def _gemini_prompt(body: bytes) -> tuple[Surface, bytes]:
    """Google takes bare contents, or a whole request to generate."""
    fields = camel(read_object(body)[0])
    whole = fields.get("generateContentRequest")
    return SURFACES["gemini"], encode(whole) if isinstance(whole, dict) else body


def _offer(call: Call, deployment: Deployment, rate_bps: int) -> dict[str, Any]:
    """What one deployment would charge at most; a price of null is that of the total it is part of."""
    most, price = most_usage(call, deployment), deployment.price.scaled(rate_bps)
    prices = asdict(price)
    return {
        "deployment": deployment.id,
        "provider": deployment.provider,
        "most_base": str(quote_call(call, (deployment,)).at(rate_bps)),
        "most_prompt_tokens": most.prompt_tokens,
        "most_completion_tokens": most.completion_tokens,
        "price": {name: None if amount is None else str(amount) for name, amount in prices.items()},
    }
