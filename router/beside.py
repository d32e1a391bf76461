"""Work that goes on beside what a block does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

log = logging.getLogger(__name__)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs work in a task of its own, and has ended it when the block is left; its errors end it alone."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def every(seconds: float, turn: Callable[[], Awaitable[None]], failure: str) -> None:
    """Takes turns for ever. Failures are logged: a full disk today must not end them. A turn that has begun
    when this is cancelled comes to its end first.

    Args:
        seconds: between two turns, and before the first.
        turn: what is done.
        failure: what it means that one fails, for the log.
    """
    while True:
        await asyncio.sleep(seconds)
        running = asyncio.ensure_future(turn())
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.gather(running, return_exceptions=True)
            raise
        except Exception as error:
            log.error("%s: %s", failure, type(error).__name__)
