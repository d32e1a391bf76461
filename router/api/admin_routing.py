"""The operator's view of the deployments."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from router.api.admin_access import Operator, state_of

routes = APIRouter(prefix="/admin/v1")


@routes.get("/deployments", summary="List deployments")
async def deployments(request: Request, _: Operator) -> dict[str, Any]:
    """All that is on offer, found on this machine or configured."""
    offered = await state_of(request).catalog.deployments()
    return {
        "deployments": [
            {
                "id": one.id,
                "model": one.model,
                "provider": one.provider,
                "upstream_model": one.upstream_model,
                "partner": one.partner_id,
            }
            for one in offered
        ]
    }
