"""Tells each request that has ended to the metrics, the log and the traces."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from mini_llm.config import RoutingConfig
from router.beside import beside
from router.observe.logs import CallLog, describe
from router.observe.metrics import Metrics
from router.observe.record import CallRecord

FLUSH_S: Final = 0.2
"""How long a call's log line may wait for others."""

log = logging.getLogger(__name__)


class Observer:
    """The one place where requests are told.

    Args:
        calls: the log of calls, None for none.
        tracer: a `router.observe.traces.Tracer`, None if traces are off.
    """

    def __init__(self, calls: CallLog | None = None, tracer: Any = None) -> None:
        self.metrics = Metrics()
        self.tracer = tracer
        self._calls = calls

    def adopt(self, config: RoutingConfig) -> None:
        """A new configuration is in force."""
        if self.tracer is not None:
            self.tracer.adopt(config)

    def began(self, record: CallRecord, method: str) -> None:
        """A request has come."""
        self.metrics.in_flight += 1
        if self.tracer is not None:
            self.tracer.began(record, method)

    def streaming(self, record: CallRecord) -> None:
        """A streaming answer begins: its first content has come."""
        record.streaming = True
        self.metrics.began_to_stream(record)

    def ended(self, record: CallRecord) -> None:
        """It has been answered, or its client is gone."""
        metrics = self.metrics
        metrics.in_flight -= 1
        metrics.count(record)
        if record.surface and self._calls is not None:
            self._calls.tell(record)
        if self.tracer is not None:
            self.tracer.ended(record)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes the log while the block runs, and all that is left at its end."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_lost_exception)
        try:
            async with beside(self._write()):
                yield
        finally:
            self.flush()
            if self.tracer is not None:
                await asyncio.to_thread(self.tracer.close)

    def flush(self) -> None:
        """Writes the lines that wait."""
        if self._calls is not None:
            with contextlib.suppress(OSError):  # a full disk or a closed pipe must not stop the router
                self._calls.flush()

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            self.flush()


def _lost_exception(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler would print the exception's words, which may quote a prompt."""
    error = context.get("exception")
    log.error("%s %s", context.get("message"), describe(error) if error is not None else "")
