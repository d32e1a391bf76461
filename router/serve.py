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

from router.connections import guarded
from router.drain import Drain
from router.ledger.link import Link
from router.operating import Operating

CLOSING_S: Final = 2
"""Seconds that connections get to close after the last request has been answered."""
ECHO_S: Final = 1.0
"""How long after the first word to stop a worker takes another one for the same."""
GARBAGE_OBJECTS: Final = 10_000
"""New objects between two searches for cycles: 64 calls in flight hold several thousand that live on."""

log = logging.getLogger(__name__)


def configure(app: ASGIApp, host: str, port: int, operating: Operating, **options: Any) -> uvicorn.Config:
    """uvicorn's configuration with the operator's limits."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=guarded(operating),
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
        gc.enable()
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
