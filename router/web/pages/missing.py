"""What a browser sees where there is nothing; programs are answered in JSON as everywhere."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from router.api.errors import http_refusal
from router.web.render import page

_NOT_PAGES: Final = ("/v1/", "/v1beta/", "/static/", "/openapi.json")


def install(app: FastAPI) -> None:
    """Answers browsers with a page where there is nothing."""
    app.add_exception_handler(HTTPException, _refuse)


def _refuse(request: Request, error: Exception) -> Response:
    browses = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    missing = isinstance(error, HTTPException) and error.status_code == 404
    if not (browses and missing) or request.url.path.startswith(_NOT_PAGES):
        return http_refusal(request, error)
    return page(
        request,
        "error.html",
        status=404,
        title="Nothing is here",
        message="There is nothing at this address: it is mistyped, or the page has moved.",
    )
