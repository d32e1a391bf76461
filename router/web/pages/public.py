"""Where everybody arrives: the home page, and signing in and out with a wallet."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from router.api.people import desk_of, now_s
from router.api.signin import close_session, open_session
from router.people.errors import SignInOff
from router.web.door import (
    ACCOUNT_COOKIE,
    COOKIE,
    guest,
    page_routes,
    read_form,
    require_own,
    see,
    set_cookie,
    visitor,
)
from router.web.render import page

_MAX_USER_CODE: Final = 20
_INSIDE: Final = re.compile(r"/(?![/\\])[A-Za-z0-9/_.\-?=&%]*")
"""A path of this router: what a sign-in goes on to is never another site."""

routes = page_routes()
calls = APIRouter(include_in_schema=False)


@routes.get("/")
async def home(request: Request) -> Response:
    """What this is, and where to go."""
    await guest(request)
    place = desk_of(request).place
    return page(request, "home.html", url=place.url if place else str(request.base_url).rstrip("/"))


@routes.get("/signin")
async def sign_in(request: Request, next: str = "/wallet") -> Response:
    """Finds the wallets of the browser and signs in with one."""
    place = desk_of(request).place
    return page(
        request,
        "signin.html",
        onward=next if _INSIDE.fullmatch(next) else "/wallet",
        url=None if place is None else place.url,
        chain_id=desk_of(request).contract.chain_id,
    )


@routes.get("/device")
async def device(request: Request, user_code: str = "") -> Response:
    """Where a wallet approves the login of a program (RFC 8628); tells what to do without one."""
    place = desk_of(request).place
    if place is None:
        raise SignInOff
    await guest(request)
    return page(request, "device.html", user_code=user_code[:_MAX_USER_CODE], url=place.url)


@calls.post("/signin")
async def enter(request: Request) -> Response:
    """The page's script sends what the wallet signed; the session goes into a cookie that no script reads."""
    require_own(request)
    token, session = await open_session(request)
    response = JSONResponse({"address": session.address})
    set_cookie(request, response, COOKIE, token, session.expires_s - now_s())
    return response


@routes.post("/signout")
async def leave(request: Request) -> Response:
    """Ends the session for good, not only in this browser."""
    await read_form(request)
    found = await guest(request)
    if found is not None:
        await close_session(request, found.address, found.caller.wallet().session_id)
    response = see("/")
    for cookie in (COOKIE, ACCOUNT_COOKIE):
        set_cookie(request, response, cookie, "", 0)
    return response


@routes.post("/wallet/account")
async def choose_account(request: Request) -> Response:
    """Which of the wallet's accounts the pages are about from now on."""
    found = await visitor(request)
    wanted = (await read_form(request)).text("account")
    response = see("/wallet")
    if wanted in map(str, found.accounts):
        set_cookie(request, response, ACCOUNT_COOKIE, wanted, found.caller.wallet().expires_s - now_s())
    return response
