"""One client's connection: how long it may take, how much may come, and what is said to nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from router.api.bodies import HALF_CLOSED, WATCHED
from router.api.front import UNLESS_SAID, fixed_headers
from router.observe.record import new_record
from router.operating import Operating

END_OF_HEAD: Final = b"\r\n\r\n"
LINGER_BYTES: Final = 16 * 2**20
"""Most of a refused request's body that is thrown away before the connection is."""
MAX_WAITING: Final = 50
"""Most requests that a client sends on one connection before the one in front of them is answered."""
TOO_LONG: Final = (b"431 Request Header Fields Too Large", b"head_too_long")

_Protocol: Any = AutoHTTPProtocol


def guarded(operating: Operating) -> type[asyncio.Protocol]:
    """The protocol of every connection, with the operator's limits."""

    class Guarded(_Guarded):
        read_s, max_header_bytes = operating.read_s, operating.max_header_bytes
        fixed = (*fixed_headers(operating), *UNLESS_SAID)

    return Guarded


class _WayOut:
    """What one answer is written to: its head leaves together with what follows it.

    uvicorn writes the two one after the other, which is a system call and a packet for each. A head that
    nothing follows at once leaves in the loop's next turn; so does a word to go on with a request.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None  # empty once it has left

    def write(self, data: bytes) -> None:
        if self._head is None:
            self._head = data
            self._loop.call_soon(self._flush)
        elif self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""


class _Guarded(_Protocol):  # type: ignore[misc]
    """uvicorn's HTTP protocol that gives a client so long to send a request and bounds its head.

    uvicorn itself waits for ever for the first request of a connection and for the rest of a body, keeps
    whatever comes in the framing and the trailer of a body, and any number of requests that wait. It hangs up
    on a client that has ended its side of the connection, although what it asked for is being made.
    """

    read_s: int
    max_header_bytes: int
    fixed: Sequence[tuple[bytes, bytes]]  # headers of every answer
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _tail = b""  # of a head that has not ended: its end may come in two pieces

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.read_s, self._too_slow)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.transport = _WayOut(self.transport, self.loop)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if before is None or before.response_complete:  # a head, or the rest of a body that nobody read
            limit_bytes = LINGER_BYTES if before is not None and before.more_body else self.max_header_bytes
            room_bytes = max(limit_bytes - self._head_bytes, 0)
            self._head_bytes += len(data)
            if self._head_bytes > limit_bytes and END_OF_HEAD not in self._tail + data[:room_bytes]:
                self._refuse(*TOO_LONG)
                return
            self._tail = (self._tail + data[-3:])[-3:]
        body_bytes = 0 if before is None else len(before.body)
        super().data_received(data)
        cycle = self.cycle
        if cycle is not before:
            self._head_bytes, self._tail = 0, b""
            if len(self.pipeline) > MAX_WAITING:
                self._refuse(b"429 Too Many Requests", b"too_many_requests")
        elif cycle is not None and not cycle.response_complete:
            # what comes while no body does is framing, a trailer, or the head of a request that waits
            self._head_bytes = 0 if len(cycle.body) > body_bytes else self._head_bytes + len(data)
            if self._head_bytes > self.max_header_bytes:
                self._refuse(*TOO_LONG)
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            self._stop_timer()  # the request is here, whole
        elif self._timer is None:
            self._timer = self.loop.call_later(self.read_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self._refuse(b"408 Request Timeout", b"request_timeout")

    def send_400_response(self, msg: str) -> None:
        self._refuse(b"400 Bad Request", b"malformed_request")

    def eof_received(self) -> bool:
        """Whether the connection stays: for who has sent a whole request, and waits for its answer."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or WATCHED in cycle.scope:
            return False
        cycle.scope[HALF_CLOSED] = True
        cycle.keep_alive = False
        return True

    def _refuse(self, status: bytes, code: bytes) -> None:
        """Hangs up, with a status if no answer has begun."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_refusal(status, code, self.fixed))
        self.transport.close()


def _refusal(status: bytes, code: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """An answer to what no application has seen, with the headers that every answer has."""
    message = status.partition(b" ")[2]
    body = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"%s"}}' % (
        message,
        code,
    )
    said = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        (b"x-request-id", new_record(None, None).request_id.encode()),
        *headers,
    ]
    return b"HTTP/1.1 %s\r\n%s\r\n%s" % (status, b"".join(b"%s: %s\r\n" % one for one in said), body)
