"""API keys: made, listed, changed, renewed and revoked by wallets, and by keys that may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from router import managing
from router.api.people import (
    Fields,
    base_of,
    caller_of,
    look,
    now_s,
    number_of,
    read_fields,
    takes,
    text_of,
    write,
)
from router.auth import ACCOUNT_HEADER
from router.ledger import read
from router.ledger.grants import DEFAULT_SCOPES, LAST_S, Grant
from router.ledger.keys import ApiKeyView, NewSecret
from router.people.budgets import periods
from router.people.callers import Caller
from router.people.errors import BadInput

DEFAULT_GRACE_S: Final = 3600
AMOUNTS: Final = ("day_limit_base", "month_limit_base", "auto_day_base", "auto_month_base")

routes = APIRouter()


class Limits(Fields):
    """What limits a key; amounts are decimal strings of base units, and null does not limit."""

    models: list[str] | None = None
    day_limit_base: str | None = None
    month_limit_base: str | None = None
    auto_day_base: str | None = None
    auto_month_base: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel: int | None = None
    expires_s: int | None = None


class NewKey(Limits):
    """What a new key may do; what is left out does not limit. `team` makes it the wallet's key there."""

    label: str = ""
    team: int | None = None
    scopes: list[str] | None = None


class KeyChange(Limits):
    """What changes; what is left out stays as it is."""

    label: str = ""
    scopes: tuple[str, ...] = ()


class Rotation(Fields):
    """How long the present secrets still work, seconds."""

    grace_s: int = DEFAULT_GRACE_S


@routes.post("/v1/keys", summary="Make an API key", status_code=201, openapi_extra=takes(NewKey))
async def create_key(request: Request) -> dict[str, Any]:
    """The key is shown this once."""
    caller = await caller_of(request)
    sent = await read_fields(request, NewKey)
    made = await write(request, key_maker(caller, request.headers.get(ACCOUNT_HEADER), sent))
    return secret_shown(made)


@routes.get("/v1/keys", summary="List API keys")
async def list_keys(request: Request) -> dict[str, Any]:
    """The account's own keys, with what they spent; revoked ones included."""
    caller = await caller_of(request)
    account = caller.principal(request.headers.get(ACCOUNT_HEADER))
    return await look(
        request,
        lambda connection: {
            "data": [shown(connection, key) for key in managing.visible_keys(connection, account)]
        },
    )


@routes.patch("/v1/keys/{key_id}", summary="Change an API key", openapi_extra=takes(KeyChange))
async def change_key(request: Request, key_id: str) -> dict[str, Any]:
    """What is sent takes the place of what was; null takes a limit away. The secret stays."""
    caller = await caller_of(request)
    sent = await read_fields(request, KeyChange)
    label = sent.label if "label" in sent.model_fields_set else None
    changes = limits_of(sent)
    if "scopes" in sent.model_fields_set:
        changes["scopes"] = frozenset(sent.scopes)
    return await write(
        request,
        lambda connection: shown(connection, managing.change_key(connection, caller, key_id, label, changes)),
    )


@routes.post("/v1/keys/{key_id}/rotate", summary="Renew an API key", openapi_extra=takes(Rotation))
async def rotate_key(request: Request, key_id: str) -> dict[str, Any]:
    """The new secret is shown this once; the old one works for a while yet."""
    caller = await caller_of(request)
    sent = await read_fields(request, Rotation)
    made = await write(
        request, lambda connection: managing.rotate_key(connection, caller, key_id, sent.grace_s)
    )
    return secret_shown(made)


@routes.delete("/v1/keys/{key_id}", summary="Revoke an API key", status_code=204)
async def revoke_key(request: Request, key_id: str) -> Response:
    """It stops at once in this worker, within two seconds in all."""
    caller = await caller_of(request)
    await write(request, lambda connection: managing.revoke_key(connection, caller, key_id))
    return Response(status_code=204)


def key_maker(caller: Caller, account: str | None, sent: NewKey) -> Callable[[Connection], NewSecret]:
    """What makes a key in a writing transaction, as a caller asks for it; see `managing`.

    Args:
        caller: who asks.
        account: the wallet's account that pays, None for its first; for a team's key the team's pays.
        sent: what the key may do.

    Raises:
        InvalidGrant, BadInput: a limit out of its range.
        NoAccount, NotYours, NeedsWallet: the caller cannot have it made.
    """
    usual = managing.TEAM_SCOPES if sent.team is not None else DEFAULT_SCOPES
    scopes = usual if sent.scopes is None else frozenset(sent.scopes)
    grant = Grant(scopes=scopes, **limits_of(sent))
    if sent.team is not None:
        address, team = caller.wallet().address, number_of("team", str(sent.team))
        return lambda connection: managing.create_team_key(connection, address, team, sent.label, grant)
    payer = caller.principal(account)
    return lambda connection: managing.create_key(connection, caller, payer, sent.label, grant)


def limits_of(sent: Limits) -> dict[str, Any]:
    """The limits that were sent, as `Grant` has them.

    Raises:
        BadInput: an amount that is none, or an end after the year 9999.
    """
    limits = {name: getattr(sent, name) for name in Limits.model_fields if name in sent.model_fields_set}
    for name in AMOUNTS:
        if name in limits:
            limits[name] = base_of(name, limits[name])
    if (limits.get("expires_s") or 0) > LAST_S:
        raise BadInput("expires_s", f"is at most {LAST_S}")
    if limits.get("models") is not None:
        limits["models"] = tuple(limits["models"])
    return limits


def secret_shown(made: NewSecret) -> dict[str, Any]:
    """A new secret as it is sent, once."""
    return {"id": made.key_id, "api_key": made.secret}


def shown(connection: Connection, key: ApiKeyView, answers: bool = False) -> dict[str, Any]:
    """A key without its secrets, amounts as decimal strings.

    answers: of a key in a team, who looks answers for the team and sees which account pays.
    """
    grant = key.grant
    day, month = periods(now_s())
    return {
        "id": key.key_id,
        "label": key.label,
        "account": key.account_idx if key.team_id is None or answers else None,
        "team": key.team_id,
        "member": key.member,
        "scopes": sorted(grant.scopes),
        "models": None if grant.models is None else list(grant.models),
        "day_limit_base": text_of(grant.day_limit_base),
        "day_spent_base": _spent(connection, f"key:{key.key_id}:day:{day}", grant.day_limit_base),
        "month_limit_base": text_of(grant.month_limit_base),
        "month_spent_base": _spent(connection, f"key:{key.key_id}:month:{month}", grant.month_limit_base),
        "auto_day_base": text_of(grant.auto_day_base),
        "auto_day_spent_base": _spent(connection, f"auto:key:{key.key_id}:day:{day}", grant.auto_day_base),
        "auto_month_base": text_of(grant.auto_month_base),
        "auto_month_spent_base": _spent(
            connection, f"auto:key:{key.key_id}:month:{month}", grant.auto_month_base
        ),
        "requests_per_minute": grant.requests_per_minute,
        "tokens_per_minute": grant.tokens_per_minute,
        "parallel": grant.parallel,
        "created_s": key.created_s,
        "expires_s": grant.expires_s,
        "revoked_s": key.revoked_s,
    }


def _spent(connection: Connection, code: str, limit_base: int | None) -> str | None:
    """What counts against a limit; None without a limit, whose sums are not kept."""
    return None if limit_base is None else str(read.budget_used_base(connection, code))
