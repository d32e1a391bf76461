"""An error as it goes out, in the shape of the surface that was called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from mini_llm.surfaces.base import INVALID, Surface, WireError
from mini_llm.wallet.limits import BASE_PER_VIBES

UNKNOWN_FIELD: Final = "extra_forbidden"
"""What pydantic calls a field that a body does not have; its name may be a secret in the wrong place."""
RATE: Final = "rate_limit_error"
PERMISSION: Final = "permission_error"
SERVER: Final = "server_error"

Row = Callable[[Any], WireError]
"""The answer to errors of one type."""


def refusal(
    status: int, code: str, type_: str = INVALID, param: str | None = None, retry_after: str | None = None
) -> Row:
    """The row of an error whose own words are for the client."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return lambda error: WireError(status, type_, code, str(error), param, headers=headers)


def too_often(code: str) -> Row:
    """The row of an error that knows for how many seconds to wait (`wait_s`)."""
    return lambda error: WireError(429, RATE, code, str(error), headers={"retry-after": str(error.wait_s)})


def respond(error: WireError, surface: Surface) -> Response:
    """An error as clients of the surface expect it."""
    return Response(surface.error_body(error), error.status, error.headers, "application/json")


def vibes(amount_base: int) -> str:
    """An amount in VIBES, for people."""
    return f"{amount_base // BASE_PER_VIBES}.{amount_base % BASE_PER_VIBES:06d}"
