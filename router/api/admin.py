"""The operator's API, pages and `/metrics`, on an address of their own. Each write is in the audit log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.responses import RedirectResponse

from router.api import admin_conductor, admin_routing, errors
from router.api.admin_access import LOOPBACK, Operator, act, address_of, admitted, look, state_of
from router.api.admin_door import AdminDoor
from router.api.admin_state import AdminState
from router.db import MAX_ROW
from router.ledger import audit, books, keys, read
from router.ledger.errors import UnknownKey
from router.ledger.views import AccountView
from router.web import static
from router.web.operator import conductor, editor, live, money, routing, signin
from router.web.operator.day import DayKeeper
from router.web.operator.door import HOME, Entrance, is_ours

AMOUNTS: Final = (
    *("balance_base", "available_base", "reserved_base", "deficit_base", "ceiling_base"),
    *("spent_base", "settled_spent_base"),
)
Idx = Annotated[int, Field(ge=0, le=MAX_ROW)]
Row = Annotated[int, Field(ge=1, le=MAX_ROW)]
Limit = Annotated[int, Query(ge=1, le=audit.MAX_PAGE)]

routes = APIRouter(prefix="/admin/v1")


class NewKey(BaseModel):
    """An API key to make."""

    model_config = ConfigDict(extra="forbid")
    label: Annotated[str, Field(max_length=keys.MAX_LABEL)] = ""


def create_admin(state: AdminState, door: AdminDoor | None, entrance: Entrance) -> FastAPI:
    """The operator's application.

    Args:
        state: the running router.
        door: admits operators; None: there are no keys, so only `/metrics` answers, and only on this machine.
        entrance: to the pages.
    """
    app = FastAPI(
        title="VIBES router, for its operator", docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.router, app.state.door, app.state.entrance = state, door, entrance
    app.state.day, app.state.streams = DayKeeper(state), set()
    errors.install(app)
    app.include_router(routes)
    app.include_router(admin_routing.routes)
    app.include_router(admin_conductor.routes)
    app.include_router(static.routes)
    for pages in (signin, live, money, routing, editor, conductor):
        app.include_router(pages.routes)

    @app.get("/", include_in_schema=False)
    async def front() -> Response:
        return RedirectResponse(HOME, 303)

    @app.get("/metrics", summary="Counters in Prometheus' text format", response_class=Response)
    async def metrics(request: Request) -> Response:
        if address_of(request) not in LOOPBACK or not is_ours(request, entrance.hosts):
            admitted(request)
        from router.observe import exposition

        return Response(
            exposition.render(state.observer.metrics, await state.gauges()),
            media_type=exposition.CONTENT_TYPE,
        )

    return app


@routes.get("/accounts", summary="List accounts")
async def accounts(
    request: Request, _: Operator, after: Idx = 0, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> dict[str, Any]:
    """Accounts from index `after` on, sums in base units as decimal strings; `next` is the `after` of the
    page behind this one, null on the last."""
    found = await look(request, lambda connection: read.accounts(connection, after, limit + 1))
    more = found[limit].idx if len(found) > limit else None
    return {"accounts": [_account(view) for view in found[:limit]], "next": more}


@routes.get("/accounts/{idx}", summary="Show an account")
async def account(request: Request, _: Operator, idx: Idx) -> dict[str, Any]:
    """One account with its latest calls."""

    def show(connection: Connection) -> dict[str, Any]:
        calls = read.calls_of(connection, idx, limit=20)
        shown = [
            {"model": call.model, "charge_base": str(call.charge_base), "at_s": call.time_s} for call in calls
        ]
        return _account(read.account_view(connection, idx)) | {"calls": shown}

    return await look(request, show)


@routes.get("/accounts/{idx}/keys", summary="List an account's API keys")
async def account_keys(request: Request, _: Operator, idx: Idx) -> dict[str, Any]:
    """Keys without their secrets, revoked ones included."""
    found = await look(request, lambda connection: keys.api_keys(connection, idx))
    shown = ("key_id", "label", "created_s", "revoked_s")
    return {"keys": [{name: getattr(key, name) for name in shown} for key in found]}


@routes.post("/accounts/{idx}/keys", summary="Make an API key", status_code=201)
async def create_key(request: Request, operator: Operator, idx: Idx, new: NewKey) -> dict[str, Any]:
    """The answer is the only place where the key can be read."""
    what = act(operator, "key.create", f"account:{idx}")

    def create(connection: Connection) -> keys.NewSecret:
        made = keys.create_api_key(connection, idx, new.label)
        audit.record(connection, what, None, {"key_id": made.key_id, "label": new.label})
        return made

    made = await state_of(request).ledger.submit(create)
    return {"key_id": made.key_id, "api_key": made.secret}


@routes.delete("/keys/{key_id}", summary="Revoke an API key")
async def revoke_key(
    request: Request, operator: Operator, key_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
) -> dict[str, Any]:
    """It stops working within two seconds; a revoked key is 404."""
    what = act(operator, "key.revoke", f"key:{key_id}")

    def revoke(connection: Connection) -> bool:
        revoked = keys.revoke_api_key(connection, key_id)
        if revoked:
            audit.record(connection, what, {"revoked": False}, {"revoked": True})
        return revoked

    if not await state_of(request).ledger.submit(revoke):
        raise UnknownKey(key_id)
    return {"key_id": key_id, "revoked": True}


@routes.get("/ledger/check", summary="Do the books balance?")
async def check_ledger(request: Request, _: Operator) -> dict[str, Any]:
    """Adds up all history: takes long on a large ledger, and holds up nobody."""

    def check(connection: Connection) -> dict[str, Any]:
        trial = books.trial_balance(connection)
        problems = books.ledger_errors(connection)
        sums = {name: str(amount_base) for name, amount_base in trial.balances.items() if ":" not in name}
        return {"balanced": not problems, "problems": problems, "balances_base": sums}

    return await look(request, check)


@routes.get("/metrics", summary="The counters as JSON")
async def summary(request: Request, _: Operator) -> dict[str, Any]:
    """What this process has counted since it started."""
    state = state_of(request)
    gauges = asdict(await state.gauges())
    rollouts = {"/".join(names): percent for names, percent in gauges.pop("rollouts").items()}
    return state.observer.metrics.summary() | gauges | {"rollouts": rollouts}


@routes.get("/audit", summary="Read the audit log")
async def audit_log(
    request: Request,
    _: Operator,
    below: Annotated[int | None, Query(ge=1, le=MAX_ROW)] = None,
    limit: Annotated[int, Query(ge=1, le=audit.MAX_PAGE)] = 100,
) -> dict[str, Any]:
    """The latest acts, newest first; for the next page, `below` is the number of the last one seen."""
    return {"acts": await look(request, lambda connection: audit.acts(connection, below, limit))}


def _account(view: AccountView) -> dict[str, Any]:
    return {
        "account": view.idx,
        "owner": view.owner,
        "status": view.status,
        "paused": view.paused,
        **{name: str(getattr(view, name)) for name in AMOUNTS},
    }
