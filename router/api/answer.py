"""An error as it goes out, in the shape of the surface that was called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from starlette.responses import Response

from mini_llm.surfaces.base import Surface, WireError
from mini_llm.wallet.limits import BASE_PER_VIBES

UNKNOWN_FIELD: Final = "extra_forbidden"
"""What pydantic calls a field that a body does not have; its name may be a secret in the wrong place."""
INVALID: Final = "invalid_request_error"
UPSTREAM: Final = "upstream_error"


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
