"""Reading a request: its headers once, its body no further than its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.types import Receive, Scope

from router.errors import BodyTooLarge, ClientGone

WATCHED: Final = "vibes.watched"
"""In the scope of a request whose client is watched: it may not end its side before it has its answer."""
HALF_CLOSED: Final = "vibes.half_closed"
"""In the scope of a request whose client has ended its side, and still takes the answer for all we know."""
_HEADERS: Final = "vibes.headers"
_LISTS: Final = frozenset({b"anthropic-beta", b"openai-beta"})
"""Lists, which may come in several lines. Of any other header that comes again the last line counts."""


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The request's headers by lower-case name: made once, for all that look one up."""
    headers: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if headers is None:
        headers = scope[_HEADERS] = dict(scope["headers"])
        if len(headers) != len(scope["headers"]):
            for name in _LISTS & headers.keys():
                headers[name] = b",".join([value for other, value in scope["headers"] if other == name])
    return headers


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The request body.

    Raises:
        BodyTooLarge: it is longer, or says so.
        ClientGone: the client left before its end.
    """
    announced = headers_of(scope).get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if not message.get("more_body"):
            return bytes(body)
