"""What providers speak HTTP through. The library has its own; a server may bring something faster."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each stage of a call may take, seconds; None is for ever.

    Attributes:
        connect_s: until there is a connection.
        first_byte_s: from then until the answer's headers.
        idle_s: longest silence within the answer.
        total_s: the whole call.
    """

    connect_s: float = 5.0
    first_byte_s: float | None = 300.0
    idle_s: float | None = 300.0
    total_s: float | None = None


class TransportTimeout(Exception):
    """A stage (``connect``, ``first_byte``, ``idle`` or ``total``) took longer than ``seconds``."""

    def __init__(self, stage: str, seconds: float) -> None:
        super().__init__(f"{stage} took longer than {seconds:g} s")
        self.stage, self.seconds = stage, seconds


class TransportFailure(Exception):
    """No connection, or it broke; ``reason`` is the kind of failure, without addresses or contents."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeptConnectionClosed(TransportFailure):
    """A connection that was kept from an earlier call closed at once, and nothing of an answer came.

    Its provider closed it while the request was on its way. The next request gets a connection of its own.
    """


class AnswerTooLong(Exception):
    """The body is longer than ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class UpstreamResponse(ABC):
    """A response whose headers have come; its caller closes it, however it ends.

    Attributes:
        status: HTTP status.
    """

    status: int

    @abstractmethod
    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""

    @abstractmethod
    async def next_piece(self) -> bytes:
        """What has come of the body since the last piece, waiting for something; empty at the end.

        Raises:
            TransportTimeout, TransportFailure: it broke off.
        """

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            AnswerTooLong: there is more.
            TransportTimeout, TransportFailure: it broke off.
        """
        pieces, room_bytes = list[bytes](), limit_bytes
        while piece := await self.next_piece():
            room_bytes -= len(piece)
            if room_bytes < 0:
                raise AnswerTooLong(limit_bytes)
            pieces.append(piece)
        return b"".join(pieces)  # which copies nothing where all came at once

    @abstractmethod
    async def aclose(self) -> None:
        """Gives the connection back, or drops it if the body is not complete."""

    async def finish(self) -> None:
        """Closes a response that has said all, though the end of its body may not have come.

        A transport may await that end in the background, to keep the connection; the caller need not wait.
        """
        await self.aclose()


class Transport(ABC):
    """Sends requests. Redirects are not followed, cookies not kept, proxies of the environment not used."""

    @abstractmethod
    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> UpstreamResponse:
        """Sends a request and returns once the response's headers are there, whatever its status.

        Raises:
            TransportTimeout, TransportFailure: there is none.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Closes idle connections."""


async def within(
    timeouts: Timeouts, deadline: float | None, stage: str, seconds: float | None, waiting: Awaitable[T]
) -> T:
    """Waits for one step of a call that ends at ``deadline`` (the loop's time, None for never).

    Raises:
        TransportTimeout: the stage's limit or the call's ended; it tells the one that ended first.
    """
    left_s = None if deadline is None else max(deadline - asyncio.get_running_loop().time(), 0.0)
    if left_s is not None and (seconds is None or left_s < seconds):
        stage, seconds = "total", left_s
    try:
        async with asyncio.timeout(seconds):
            return await waiting
    except TimeoutError:
        told_s = timeouts.total_s if stage == "total" else seconds
        raise TransportTimeout(stage, told_s or 0.0) from None
