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
    offered = await request.app.state.catalog.deployments()
    return {"object": "list", "data": [_model(request, deployment) for deployment in offered]}


@routes.get("/v1/models/{model:path}", summary="Describe one model")
async def get_model(request: Request, model: str) -> dict[str, Any]:
    """One model in OpenAI's shape; 404 lists the others."""
    await request.app.state.gateway.principal(request.headers.get, Scope.MODELS)
    offered = await request.app.state.catalog.deployments()
    for deployment in offered:
        if deployment.model == model:
            return _model(request, deployment)
    raise UnknownModel(model, tuple(deployment.model for deployment in offered))


def _model(request: Request, deployment: Deployment) -> dict[str, Any]:
    """OpenAI's model object; `vibes` is our addition to it, with amounts as decimal strings."""
    return {
        "id": deployment.model,
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
