"""Reading a request's body, no further than its limit."""

from __future__ import annotations

from starlette.types import Receive, Scope

from router.errors import BodyTooLarge, ClientGone


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The request body.

    Raises:
        BodyTooLarge: it is longer, or says so.
        ClientGone: the client left before its end.
    """
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
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
