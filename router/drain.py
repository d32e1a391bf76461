"""Stopping without losing a call: no new ones, the running ones end or are ended, then the ledger closes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

SETTLE_S: Final = 10
"""Seconds that calls get to settle after they were cut off: one commit each."""

log = logging.getLogger(__name__)


class Drain:
    """The requests that run, and whether new ones are taken.

    Attributes:
        begun: no new requests are taken.
        over: none runs any more, and the process ends.

    Args:
        limit_s: seconds that running requests get once the drain has begun.
        notice_s: seconds that a drain takes at least, so that load balancers notice.
    """

    def __init__(self, limit_s: float, notice_s: float = 0) -> None:
        self._limit_s, self._notice_s = limit_s, notice_s
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._hurry = asyncio.Event()
        self.begun = self.over = False

    def enter(self) -> asyncio.Task[object] | None:
        """Counts the running task as a request; hand the result to `leave`."""
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
        return task

    def leave(self, task: asyncio.Task[object] | None) -> None:
        """The request has been answered, or given up."""
        if task is not None:
            self._running.discard(task)
        if self.begun and not self._running:
            self._idle.set()

    @property
    def running(self) -> int:
        """Requests that are being served."""
        return len(self._running)

    def hurry(self) -> None:
        """Ends a drain now instead of at its limit."""
        self._hurry.set()

    async def run(self) -> None:
        """Takes no more requests; returns when none runs: finished, or cut off at the limit and settled."""
        self.begun = True
        log.info("draining: %d requests run, they get %g s", self.running, self._limit_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), self._notice_s)
        if self._running:
            hurry = asyncio.ensure_future(self._hurry.wait())
            idle = asyncio.ensure_future(self._idle.wait())
            await asyncio.wait((hurry, idle), timeout=self._limit_s, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            idle.cancel()
        await self.cut()
        self.over = True
        log.info("drained")

    async def cut(self) -> None:
        """Cancels what still runs and waits until it has settled, `SETTLE_S` at most."""
        if not self._running:
            return
        log.warning("cutting off %d requests", self.running)
        cut = list(self._running)
        for task in cut:
            task.cancel()
        _, late = await asyncio.wait(cut, timeout=SETTLE_S)
        if late:
            log.error("%d requests did not settle in %d s; their reservations lapse", len(late), SETTLE_S)
