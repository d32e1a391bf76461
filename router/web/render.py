"""Makes a page of a template, under a policy that lets nothing run or load but the router's own files."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from router.config import Settings
from router.web.static import asset_url
from router.web.units import FILTERS

if TYPE_CHECKING:
    from jinja2 import Environment

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'{connect}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(
    request: Request, template: str, *, status: int = 200, connect: str | None = None, **values: Any
) -> Response:
    """A page.

    Args:
        request: what is answered; the navigation shows where it is, and who is signed in if `door` looked.
        template: name below `templates/`.
        status: HTTP status.
        connect: an origin beside the router that the page's script may talk to, checked by the caller.
        values: what the template shows; one that it asks for and does not get is an error.
    """
    body = (
        _templates()
        .get_template(template)
        .render(
            values,
            path=request.url.path,
            visitor=getattr(request.state, "visitor", None),
            chain_url=_chain_url(request),
        )
    )
    policy = _POLICY.format(connect="" if connect is None else f" {connect}")
    # with `no-referrer`, forms would not say where they come from (`Origin: null`)
    return HTMLResponse(body, status, {"content-security-policy": policy, "referrer-policy": "same-origin"})


def _chain_url(request: Request) -> str | None:
    """The chain's own explorer; the operator's application has no settings of its own."""
    settings: Settings | None = getattr(request.app.state, "settings", None)
    return None if settings is None else settings.people.explorer_url


@cache
def _templates() -> Environment:
    from jinja2 import (
        Environment,
        PackageLoader,
        StrictUndefined,
    )  # 4 MB that a router without visitors saves

    made = Environment(
        loader=PackageLoader("router.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals["asset"] = asset_url
    return made
