"""What is on offer, with prices: in OpenAI's shape, in Anthropic's for its clients, and in Google's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from mini_llm.deployment import Deployment
from mini_llm.errors import UnknownModel
from mini_llm.routing.asked import NAMES
from mini_llm.routing.catalog import Catalog
from mini_llm.surfaces.listing import model_entry, model_list
from router.ledger.grants import Scope
from router.people.callers import Principal

routes = APIRouter()


@routes.get("/v1/models", summary="List the models on offer")
async def list_models(request: Request) -> dict[str, Any]:
    """All models that the key may call, configured and found on this machine, in the shape of the client.

    Anthropic's clients are known by `anthropic-version`, Google's by headers that begin with `x-goog-`.
    """
    principal, offered = await _offered(request)
    mine = {name: one for name, one in offered.items() if _left_to_us(one) or principal.may_call(name)}
    return model_list(request.scope, mine, request.app.state.started_s, _ours)


@routes.get("/v1/models/{model:path}", summary="Describe one model")
async def get_model(request: Request, model: str) -> dict[str, Any]:
    """One model; 404 lists the others, and 403 is for one that the key may not call."""
    return await _one(request, model)


@routes.get("/v1beta/models", summary="List the models on offer (Google's Gemini API)")
async def list_gemini_models(request: Request) -> dict[str, Any]:
    """The same in Google's shape, on one page."""
    return await list_models(request)


@routes.get("/v1beta/models/{model:path}", summary="Describe one model (Google's Gemini API)")
async def get_gemini_model(request: Request, model: str) -> dict[str, Any]:
    """One model in Google's shape; 404 lists the others."""
    return await _one(request, model)


async def _offered(request: Request) -> tuple[Principal, dict[str, Deployment]]:
    principal = await request.app.state.gateway.principal(request.headers.get, Scope.MODELS)
    catalog: Catalog = request.app.state.catalog
    return principal, await catalog.choices() | await catalog.offers()


async def _one(request: Request, model: str) -> dict[str, Any]:
    principal, offered = await _offered(request)
    if model not in offered:
        raise UnknownModel(model, tuple(offered))
    if not _left_to_us(offered[model]):
        principal.require_model(model)
    return model_entry(request.scope, model, offered[model], request.app.state.started_s, _ours)


def _left_to_us(deployment: Deployment) -> bool:
    """It stands for `auto`, which every key may ask for: it chooses among what the key may call."""
    return deployment.id in NAMES


def _ours(deployment: Deployment) -> dict[str, Any]:
    """Our addition to the shapes that take one, with amounts as decimal strings; null where the model is left
    to us, so that they are those of the one that is chosen."""
    chosen = _left_to_us(deployment)
    price = deployment.price
    told = {
        "partner": None if chosen else deployment.partner_id,
        "prompt_base_per_mtok": None if chosen else str(price.prompt_base_per_mtok),
        "completion_base_per_mtok": None if chosen else str(price.completion_base_per_mtok),
        "max_output_tokens": deployment.max_output_tokens,
        "resale": deployment.resale,
        "terms_url": deployment.terms_url,
    }
    return {"vibes": told}
