"""Logins of programs without a browser (RFC 8628), and the page where a wallet approves them.

The two addresses that programs use take forms and answer in OAuth's shapes; those that the page uses are like
the router's others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.responses import Response

from mini_llm.wallet.signature import recover_address, sign_digest
from router.api.admin_access import address_of
from router.api.bodies import read_body
from router.api.keys import Limits, limits_of
from router.api.people import Fields, account_of, caller_of, desk_of, now_s, read_fields, takes
from router.errors import GatewayError
from router.ledger.grants import DEFAULT_SCOPES, Grant, Scope
from router.ledger.writer import Ledger
from router.observe.record import current
from router.people import device
from router.people.device import Asking, Handed
from router.people.errors import Escalation, SignInOff, UnknownUserCode

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"
MAX_FORM_BYTES: Final = 4096
_FORM: Final = "application/x-www-form-urlencoded"
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9.\-]{1,40}")
_MAX_DEVICE_NAME: Final = 50
_MAX_DEVICE_CODE: Final = 128
_SIGNS: Final = bytes(32)

_WORDS: Final = {
    "authorization_pending": "the wallet has not decided yet",
    "slow_down": "asked too soon: wait five seconds longer from now on",
    "access_denied": "the wallet refused",
    "expired_token": "the codes are too old: begin again",
    "invalid_grant": "no login with this device_code waits for this client",
}

routes = APIRouter()


class FormRefused(GatewayError):
    """A form that OAuth does not allow; ``code`` is its name there."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code, self.description = code, description


class Decision(Fields):
    """user_code: as the device shows it."""

    user_code: str


class Approval(Limits):
    """What the device's key may do, at most what it asked for; what is left out does not limit."""

    user_code: str
    scopes: list[str] | None = None


def _form(*required: str, **optional: str) -> dict[str, Any]:
    names = dict.fromkeys(required, "") | optional
    properties = {name: {"type": "string"} for name in names}
    schema = {"type": "object", "required": list(required), "properties": properties}
    return {"requestBody": {"required": True, "content": {_FORM: {"schema": schema}}}}


@routes.post(
    "/v1/device/code",
    summary="Begin the login of a device (RFC 8628)",
    openapi_extra=_form("client_id", scope="", device_name=""),
)
async def begin(request: Request) -> Response:
    """The device shows `user_code` and asks at `/v1/device/token` every `interval` seconds."""
    desk = desk_of(request)
    if desk.place is None:
        raise SignInOff
    try:
        form = await _read_form(request)
        scopes = _scopes(form.get("scope"))
        name = form.get("device_name", "")
        if len(name) > _MAX_DEVICE_NAME or not name.isprintable():
            raise FormRefused(
                "invalid_request", f"device_name: at most {_MAX_DEVICE_NAME} printable characters"
            )
        now = now_s()
        device_code, user_code = device.new_device_code(), desk.user_codes.issue()
        asking = Asking(
            desk.user_codes.hash(user_code), form["client_id"], name, scopes, now + device.LIFETIME_S
        )
        if wait_s := desk.doorstep.wait_s(address_of(request)):
            answer = _oauth_error("temporarily_unavailable", "too many logins begin at your address", 429)
            answer.headers["retry-after"] = str(wait_s)
            return answer
        await _ledger(request).submit(
            lambda connection: device.begin(connection, device.hash_device_code(device_code), asking, now)
        )
    except FormRefused as refused:
        return _oauth_error(refused.code, refused.description)
    uri = f"{desk.place.url}/device"
    return JSONResponse(
        {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={user_code}",
            "expires_in": device.LIFETIME_S,
            "interval": device.INTERVAL_S,
        }
    )


@routes.post(
    "/v1/device/token",
    summary="Ask whether a device may have its key (RFC 8628)",
    openapi_extra=_form("grant_type", "device_code", "client_id"),
)
async def token(request: Request) -> Response:
    """`access_token` is an API key; it is handed out once."""
    try:
        form = await _read_form(request)
        if form.get("grant_type") != GRANT_TYPE:
            raise FormRefused("unsupported_grant_type", f"grant_type is {GRANT_TYPE}")
        code = form.get("device_code", "")
        if not 0 < len(code) <= _MAX_DEVICE_CODE:
            raise FormRefused("invalid_request", "device_code is missing")
    except FormRefused as refused:
        return _oauth_error(refused.code, refused.description)
    digest, client_id, now = device.hash_device_code(code), form["client_id"], now_s()
    handed = await _ledger(request).submit(
        lambda connection: device.redeem(connection, digest, client_id, now)
    )
    if isinstance(handed, str):
        return _oauth_error(handed, _WORDS[handed])
    return JSONResponse(_shown_key(request, handed, now))


