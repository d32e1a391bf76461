"""One request to the local gateway and its answer, over ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mini_llm.deployment import as_header
from mini_llm.engine import Answer, Stream
from mini_llm.errors import MiniLLMError
from mini_llm.request import encode
from mini_llm.server.refusals import Refused, refusal_of
from mini_llm.surfaces.base import Surface, WireError
from mini_llm.surfaces.paths import Scope, surface_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")

MAX_BODY_BYTES: Final = 4 * 2**20
"""As at the router."""
_SECURITY: Final = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class ClientGone(Exception):
    """The client left before its answer; nobody is told."""


@dataclass(frozen=True, slots=True)
class Served:
    """A request and what became of it, for whoever looks on; nothing of its contents.

    Attributes:
        path: as called.
        status: HTTP status of the answer.
        ms: how long it took, milliseconds.
        deployment: who served it, None if nobody did.
        cost_usd: what it cost, None if that is not known.
    """

    path: str
    status: int
    ms: int
    deployment: str | None = None
    cost_usd: str | None = None


class Exchange:
    """One request and its answer."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, watch: Callable[[Served], None] | None
    ) -> None:
        self.scope = scope
        self._receive, self._send, self._watch = receive, send, watch
        self._began, self._status = time.monotonic(), 0
        self._served: Answer | Stream | None = None

    async def run(self, answer: Callable[[Exchange], Coroutine[Any, Any, None]]) -> None:
        """Sees the answer through; whatever goes wrong before it has begun is told in the caller's format."""
        try:
            await answer(self)
        except ClientGone:
            return
        except MiniLLMError as error:
            if self._status:  # an answer that has begun is left without an end
                raise
            await self._refuse(refusal_of(error))
        finally:
            self._tell()

    async def read_body(self) -> bytes:
        """The request's body.

        Raises:
            Refused: it is too long.
        """
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                raise Refused(413, "body_too_large", f"the body is longer than {MAX_BODY_BYTES} bytes")
            if not message.get("more_body"):
                return bytes(body)

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of some work, which ends when the client leaves: nobody pays for what nobody hears."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientGone
            return working.result()
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def send_json(self, data: Mapping[str, Any]) -> None:
        """A document."""
        await self._whole(200, encode(data))

    async def send_answer(self, answer: Answer, body: bytes) -> None:
        """A whole answer, with who served it and what it cost in headers."""
        self._served = answer
        told = _who(answer)
        if (cost := answer.cost) is not None:
            told["x-mini-llm-cost-usd"] = cost.usd
        await self._whole(200, body, told)

    async def send_stream(self, stream: Stream, surface: Surface) -> None:
        """An answer as it arrives; one that breaks off ends with an error in the caller's format."""
        self._served = stream
        await self.unless_gone(self._pieces(stream, surface))

    async def _pieces(self, stream: Stream, surface: Surface) -> None:
        await self._start(200, {"content-type": "text/event-stream"} | _who(stream))
        try:
            async with aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except MiniLLMError as error:
            event = surface.error_event(refusal_of(error))
            await self._send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            await stream.aclose()
        await self._send({"type": "http.response.body", "body": b""})

    async def _refuse(self, error: WireError) -> None:
        await self._whole(error.status, surface_of(self.scope).error_body(error), error.headers)

    async def _whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        told = {"content-type": "application/json", "content-length": str(len(body))}
        await self._start(status, told | dict(headers or {}))
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": [*sent, *_SECURITY]})

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _tell(self) -> None:
        if self._watch is None or not self._status:
            return
        ms = int((time.monotonic() - self._began) * 1000)
        served = self._served
        deployment = None if served is None else served.deployment.id
        cost = None if served is None else served.cost
        self._watch(Served(self.scope["path"], self._status, ms, deployment, cost.usd if cost else None))


def _who(reply: Answer | Stream) -> dict[str, str]:
    """Headers that tell who serves and, if the call left the model open, why."""
    name = reply.deployment.id
    told = {"x-mini-llm-deployment": as_header(name)}
    if reply.decision is not None:
        told["x-mini-llm-route"] = reply.decision.told(name)
    return told
