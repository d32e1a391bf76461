"""The router's end of scoring: a call that has ended is offered, and scored if there is time.

A call waits for nothing: an offer is put into a short queue, and dropped if that is full. A dropped call has
no score, which the rewards take as the lowest band that earns. Texts live in memory until they are scored.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from mini_llm.request import Request
from mini_llm.surfaces.base import Surface
from router.beside import beside
from router.config import Settings
from router.ledger.rewards import Score, store_scores
from router.ledger.writer import Ledger

MOST_WAITING: Final = 32
MOST_BYTES: Final = 2**18
"""Longest request, and longest answer, that is scored."""
FLUSH_S: Final = 5.0
"""Scores are written together: each write makes the ledger's writer read its rows anew."""
SPACING_S: Final = 0.05
"""Rest after each call, so that a router under load spends a few percent of a core on scores, not a third."""
ANSWER_S: Final = 10.0
"""A process that takes longer for a call is replaced."""
RESTART_S: Final = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    request_id: str
    surface: Surface
    request: Request
    raw: bytes

    def line(self) -> bytes | None:
        """What the process reads; None if there is no text to score."""
        answer = self.surface.answer_text(self.raw)
        if not answer:
            return None
        return (
            json.dumps({"texts": self.surface.prompt_texts(self.request), "answer": answer}).encode() + b"\n"
        )


class Scorer:
    """Scores calls beside the router.

    Attributes:
        dropped: calls that found the queue full, or were too long.
    """

    def __init__(self, ledger: Ledger, secret: bytes) -> None:
        """`secret` salts the fingerprints; workers of one ledger need the same."""
        self._ledger = ledger
        self._salt = blake2b(b"fingerprints of calls", digest_size=32, key=secret).digest()
        self._waiting: deque[_Job] = deque()
        self._work = asyncio.Event()
        self._scores: list[Score] = []
        self._written_s = time.monotonic()
        self.dropped = 0

    def offer(self, request_id: str, surface: Surface, request: Request, raw: bytes) -> None:
        """Takes a charged call in, or drops it; returns at once.

        Args:
            request_id: of its entry.
            surface: the format of request and answer.
            request: what was asked.
            raw: the answer's body, or the events of its stream.
        """
        if len(self._waiting) >= MOST_WAITING or max(request.size_bytes, len(raw)) > MOST_BYTES:
            self.dropped += 1
        else:
            self._waiting.append(_Job(request_id, surface, request, raw))
            self._work.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Scorer]:
        """Scores until the block ends; then what is scored is written, and the rest forgotten."""
        try:
            async with beside(self._keep()):
                yield self
        finally:
            await self._write()

    async def _keep(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:  # an odd answer or a full disk today must not end scoring for ever
                log.error("scoring failed: %s", type(error).__name__)
                await asyncio.sleep(RESTART_S)

    async def _serve(self) -> None:
        module = (sys.executable, "-m", "router.scoring.worker")
        process = await asyncio.create_subprocess_exec(
            *module, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        try:
            await _tell(process, self._salt.hex().encode() + b"\n")
            while True:
                await self._next(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _next(self, process: Process) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):  # wait_for may swallow the cancellation that ends this task
                await self._work.wait()
        if self._waiting:
            job = self._waiting.popleft()
            line = await asyncio.to_thread(job.line)
            if line is not None:
                await _tell(process, line)
                found = json.loads(await _heard(process))
                if found is not None:
                    self._scores.append(Score(job.request_id, *found))
            await asyncio.sleep(SPACING_S)
        else:
            self._work.clear()
        if self._scores and time.monotonic() - self._written_s >= FLUSH_S:
            await self._write()

    async def _write(self) -> None:
        scores, self._scores = self._scores, []
        self._written_s = time.monotonic()
        if scores:
            await self._ledger.submit(lambda connection: store_scores(connection, scores))


@asynccontextmanager
async def scoring(ledger: Ledger, settings: Settings) -> AsyncIterator[Scorer | None]:
    """The scorer of a router, until the block ends; None if its configuration wants none."""
    if not settings.config.rewards.score:
        yield None
        return
    async with Scorer(ledger, settings.receipt_key).running() as scorer:
        yield scorer


async def _tell(process: Process, line: bytes) -> None:
    if process.stdin is None:
        raise ValueError("a process without an input")
    process.stdin.write(line)
    await process.stdin.drain()


async def _heard(process: Process) -> bytes:
    if process.stdout is None:
        raise ValueError("a process without an output")
    async with asyncio.timeout(ANSWER_S):
        return await process.stdout.readline()
