"""An error as it goes out, in OpenAI's shape."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from mini_llm.wallet.limits import BASE_PER_VIBES

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

    def body(self) -> bytes:
        """The error object as JSON."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return json.dumps({"error": error | self.values}, separators=(",", ":")).encode()

    def response(self) -> Response:
        """The HTTP response."""
        return Response(self.body(), self.status, self.headers, "application/json")


def vibes(amount_base: int) -> str:
    """An amount in VIBES, for people."""
    return f"{amount_base // BASE_PER_VIBES}.{amount_base % BASE_PER_VIBES:06d}"
