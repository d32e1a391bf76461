"""Who looks at a page: the session of a signed-in wallet in a cookie, and errors told as pages.

The cookie holds the token that `POST /v1/signin` gives. Only this router's own pages send it
(`SameSite=Strict`), no script can read it, and what changes something counts only if the browser says that it
comes from a page of this router (`Origin`). With the same care the pages' scripts use the JSON endpoints;
paid calls never look at cookies.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from router.api.bodies import read_body
from router.api.errors import told
from router.api.people import desk_of
from router.auth import Doors
from router.errors import NulCharacter, UnknownApiKey
from router.people.callers import Caller, Principal
from router.people.errors import BadInput, ForeignForm, NeedsWallet, SignInOff
from router.web.render import page

COOKIE: Final = "vibes_session"
ACCOUNT_COOKIE: Final = "vibes_account"
MAX_FORM_BYTES: Final = 65_536
MAX_FORM_FIELDS: Final = 200
SIGN_IN: Final = "/signin"


class SignInNeeded(Exception):
    """Nobody is signed in; the door asks for a wallet and comes back."""


@dataclass(frozen=True)
class Visitor:
    """A signed-in wallet.

    Attributes:
        address: the wallet.
        caller: its session and accounts.
        account_idx: the account that the pages are about, None if the wallet has none yet.
    """

    address: str
    caller: Caller
    account_idx: int | None

    @property
    def accounts(self) -> tuple[int, ...]:
        """The wallet's accounts."""
        return tuple(self.caller.accounts)

    def principal(self) -> Principal:
        """The one who pays.

        Raises:
            NoAccount: the wallet has no account yet.
        """
        return self.caller.principal(None if self.account_idx is None else str(self.account_idx))


class _PageRoute(APIRoute):
    """Refusals become pages with the words that the API uses; who is not signed in is asked to."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInNeeded:
                return to_sign_in(request, SIGN_IN)
            except Exception as error:
                answer = told(error)
                return page(
                    request,
                    "error.html",
                    status=answer.status,
                    title="That did not work",
                    message=answer.message,
                )

        return guarded


def page_routes() -> APIRouter:
    """A router for pages: not in the API's description, refusals as pages."""
    return APIRouter(route_class=_PageRoute, include_in_schema=False)


async def visitor(request: Request) -> Visitor:
    """The wallet that is signed in.

    Raises:
        SignInNeeded: none is.
    """
    found = await guest(request)
    if found is None:
        raise SignInNeeded
    return found


async def guest(request: Request) -> Visitor | None:
    """The wallet that is signed in, None if none is; the page's head shows it."""
    token = request.cookies.get(cookie_name(request, COOKIE))
    if not token:
        return None
    doors: Doors = request.app.state.doors
    try:
        caller = await doors.caller({"authorization": f"Bearer {token}"}.get)
        session = caller.wallet()
    except (UnknownApiKey, NeedsWallet):
        return None
    accounts = tuple(caller.accounts)
    wanted = request.cookies.get(cookie_name(request, ACCOUNT_COOKIE))
    chosen = next((idx for idx in accounts if str(idx) == wanted), accounts[0] if accounts else None)
    request.state.visitor = found = Visitor(session.address, caller, chosen)
    return found


class PageCalls:
    """ASGI: lets the scripts of this router's pages use the JSON endpoints with the page's session.

    A cookie stands for a bearer token only where there is none, and, unless the request only reads, where
    `Origin` names this router.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            headers = Headers(scope=scope)
            if "cookie" in headers and "authorization" not in headers:
                request = Request(scope)
                token = request.cookies.get(cookie_name(request, COOKIE))
                if token and (request.method == "GET" or _is_own(request)):
                    bearer = (b"authorization", f"Bearer {token}".encode("latin-1"))
                    scope = {**scope, "headers": [*scope["headers"], bearer]}
        await self._app(scope, receive, send)


class Form:
    """The fields of a form, each of them possibly several times."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def text(self, name: str, default: str | None = None) -> str:
        """A field without the blanks around it.

        Raises:
            BadInput: it is missing and there is no default, or it is there twice.
        """
        found = self.many(name)
        if len(found) > 1 or (not found and default is None):
            raise BadInput(name, "is needed once")
        return found[0].strip() if found else str(default)

    def many(self, name: str) -> list[str]:
        """All values of a field, such as those of ticked boxes."""
        return [value for field, value in self._pairs if field == name]


async def read_form(request: Request) -> Form:
    """The form that a page of this router sent.

    Raises:
        ForeignForm: another site sent it, or a program that does not say where it comes from.
        BadInput: it is no form.
        BodyTooLarge.
    """
    require_own(request)
    return await parse_form(request, MAX_FORM_BYTES)


async def parse_form(request: Request, limit_bytes: int) -> Form:
    """A form, whoever sent it.

    Raises:
        BadInput: it is no form.
        NulCharacter, BodyTooLarge.
    """
    raw = await read_body(request.scope, request.receive, limit_bytes)
    if b"%00" in raw or b"\0" in raw:
        raise NulCharacter
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise BadInput("body", "is no form") from None
    return Form(pairs)


def require_own(request: Request) -> None:
    """Raises ForeignForm unless a page of this router made the request (browsers name it in `Origin`)."""
    if desk_of(request).place is None:
        raise SignInOff
    if not _is_own(request):
        raise ForeignForm


def see(path: str) -> Response:
    """Sends the browser on to a page, so that a reload does not send the form again."""
    return RedirectResponse(path, 303)


def to_sign_in(request: Request, path: str) -> Response:
    """Sends the browser to sign in at `path`, from where it comes back to a page."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return see(path if request.method != "GET" else f"{path}?next={quote(here, safe='')}")


def set_cookie(request: Request, response: Response, name: str, value: str, max_age_s: int) -> None:
    """Sets a cookie that only this router's pages send, and no script reads; an age of 0 takes it away."""
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=max_age_s,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def cookie_name(request: Request, name: str) -> str:
    """What a cookie of ours is called in the browser: under https so that no other host's page, not even one
    of a neighbouring subdomain, can put its own in the place of it.

    Source: RFC 6265bis, section 4.1.3.2
    """
    return f"__Host-{name}" if _is_secure(request) else name


def _is_secure(request: Request) -> bool:
    place = desk_of(request).place
    return place is not None and place.url.startswith("https:")


def _is_own(request: Request) -> bool:
    place = desk_of(request).place
    return place is not None and request.headers.get("origin") == place.url
