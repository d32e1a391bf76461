"""Signing in with an operator's key, and out."""

from __future__ import annotations

import re
import time
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from router.api.admin_access import act, address_of, state_of
from router.api.admin_door import AdminDoor
from router.errors import UnknownAdminKey
from router.ledger import audit
from router.web.door import SignInNeeded, see
from router.web.operator.door import (
    HOME,
    SIGN_IN,
    entrance_of,
    keep_session,
    operator_page,
    operator_routes,
    read_form,
    session_of,
)
from router.web.operator.seal import Session

_INSIDE: Final = re.compile(r"/operator(?:/[A-Za-z0-9_\-]+)*(?:\?[A-Za-z0-9_.\-=&%+:/]*)?")
"""One of these pages: what a sign-in goes on to is never another site."""

routes: Final[APIRouter] = operator_routes()


@routes.get("/signin")
async def ask(request: Request, next: str = HOME) -> Response:
    """Asks for the key."""
    return operator_page(request, "signin.html", onward=_inside(next), problem=None)


@routes.post("/signin")
async def enter(request: Request) -> Response:
    """Exchanges the key for a session; the key is not kept anywhere."""
    form = await read_form(request)
    onward = _inside(form.text("next", HOME))
    door: AdminDoor = request.app.state.door
    try:
        name = door.admit_key(form.text("key", ""), address_of(request))
    except UnknownAdminKey:
        problem = "That is no operator's key."
        return operator_page(request, "signin.html", 401, onward=onward, problem=problem)
    what, now_s = act(name, "operator.signin", f"address:{address_of(request)}"), int(time.time())
    await state_of(request).ledger.submit(lambda connection: audit.record(connection, what, None, None))
    seals = entrance_of(request).seals
    if seals is None:
        raise SignInNeeded
    session = Session(name, now_s, now_s)
    response = see(onward)
    keep_session(request, response, seals.seal(session), session.until_s - now_s)
    return response


@routes.post("/signout")
async def leave(request: Request) -> Response:
    """Takes the session out of this browser."""
    await read_form(request)
    response = see(SIGN_IN)
    if session_of(request) is not None:
        keep_session(request, response, "", 0)
    return response


def _inside(path: str) -> str:
    return path if _INSIDE.fullmatch(path) else HOME
