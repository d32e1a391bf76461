"""An error as it goes out, in the shape of the surface that was called."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from starlette.responses import Response
from starlette.types import Scope

from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.base import Surface, WireError
from mini_llm.wallet.limits import BASE_PER_VIBES

INVALID: Final = "invalid_request_error"
UPSTREAM: Final = "upstream_error"


ANTHROPIC: Final = "/v1/messages"
_GOOGLES: Final = re.compile(r"/v1beta/.*|/v1/models/.+:[a-zA-Z]+")


def surface_of(scope: Scope) -> Surface:
    """The format in which the client of a request expects errors; OpenAI's if the path does not tell."""
    path: str = scope["path"]
    if speaks_google(scope):
        return SURFACES["gemini"]
    if path.startswith(ANTHROPIC):
        return SURFACES["messages"]
    if path == "/v1/responses":
        return SURFACES["responses"]
    if path.startswith("/v1/models") and speaks_anthropic(scope):
        return SURFACES["messages"]
    return CHAT


def speaks_google(scope: Scope) -> bool:
    """Google's API has paths of its own, but its list of models is where OpenAI's is; its clients say so."""
    path: str = scope["path"]
    if path.startswith("/v1/models") and any(name.startswith(b"x-goog-") for name, _ in scope["headers"]):
        return True
    return _GOOGLES.fullmatch(path) is not None


def speaks_anthropic(scope: Scope) -> bool:
    """Anthropic's clients name the version of its API; that tells them apart where the path does not."""
    return any(name == b"anthropic-version" for name, _ in scope["headers"])


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it goes out; `values` are members beside OpenAI's four."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, surface: Surface) -> bytes:
        """The error as JSON, as clients of the surface expect it."""
        error = WireError(self.status, self.type, self.code, self.message, self.param, self.values)
        return surface.error_body(error)

    def response(self, surface: Surface) -> Response:
        """The HTTP response."""
        return Response(self.body(surface), self.status, self.headers, "application/json")


def vibes(amount_base: int) -> str:
    """An amount in VIBES, for people."""
    return f"{amount_base // BASE_PER_VIBES}.{amount_base % BASE_PER_VIBES:06d}"