@routes.post("/v1/device/show", summary="Show what a device asks for", openapi_extra=takes(Decision))
async def show(request: Request) -> dict[str, Any]:
    """For the wallet that is about to decide; ten wrong codes in ten minutes are the most."""
    caller = await caller_of(request)
    address = caller.wallet().address
    asking = await _asking(request, address, (await read_fields(request, Decision)).user_code)
    return {
        "client_id": asking.client_id,
        "device_name": asking.device_name,
        "scopes": sorted(asking.scopes),
        "expires_s": asking.expires_s,
        "address": address,
        "accounts": list(caller.accounts),
    }


@routes.post(
    "/v1/device/approve", summary="Give a device a key", status_code=204, openapi_extra=takes(Approval)
)
async def approve(request: Request) -> Response:
    """The device gets its key when it asks next. `x-vibes-account` names one of several accounts."""
    caller = await caller_of(request)
    address = caller.wallet().address
    account_idx = account_of(request, caller, Scope.KEYS_WRITE)
    sent = await read_fields(request, Approval)
    asking = await _asking(request, address, sent.user_code)
    scopes = asking.scopes if sent.scopes is None else frozenset(sent.scopes)
    if beyond := scopes - asking.scopes:
        raise Escalation(f"the device did not ask for the scope {min(beyond)!r}")
    grant = Grant(scopes=scopes, **limits_of(sent))
    await _decided(
        request, lambda connection: device.approve(connection, asking, address, account_idx, grant)
    )
    return Response(status_code=204)


@routes.post("/v1/device/deny", summary="Refuse a device", status_code=204, openapi_extra=takes(Decision))
async def deny(request: Request) -> Response:
    """The device is told so when it asks next."""
    address = (await caller_of(request)).wallet().address
    asking = await _asking(request, address, (await read_fields(request, Decision)).user_code)
    await _decided(request, lambda connection: device.deny(connection, asking, address))
    return Response(status_code=204)


async def _asking(request: Request, address: str, user_code: str) -> Asking:
    digest, now = desk_of(request).user_codes.hash(user_code), now_s()
    found = await _ledger(request).submit(
        lambda connection: device.find_asking(connection, address, digest, now)
    )
    if found is None:
        raise UnknownUserCode
    return found


async def _decided(request: Request, operation: Callable[[Connection], bool]) -> None:
    if not await _ledger(request).submit(operation):
        raise UnknownUserCode  # somebody decided in between


async def _read_form(request: Request) -> dict[str, str]:
    """The fields of a form, `client_id` among them.

    Raises:
        FormRefused: no form, a field twice, or no client_id.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise FormRefused("invalid_request", f"the body is sent as {_FORM}")
    raw = await read_body(request.scope, request.receive, MAX_FORM_BYTES)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise FormRefused("invalid_request", "the body is no form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise FormRefused("invalid_request", "a field is there twice")
    if not _CLIENT_ID.fullmatch(form.get("client_id", "")):
        raise FormRefused("invalid_client", "client_id is 1 to 40 letters, digits, dots or dashes")
    return form


def _scopes(asked: str | None) -> frozenset[str]:
    scopes = DEFAULT_SCOPES if not asked else frozenset(asked.split())
    if beyond := scopes - DEFAULT_SCOPES:
        raise FormRefused("invalid_scope", f"a device gets no scope {min(beyond)!r:.60}")
    return scopes


def _shown_key(request: Request, handed: Handed, now: int) -> dict[str, Any]:
    """RFC 6749's answer, and what a wallet's owner needs to check receipts."""
    settings = request.app.state.settings
    shown = {
        "access_token": handed.made.secret,
        "token_type": "Bearer",
        "scope": " ".join(sorted(handed.grant.scopes)),
        "key_id": handed.made.key_id,
        "account": handed.account_idx,
        "chain_id": settings.domain.chain_id,
        "settlement": settings.domain.settlement,
        "receipt_signer": recover_address(_SIGNS, sign_digest(_SIGNS, settings.receipt_key)),
    }
    until_s = handed.grant.expires_s
    return shown if until_s is None else shown | {"expires_in": max(0, until_s - now)}


def _oauth_error(code: str, description: str, status: int = 400) -> Response:
    current().outcome = code
    return JSONResponse({"error": code, "error_description": description}, status)


def _ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger
