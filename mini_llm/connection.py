"""One HTTP/1.1 connection to a provider: a request out, its answer in, then the next.

There is one timer a connection, not one a call: it is left running and looks at what is due when it fires, so
that a call that is quick sets none.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable
from typing import Final

from mini_llm import http_parser
from mini_llm.http_parser import FAILURES, BadAnswer
from mini_llm.transport import Timeouts, TransportFailure, TransportTimeout

MAX_LOOSE_BYTES: Final = 2**16
"""Most bytes of an answer's head, its trailer or its framing with nothing of the body in between."""
HIGH_WATER_BYTES: Final = 2**18
"""A reader this far behind stops the sender."""
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""Neither needs a descriptor of its own; Windows has the second alone."""


class Connection(asyncio.Protocol):
    """Asks one thing at a time; `ask`, then `next_piece` until it is empty.

    Args:
        keep: takes it back once an answer has been read to its end.
        lost: is told when the connection is gone.

    Attributes:
        keep: as given.
        status: of the answer, once `ask` has returned.
        headers: of the answer, by lower-case name; of several of one name the first.
        heard_s: when something last came or was taken, in the loop's time.
    """

    def __init__(self, keep: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self.keep, self._lost = keep, lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._unread: selectors.BaseSelector = _Selector()
        self._timer: asyncio.Handle | None = None
        self._fires_s = math.inf
        self._waiter: asyncio.Future[None] | None = None
        self._finishing: asyncio.TimerHandle | None = None
        self._timeouts = Timeouts()
        self._error: Exception | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # see ``Listener``; a read has many chunks
        self._size_bytes = self._loose_bytes = 0
        self._began_s = self._asked_s = self.heard_s = 0.0
        self._in_head = self._interim = self._paused = False
        self._complete = self._open = True
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._parser = http_parser.make_parser(self)

    @property
    def usable(self) -> bool:
        """It can be asked again: the answer has been read to its end, and nobody closes the connection."""
        done = self._complete and not self._pieces and not self._transport.get_write_buffer_size()
        return done and self._open

    @property
    def unanswered(self) -> bool:
        """Nothing has come since the last request."""
        return self._in_head and not self._loose_bytes

    def silent(self) -> bool:
        """Nothing waits in the socket: neither the provider's farewell, nor an answer that nobody asked for
        and that would pass for the next call's."""
        return not self._unread.select(0)

    async def ask(self, request: bytes, timeouts: Timeouts, began_s: float) -> None:
        """Sends a request and waits for the head of its answer.

        Args:
            request: head and body.
            timeouts: hold from now on; `total_s` from when the call began.
            began_s: that moment, in the loop's time.

        Raises:
            TransportTimeout, TransportFailure: there is none.
        """
        self._timeouts, self._began_s = timeouts, began_s
        self._asked_s = self.heard_s = self._loop.time()
        self.headers = {}
        self._complete, self._in_head = False, True
        self._loose_bytes = 0
        self._transport.write(request)
        while self._in_head:
            await self._something()

    async def next_piece(self) -> bytes:
        """What has come of the body since the last piece, waiting for something; empty at the end.

        Raises:
            TransportTimeout, TransportFailure: it broke off.
        """
        while not self._pieces:
            if self._complete:
                return b""
            await self._something()
        piece = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces.clear()
        self._size_bytes = 0
        self.heard_s = self._loop.time()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return piece

    def finish(self, within_s: float) -> None:
        """Awaits the end of an answer that nobody reads on, and gives itself back to `keep`; hangs up if the
        end does not come within so many seconds."""
        self._finishing = self._loop.call_later(within_s, self.drop)

    def drop(self) -> None:
        """Hangs up at once, so that the provider stops."""
        self._open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]
        self._unread.register(transport.get_extra_info("socket"), selectors.EVENT_READ)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.heard_s = self._loop.time()
        before = len(self._pieces)
        try:
            self._parser.feed_data(data)
        except FAILURES as error:
            self._loose_bytes += len(data)
            self._fail(TransportFailure(type(error).__name__))
            return
        if len(self._pieces) > before:
            self._loose_bytes = 0
            self._size_bytes += len(data)
            if self._size_bytes > HIGH_WATER_BYTES and not self._paused:
                self._paused = True
                self._transport.pause_reading()
        else:
            self._loose_bytes += len(data)
        if self._loose_bytes > MAX_LOOSE_BYTES:
            self._fail(TransportFailure("the answer's head or framing is too long"))
        self._wake()
        if self._finishing is not None and self.usable:
            self._finishing.cancel()
            self._finishing = None
            self.keep(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        ended, self._open = exc is None and self._open, False  # by the provider, if nobody here hung up
        if self._timer is not None:
            self._timer.cancel()
        if ended and not self._in_head and self._ends_with_connection():
            self._complete = True
        self._fail(TransportFailure("ConnectionLost" if exc is None else type(exc).__name__))
        self._lost(self)

    def on_message_begin(self) -> None:
        """See ``Listener``."""
        if self._complete:
            raise BadAnswer("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """See ``Listener``; also called for a trailer, of which nothing is kept."""
        if self._in_head:
            self.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """See ``Listener``."""
        self.status = self._parser.get_status_code()
        self._interim = self.status < 200
        if self._interim:
            self.headers = {}
        else:
            self._in_head = False

    def on_message_complete(self) -> None:
        """See ``Listener``."""
        if not self._interim:
            self._complete = True
            self._open = self._open and self._parser.should_keep_alive()

    def _ends_with_connection(self) -> bool:
        """The answer says neither how long it is nor that it comes in chunks."""
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    async def _something(self) -> None:
        """Waits until something has come, or it is clear that nothing will."""
        if self._error is None:
            self._plan()
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._error is not None and not self._complete:
            raise self._error

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        """Ends the connection; an answer that is complete stays good."""
        if self._error is None:
            self._error = error
        self.drop()
        self._wake()

    def _due(self) -> tuple[float, str, float] | None:
        """When the running call will have taken too long, in which stage, and its limit; None for never."""
        limits = self._timeouts
        if self._in_head:
            stage, since_s, limit_s = "first_byte", self._asked_s, limits.first_byte_s
        else:
            stage, since_s, limit_s = "idle", self.heard_s, limits.idle_s
        due = None if limit_s is None else (since_s + limit_s, stage, limit_s)
        if limits.total_s is not None:
            total = (self._began_s + limits.total_s, "total", limits.total_s)
            due = total if due is None else min(due, total)
        return due

    def _plan(self) -> None:
        """Sees to it that the timer fires no later than something is due."""
        due = self._due()
        if due is not None and due[0] < self._fires_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._fires_s = self._loop.call_at(due[0], self._check), due[0]

    def _check(self) -> None:
        self._timer, self._fires_s = None, math.inf
        due = None if self._complete else self._due()
        if due is None:
            return
        if self._loop.time() < due[0]:  # something came in between, or it is another call
            self._plan()
        else:
            self._fail(TransportTimeout(*due[1:]))
