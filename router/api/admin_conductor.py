"""The operator's view of the conductor: what stands, what was decided, and taking it back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from router.api.admin_access import Operator, act, look, state_of
from router.conductor.council import Decision, Standing
from router.db import MAX_ROW
from router.ledger import audit, conducted

routes = APIRouter(prefix="/admin/v1")


class Undoing(BaseModel):
    """A decision by its number in the log."""

    model_config = ConfigDict(extra="forbid")
    number: Annotated[int, Field(ge=1, le=MAX_ROW)]
    reason: Annotated[str, Field(max_length=500)] = ""


@routes.get("/conductor", summary="What the conductor does, and its log")
async def conductor(
    request: Request,
    _: Operator,
    below: Annotated[int | None, Query(ge=1, le=MAX_ROW)] = None,
    limit: Annotated[int, Query(ge=1, le=conducted.MAX_PAGE)] = 100,
) -> dict[str, Any]:
    """`mode` and what stands in this process; the latest decisions of all workers, newest first. For the next
    page, `below` is the number of the last one seen."""
    running = state_of(request).conducting.conductor
    stands = {} if running is None else running.council.standing
    return {
        "mode": "off" if running is None else running.council.settings.mode,
        "standing": {name: _shown(one) for name, one in stands.items() if one.away or one.share},
        "log": await look(request, lambda connection: conducted.entries(connection, below, limit)),
    }


@routes.post("/conductor/undo", summary="Take a decision back")
async def undo(request: Request, operator: Operator, undoing: Undoing) -> dict[str, Any]:
    """What stands for its deployment ends within a round in every worker, and the deployment is left alone
    for `respect_s`. A decision that changed nothing or is undone already is 409."""
    return {"deployment": await take_back(request, operator, undoing.number, undoing.reason)}


async def take_back(request: Request, operator: str, number: int, reason: str) -> str:
    """Undoes a decision, with a row in the audit log; returns its deployment.

    Raises:
        NothingToUndo: it changed nothing, or is undone already.
    """
    what = act(operator, "conductor.undo", f"decision:{number}")

    def write(connection: Connection) -> str:
        deployment = conducted.undo(connection, number, operator, reason)
        audit.record(connection, what, {"undone": False}, {"undone": True, "deployment": deployment})
        return deployment

    return await state_of(request).ledger.submit(write)


def _shown(stands: Standing) -> dict[str, Any]:
    return {"away": _told(stands.away), "share": _told(stands.share)}


def _told(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    proposal = decision.proposal
    return {
        "role": proposal.role,
        "action": proposal.action.value,
        "amount": proposal.amount,
        "reason": proposal.reason,
    }
