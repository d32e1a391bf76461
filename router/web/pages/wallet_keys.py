"""API keys: made and renewed, with the secret on the answer of that form alone; listed, revoked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from mini_llm.routing.catalog import Catalog
from router import managing
from router.api.errors import told
from router.api.keys import NewKey, key_maker
from router.api.keys import shown as key_shown
from router.api.people import look, now_s, number_of, text_of, write
from router.errors import GatewayError
from router.ledger.errors import InvalidGrant, LedgerError
from router.ledger.grants import DEFAULT_SCOPES, MAX_MODELS, Scope
from router.ledger.keys import MAX_LABEL, NewSecret, api_key
from router.people import teams
from router.people.errors import BadInput
from router.people.models import Role
from router.people.once import new_form, use_form
from router.people.teams import Membership
from router.web import fields
from router.web.door import Form, Visitor, page_routes, read_form, see, visitor
from router.web.pages.wallet import base_url, start
from router.web.render import page

SCOPES: Final = {
    Scope.CHAT: "call models",
    Scope.EMBEDDINGS: "make embeddings",
    Scope.MODELS: "list models and prices",
    Scope.ACCOUNT_READ: "read balance, usage and receipts",
    Scope.ACCOUNT_WRITE: "store spending ceilings that your session key signed",
    Scope.KEYS_READ: "list API keys",
    Scope.KEYS_WRITE: "make and revoke API keys",
    Scope.PROVIDERS_WRITE: "change your own provider keys",
}
"""In words, in the order in which they are shown."""
GRACES: Final = {0: "at once", 3600: "in one hour", 86_400: "in one day", 7 * 86_400: "in a week"}
KEYS_SHOWN: Final = 25
FIELDS: Final = {
    "label": "Name",
    "day_limit_base": "Most in one day",
    "month_limit_base": "Most in one month",
    "until": "The last day",
    "scope": "It may",
    "models": "Only these models",
    "auto_day_base": "Budget of auto in one day",
    "auto_month_base": "Budget of auto in one month",
    "requests_per_minute": "Requests a minute",
    "tokens_per_minute": "Tokens a minute",
    "parallel": "At one time",
}
"""What the form calls its fields."""
_OF_API: Final = {"expires_s": "until", "scopes": "scope"}
"""Fields of the API that the form has under other names."""
_PLACE: Final = re.compile(r"[0-9]{1,6}")
_AMOUNTS: Final = ("day_limit_base", "month_limit_base", "auto_day_base", "auto_month_base")
_RATES: Final = ("requests_per_minute", "tokens_per_minute", "parallel")

routes = page_routes()


@dataclass(frozen=True)
class Fault:
    """What is wrong with the form: in words, and the field that it is about, None for the whole form."""

    text: str
    field: str | None = None


@routes.get("/wallet/keys")
async def show_keys(
    request: Request, team: str = "", first: Annotated[str, Query(alias="from")] = ""
) -> Response:
    """The keys, the form for a new one, and how to use one."""
    found = await visitor(request)
    return await _keys(request, found, team, first=int(first) if _PLACE.fullmatch(first) else 0)


@routes.post("/wallet/keys")
async def make_key(request: Request) -> Response:
    """Makes a key and shows its secret; what is wrong is said above the form and at its field."""
    found = await visitor(request)
    form = await read_form(request)
    account = text_of(found.account_idx)
    try:
        sent = _asked(form)
        make = key_maker(found.caller, account, sent)
        made = await write(request, lambda connection: _once(connection, found, form, make(connection)))
    except (GatewayError, LedgerError) as error:
        answer = told(error)
        fault = _fault(error, answer.message)
        return await _keys(request, found, form.text("team", ""), form, fault, answer.status)
    return _made(request, made, sent.label, renewed=False)


@routes.post("/wallet/keys/{key_id}/renew")
async def renew_key(request: Request, key_id: str) -> Response:
    """Gives a key a new secret and shows it; the old one stops when the form says."""
    found = await visitor(request)
    form = await read_form(request)
    grace_s = fields.number(form, "grace_s") or 0

    def renew(connection: Connection) -> tuple[NewSecret, str]:
        renewed = managing.rotate_key(connection, found.caller, key_id, grace_s)
        return _once(connection, found, form, renewed), api_key(connection, key_id).label

    made, label = await write(request, renew)
    return _made(request, made, label, renewed=True)


@routes.post("/wallet/keys/{key_id}/revoke")
async def revoke_key(request: Request, key_id: str) -> Response:
    """Ends a key for good, then shows the page that the form was on."""
    found = await visitor(request)
    form = await read_form(request)
    await write(request, lambda connection: managing.revoke_key(connection, found.caller, key_id))
    team = form.text("team", "")
    return see(f"/wallet/team/{number_of('team', team)}" if team else "/wallet/keys")


def _once(connection: Connection, found: Visitor, form: Form, made: NewSecret) -> NewSecret:
    """The secret, if the form was not sent before: else nothing of it has happened."""
    use_form(connection, found.address, form.text("form", ""), now_s())
    return made


def _fault(error: Exception, message: str) -> Fault:
    """The error with its field in the form's words, which are not the API's."""
    if isinstance(error, BadInput | InvalidGrant):
        field = _OF_API.get(error.field, error.field)
        if field in FIELDS:
            if isinstance(error, BadInput):
                return Fault(f"“{FIELDS[field]}” {error.reason}.", field)
            reason = "is out of its range" if field in _AMOUNTS else error.reason
            return Fault(f"“{FIELDS[field]}”: {reason}.", field)
    return Fault(message)


def _asked(form: Form) -> NewKey:
    """What the form asks for, as the API is asked for it; an empty field does not limit.

    Raises:
        BadInput: a field that cannot be read.
    """
    team = fields.number(form, "team")
    models = [name for name in form.text("models", "").replace(",", "\n").split("\n") if name.strip()]
    if len(models) > MAX_MODELS:
        raise BadInput("models", f"are at most {MAX_MODELS}")
    limits: dict[str, Any] = {name: fields.number(form, name) for name in _RATES}
    for name in _AMOUNTS:
        limits[name] = text_of(fields.amount_base(form, name))
    return NewKey(
        label=form.text("label", ""),
        team=team,
        scopes=form.many("scope"),
        models=[name.strip() for name in models] or None,
        expires_s=fields.end_of_day_s(form, "until"),
        **limits,
    )


async def _keys(
    request: Request,
    found: Visitor,
    team: str,
    form: Form | None = None,
    problem: Fault | None = None,
    status: int = 200,
    first: int = 0,
) -> Response:
    place = None
    if team:
        team_id = number_of("team", team)
        place = await look(request, lambda connection: teams.membership(connection, team_id, found.address))
    if found.account_idx is None and place is None:
        return start(request, found)
    catalog: Catalog = request.app.state.catalog
    scopes = managing.TEAM_SCOPES if place is not None else frozenset(SCOPES)
    return page(
        request,
        "wallet/keys.html",
        status=status,
        team=place,
        form=_values(form, scopes),
        form_number=new_form(),
        problem=problem,
        scopes={name: words for name, words in SCOPES.items() if name in scopes},
        graces=GRACES,
        max_label=MAX_LABEL,
        models=[*await catalog.choices(), *await catalog.offers()],
        url=base_url(request),
        today=fields.day_name(now_s() // 86_400),
        **await look(request, lambda connection: _listed(connection, found, place, first)),
    )


def _listed(connection: Connection, found: Visitor, place: Membership | None, first: int) -> dict[str, Any]:
    """Valid keys with what they spent, newest first, and those revoked last."""
    if place is not None:
        keys = managing.team_keys(connection, found.address, place.team_id)
        keys = [key for key in keys if key.member == found.address]
    else:
        keys = managing.visible_keys(connection, found.principal())
    valid = [key for key in reversed(keys) if key.revoked_s is None]
    revoked = [key for key in keys if key.revoked_s is not None]
    return {
        "keys": [key_shown(connection, key) for key in valid[first : first + KEYS_SHOWN]],
        "onward": first + KEYS_SHOWN if len(valid) > first + KEYS_SHOWN else None,
        "revoked": sorted(revoked, key=lambda key: key.revoked_s or 0, reverse=True)[:KEYS_SHOWN],
        "usual_scopes": sorted(DEFAULT_SCOPES),
        "now_s": now_s(),
        "may_make": place is None or teams.RANK[place.role] >= teams.RANK[Role.MEMBER],
    }


def _values(form: Form | None, allowed: frozenset[str]) -> dict[str, Any]:
    """What the fields of the form show: what was typed, or the usual."""
    names = ("label", "models", "until", *_AMOUNTS, *_RATES)
    if form is None:
        usual = DEFAULT_SCOPES & allowed
        return dict.fromkeys(names, "") | {"day_limit_base": "100", "scopes": usual}
    return {name: (form.many(name) or [""])[0] for name in names} | {"scopes": frozenset(form.many("scope"))}


def _made(request: Request, made: NewSecret, label: str, *, renewed: bool) -> Response:
    return page(
        request,
        "wallet/key_made.html",
        status=201,
        key_id=made.key_id,
        secret=made.secret,
        label=label,
        renewed=renewed,
        url=base_url(request),
    )
