"""The conductor: what it has in force, what it decided and why, and taking that back."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from router.api.admin_access import look, state_of
from router.api.admin_conductor import take_back
from router.db import MAX_ROW
from router.ledger import conducted
from router.people.errors import BadInput
from router.web.door import see
from router.web.operator.door import operator_of, operator_page, operator_routes, read_form

PAGE_ROWS: Final = 50
PAGE: Final = "/operator/conductor"

routes: Final[APIRouter] = operator_routes()


@routes.get("/conductor")
async def conductor(
    request: Request, below: Annotated[int | None, Query(ge=1, le=MAX_ROW)] = None
) -> Response:
    """The log, newest first, a page at a time."""
    operator_of(request)
    state = state_of(request)
    running = state.conducting.conductor
    log = await look(request, lambda connection: conducted.entries(connection, below, PAGE_ROWS + 1))
    standing = {} if running is None else running.council.standing
    return operator_page(
        request,
        "conductor.html",
        mode=state.reload.config.conductor.mode,
        standing={name: one for name, one in standing.items() if one.away or one.share},
        log=[_shown(row) for row in log[:PAGE_ROWS]],
        undone={row["undoes"] for row in log if row["undoes"] is not None},
        more=log[PAGE_ROWS - 1]["number"] if len(log) > PAGE_ROWS else None,
    )


@routes.post("/conductor/undo")
async def undo(request: Request) -> Response:
    """Takes a decision back, in every worker within a round."""
    operator = operator_of(request)
    form = await read_form(request)
    number, reason = form.text("number"), form.text("reason", "")
    if not number.isdecimal() or len(number) > 18 or len(reason) > 500:
        raise BadInput("number", "is that of a decision")
    await take_back(request, operator, int(number), reason)
    return see(PAGE)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its votes: who was against it, and why."""
    detail = row["detail"]
    against = {role: why for role, why in (detail.get("against") or {}).items() if why}
    return row | {"against": against}
