"""GET /v1/models: what is on offer, with prices."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from mini_llm.deployment import Deployment
from mini_llm.errors import UnknownModel
from router.ledger.grants import Scope

routes = APIRouter()


@routes.get("/v1/models", summary="List the models on offer")
async def list_models(request: Request) -> dict[str, Any]:
    """All models, configured and found on this machine, in OpenAI's shape."""
    await request.app.state.gateway.principal(request.headers.get, Scope.MODELS)
    offered = await request.app.state.catalog.offers()
    return {"object": "list", "data": [_model(request, *offer) for offer in offered.items()]}


@routes.get("/v1/models/{model:path}", summary="Describe one model")
async def get_model(request: Request, model: str) -> dict[str, Any]:
    """One model in OpenAI's shape; 404 lists the others."""
    await request.app.state.gateway.principal(request.headers.get, Scope.MODELS)
    offered = await request.app.state.catalog.offers()
    if model not in offered:
        raise UnknownModel(model, tuple(offered))
    return _model(request, model, offered[model])


def _model(request: Request, name: str, deployment: Deployment) -> dict[str, Any]:
    """OpenAI's model object; `vibes` is our addition to it, with amounts as decimal strings."""
    return {
        "id": name,
        "object": "model",
        "created": request.app.state.started_s,
        "owned_by": deployment.provider,
        "vibes": {
            "partner": deployment.partner_id,
            "prompt_base_per_mtok": str(deployment.price.prompt_base_per_mtok),
            "completion_base_per_mtok": str(deployment.price.completion_base_per_mtok),
            "max_output_tokens": deployment.max_output_tokens,
        },
    }
