"""Who looks at the operator's pages: an operator who signed in with a key, under a host that is ours.

The address has no public URL to compare with. So a page is given only under an address of digits, `localhost`
or a name in `VIBES_ADMIN_HOSTS` (a name that somebody else owns could be made to lead here: DNS rebinding),
and what changes something counts only if the browser says that it comes from a page of the very host that it
is sent to (`Origin`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from router.api.errors import told
from router.errors import UnknownHost
from router.people.errors import ForeignForm
from router.web.door import Form, SignInNeeded, parse_form, to_sign_in
from router.web.operator.seal import RENEW_S, Seals, Session
from router.web.render import page

COOKIE: Final = "vibes_operator"
HOME: Final = "/operator"
SIGN_IN: Final = "/operator/signin"
MAX_FORM_BYTES: Final = 65_536
TABS: Final = (
    (HOME, "Live"),
    ("/operator/money", "Money"),
    ("/operator/routing", "Routing"),
    ("/operator/conductor", "Conductor"),
)


@dataclass(frozen=True)
class Entrance:
    """What the pages know of who may see them.

    Attributes:
        seals: makes and opens sessions; None: there are no operators, and no pages.
        hosts: names under which the pages are given, beside addresses and localhost.
    """

    seals: Seals | None
    hosts: frozenset[str] = frozenset()


class _OperatorRoute(APIRoute):
    """Refusals become pages; who is not signed in is asked to; who is stays so while the pages are used."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.operator = None
            try:
                entrance = entrance_of(request)
                if not is_ours(request, entrance.hosts):
                    raise UnknownHost
                if entrance.seals is None:
                    return operator_page(request, "nokeys.html", status=404)
                return _renewed(request, entrance.seals, await handle(request))
            except SignInNeeded:
                return to_sign_in(request, SIGN_IN)
            except Exception as error:
                answer = told(error)
                return operator_page(
                    request, "error.html", answer.status, answer.headers, message=answer.message
                )

        return guarded


def operator_routes() -> APIRouter:
    """A router for the operator's pages: not in the API's description, refusals as pages."""
    return APIRouter(prefix=HOME, route_class=_OperatorRoute, include_in_schema=False)


def operator_page(
    request: Request,
    template: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> Response:
    """One of the operator's pages, `template` below `templates/operator/`."""
    session: Session | None = request.state.operator
    values |= {"tabs": TABS, "operator": None if session is None else session.name}
    answer = page(request, f"operator/{template}", status=status, **values)
    answer.headers.update(headers or {})
    return answer


def entrance_of(request: Request) -> Entrance:
    """Who may come in."""
    entrance: Entrance = request.app.state.entrance
    return entrance


def operator_of(request: Request) -> str:
    """Name of the operator who is signed in.

    Raises:
        SignInNeeded: none is.
    """
    found = session_of(request)
    if found is None:
        raise SignInNeeded
    request.state.operator = found
    return found.name


def session_of(request: Request) -> Session | None:
    """The session in the request's cookie, if it is good now."""
    seals = entrance_of(request).seals
    cookie = request.cookies.get(COOKIE)
    return None if seals is None or not cookie else seals.open(cookie, int(time.time()))


async def read_form(request: Request, limit_bytes: int = MAX_FORM_BYTES) -> Form:
    """The form that one of these pages sent.

    Raises:
        ForeignForm: another site sent it, or a program that does not say where it comes from.
        BadInput: it is no form.
        BodyTooLarge.
    """
    host = request.headers.get("host", "")
    if request.headers.get("origin") not in (f"http://{host}", f"https://{host}"):
        raise ForeignForm
    return await parse_form(request, limit_bytes)


def keep_session(request: Request, response: Response, text: str, max_age_s: int) -> None:
    """Sets the cookie, which only these pages send and no script reads; an age of 0 takes it away."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, text, max_age=max_age_s, path=HOME, secure=secure, httponly=True, samesite="strict"
    )


def is_ours(request: Request, hosts: frozenset[str]) -> bool:
    """The request's Host is one under which nobody else can put a page before it leads here."""
    try:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if name == "localhost" or name in hosts:
            return True
        ip_address(name)
    except ValueError:
        return False
    return True


def _renewed(request: Request, seals: Seals, response: Response) -> Response:
    session: Session | None = request.state.operator
    now_s = int(time.time())
    if session is not None and now_s - session.renewed_s >= RENEW_S:
        fresh = session.renewed(now_s)
        keep_session(request, response, seals.seal(fresh), fresh.until_s - now_s)
    return response
