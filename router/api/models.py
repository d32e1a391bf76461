"""What is on offer, with prices: in OpenAI's shape, in Anthropic's for its clients, and in Google's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from mini_llm.deployment import Deployment
from mini_llm.errors import UnknownModel
from mini_llm.request import Need
from router.api.answer import speaks_anthropic, speaks_google
from router.ledger.grants import Scope

routes = APIRouter()


@routes.get("/v1/models", summary="List the models on offer")
async def list_models(request: Request) -> dict[str, Any]:
    """All models, configured and found on this machine, in the shape of the client that asks.

    Anthropic's clients are known by `anthropic-version`, Google's by headers that begin with `x-goog-`.
    """
    offered = await _offered(request)
    if speaks_google(request.scope):
        return {"models": [_google(*offer) for offer in offered.items()]}
    if not speaks_anthropic(request.scope):
        return {"object": "list", "data": [_openai(request, *offer) for offer in offered.items()]}
    data = [_anthropic(request, *offer) for offer in offered.items()]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"data": data, "has_more": False, "first_id": None, "last_id": None} | ends


@routes.get("/v1/models/{model:path}", summary="Describe one model")
async def get_model(request: Request, model: str) -> dict[str, Any]:
    """One model; 404 lists the others."""
    if speaks_google(request.scope):
        return _google(model, await _one(request, model))
    shape = _anthropic if speaks_anthropic(request.scope) else _openai
    return shape(request, model, await _one(request, model))


@routes.get("/v1beta/models", summary="List the models on offer (Google's Gemini API)")
async def list_gemini_models(request: Request) -> dict[str, Any]:
    """All models in Google's shape, on one page."""
    return {"models": [_google(*offer) for offer in (await _offered(request)).items()]}


@routes.get("/v1beta/models/{model:path}", summary="Describe one model (Google's Gemini API)")
async def get_gemini_model(request: Request, model: str) -> dict[str, Any]:
    """One model in Google's shape; 404 lists the others."""
    return _google(model, await _one(request, model))


async def _offered(request: Request) -> dict[str, Deployment]:
    await request.app.state.gateway.principal(request.headers.get, Scope.MODELS)
    offered: dict[str, Deployment] = await request.app.state.catalog.offers()
    return offered


async def _one(request: Request, model: str) -> Deployment:
    offered = await _offered(request)
    if model not in offered:
        raise UnknownModel(model, tuple(offered))
    return offered[model]


def _openai(request: Request, name: str, deployment: Deployment) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": request.app.state.started_s,
        "owned_by": deployment.provider,
        "vibes": _ours(deployment),
    }


def _anthropic(request: Request, name: str, deployment: Deployment) -> dict[str, Any]:
    began = datetime.fromtimestamp(request.app.state.started_s, UTC)
    return {
        "id": name,
        "type": "model",
        "display_name": name,
        "created_at": began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": deployment.context_tokens,
        "max_tokens": deployment.max_output_tokens,
        "vibes": _ours(deployment),
    }


def _google(name: str, deployment: Deployment) -> dict[str, Any]:
    embeds = deployment.capabilities == {Need.EMBEDDINGS}
    generates = ["generateContent", "streamGenerateContent", "countTokens"]
    told = {
        "name": f"models/{name}",
        "version": "1",
        "displayName": name,
        "inputTokenLimit": deployment.context_tokens,
        "supportedGenerationMethods": ["embedContent"] if embeds else generates,
    }
    most = deployment.max_output_tokens
    return told if most is None else told | {"outputTokenLimit": most}


def _ours(deployment: Deployment) -> dict[str, Any]:
    """Our addition to the shapes that take one, with amounts as decimal strings."""
    return {
        "partner": deployment.partner_id,
        "prompt_base_per_mtok": str(deployment.price.prompt_base_per_mtok),
        "completion_base_per_mtok": str(deployment.price.completion_base_per_mtok),
        "max_output_tokens": deployment.max_output_tokens,
    }
