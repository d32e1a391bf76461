"""Running the local gateway under uvicorn."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from mini_llm.config_sdk import Settings
from mini_llm.engine import Engine
from mini_llm.server.app import LocalGateway
from mini_llm.server.exchange import Served

MAX_HEAD_BYTES: Final = 32 * 2**10
"""As at the router."""
CLOSING_S: Final = 30
"""Running calls get so long to end after the first Ctrl-C; the second ends them now."""


class _Server(uvicorn.Server):
    """Says when it listens, and ends in good order on a signal instead of dying of it."""

    def __init__(self, config: uvicorn.Config, listens: Callable[[], None]) -> None:
        super().__init__(config)
        self._listens = listens

    async def startup(self, sockets: Any = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        self._listens()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn."""
        taken = (signal.SIGINT, signal.SIGTERM)
        before = {one: signal.signal(one, self.handle_exit) for one in taken}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def serve(
    settings: Settings,
    host: str,
    port: int,
    key: str | None,
    listens: Callable[[str], None],
    watch: Callable[[Served], None] | None,
) -> None:
    """Serves until a signal.

    Args:
        settings: the routes.
        host: address to listen on.
        port: 0 takes a free one.
        key: see ``LocalGateway``.
        listens: is told the base URL of OpenAI's clients once requests are taken.
        watch: see ``LocalGateway``.

    Raises:
        NotSetUp, ConfigErrors: the settings serve nobody.
        OSError: the address is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    asyncio.run(
        _serve(settings, socket.create_server((host, port), family=family), host, key, listens, watch)
    )


async def _serve(
    settings: Settings,
    listener: socket.socket,
    host: str,
    key: str | None,
    listens: Callable[[str], None],
    watch: Callable[[Served], None] | None,
) -> None:
    engine = Engine(settings)
    config = uvicorn.Config(
        LocalGateway(engine, key, watch),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=CLOSING_S,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}/v1"
    try:
        await engine.prepare()
        await _Server(config, lambda: listens(url)).serve([listener])
    finally:
        listener.close()
        await engine.aclose()
