"""Running the ASGI application under uvicorn: slow clients, signals and the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from router.drain import Drain
from router.ledger.link import Link
from router.operating import Operating

END_OF_HEAD: Final = b"\r\n\r\n"
NO_BODY: Final = b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
LINGER_BYTES: Final = 16 * 2**20
"""Most of a refused request's body that is thrown away before the connection is."""
MAX_WAITING: Final = 50
"""Most requests that a client sends on one connection before the one in front of them is answered."""
CLOSING_S: Final = 2
"""Seconds that connections get to close after the last request has been answered."""
ECHO_S: Final = 1.0
"""How long after the first word to stop a worker takes another one for the same."""
GARBAGE_OBJECTS: Final = 10_000
"""New objects between two searches for cycles: 64 calls in flight hold several thousand that live on."""

_Protocol: Any = AutoHTTPProtocol
log = logging.getLogger(__name__)


def configure(app: ASGIApp, host: str, port: int, operating: Operating, **options: Any) -> uvicorn.Config:
    """uvicorn's configuration with the operator's limits."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_guarded(operating.read_s, operating.max_header_bytes),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(operating.proxies),
        forwarded_allow_ips=list(operating.proxies),
        timeout_keep_alive=operating.keep_alive_s,
        timeout_graceful_shutdown=CLOSING_S,
        h11_max_incomplete_event_size=operating.max_header_bytes,
        **options,
    )


class _SecondServer(uvicorn.Server):
    """A server beside another one, which has the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves them alone."""
        yield


class DrainingServer(uvicorn.Server):
    """A server that drains on the first SIGTERM or SIGINT and ends the drain on the second.

    Args:
        config: of the public address.
        drain: what the application's front asks.
        admin: of the operator's address, if there is one.
        link: of a worker, which is told once both addresses are listened on. The word to stop may come to a
            worker twice, from whoever stops a service and from the process that started it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        admin: uvicorn.Config | None = None,
        link: Link | None = None,
    ) -> None:
        super().__init__(config)
        self._link = link
        self._stopped_s = 0.0
        self._drain = drain
        self._admin = None if admin is None else _SecondServer(admin)
        self._admin_runs: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        """See uvicorn."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for shared in sockets or ():  # uvicorn tells only of sockets that it opened itself
            log.info("running on http://%s:%d", *shared.getsockname()[:2])
        gc.collect()
        gc.freeze()  # modules, routes and tables stay: no search for cycles visits them again
        gc.set_threshold(GARBAGE_OBJECTS)
        if self._admin is not None:
            self._admin_runs = asyncio.create_task(self._admin.serve())
            while not self._admin.started and not self._admin_runs.done():
                await asyncio.wait({self._admin_runs}, timeout=0.01)
        if self._link is not None and self.started:
            self._link.say_ready()

    async def shutdown(self, sockets: Any = None) -> None:
        """See uvicorn. The operator's address is closed first: what it looks at closes with the router."""
        if self._admin is not None and self._admin_runs is not None:
            self._admin.should_exit = True
            await asyncio.gather(self._admin_runs, return_exceptions=True)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs as a signal handler; the loop does the rest."""
        if self._loop is None:
            super().handle_exit(sig, frame)
        else:
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        now_s = time.monotonic()
        if self._draining is None:
            self._draining, self._stopped_s = asyncio.create_task(self._drain_and_exit()), now_s
        elif self._link is None or now_s > self._stopped_s + ECHO_S:
            self._drain.hurry()

    async def _drain_and_exit(self) -> None:
        try:
            await self._drain.run()
        finally:
            self.should_exit = True


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


def _guarded(read_s: int, max_header_bytes: int) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol that gives a client `read_s` to send a request and bounds its head.

    uvicorn itself waits for ever for the first request of a connection and for the rest of a body, keeps
    whatever comes in the framing and the trailer of a body, and any number of requests that wait.
    """

    class Guarded(_Protocol):  # type: ignore[misc]
        _timer: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(read_s, self._too_slow)

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            self.cycle.transport = _WayOut(self.transport, self.loop)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            if before is None or before.response_complete:  # a head, or the rest of a body that nobody read
                self._head_bytes += len(data)
                limit_bytes = LINGER_BYTES if before is not None and before.more_body else max_header_bytes
                if self._head_bytes > limit_bytes and END_OF_HEAD not in data[:limit_bytes]:
                    self._refuse(b"431 Request Header Fields Too Large")
                    return
            body_bytes = 0 if before is None else len(before.body)
            super().data_received(data)
            cycle = self.cycle
            if cycle is not before:
                self._head_bytes = 0
                if len(self.pipeline) > MAX_WAITING:
                    self._refuse(b"429 Too Many Requests")
            elif cycle is not None and not cycle.response_complete:
                # what comes while no body does is framing, a trailer, or the head of a request that waits
                self._head_bytes = 0 if len(cycle.body) > body_bytes else self._head_bytes + len(data)
                if self._head_bytes > max_header_bytes:
                    self._refuse(b"431 Request Header Fields Too Large")
            if cycle is not None and not cycle.response_complete and not cycle.more_body:
                self._stop_timer()  # the request is here, whole
            elif self._timer is None:
                self._timer = self.loop.call_later(read_s, self._too_slow)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _too_slow(self) -> None:
            self._timer = None
            self._refuse(b"408 Request Timeout")

        def _refuse(self, status: bytes) -> None:
            """Hangs up, with a status if no answer has begun."""
            if self.transport.is_closing():
                return
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(b"HTTP/1.1 " + status + NO_BODY)
            self.transport.close()

    return Guarded
