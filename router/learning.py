"""The router's part in mirror learning: it tells the ledger how calls went whose model was left to us.

A call waits for nothing: what is known of it is put into a queue, dropped if that is full, read in a thread
between calls, and written every few seconds. Prompts live in memory until they are read, and their salted
fingerprints for an hour: who sends the same again was not served well.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import Connection

from mini_llm.request import Need, Request
from mini_llm.routing.decision import Decision
from mini_llm.routing.mirroring import Drawn
from mini_llm.routing.plan import Outcome
from mini_llm.routing.run import OVERTAKEN
from mini_llm.surfaces.base import Surface
from router.beside import beside, every
from router.config import RouterConfig, Settings
from router.ledger import learning_steps, mirror
from router.ledger.learning_steps import DrawnFacts
from router.ledger.mirror import Answered, Seen
from router.ledger.writer import Ledger
from router.mirror.format import is_json
from router.mirror.repeats import Repeats
from router.mirror.standing import Shares
from router.mirror.tally import Kind, step_of
from router.observe.record import current
from router.people.byok import listed_id

MOST_WAITING: Final = 256
MOST_BYTES: Final = 2**18
"""Longest request, and longest answer, that is looked at."""
FLUSH_S: Final = 2.0
_NS: Final = 1_000_000_000
ALWAYS: Final = 1.0
"""The chance of a model that was not drawn by lot."""


@dataclass(frozen=True, slots=True)
class _Job:
    call: Answered
    account_idx: int
    drawn: DrawnFacts | None
    failed: tuple[Answered, ...]
    surface: Surface
    request: Request
    raw: bytes
    began_s: float
    ended_s: float


class Mirror:
    """Tells the ledger of outcomes.

    Attributes:
        dropped: calls that found the queue full, or were too long.
        weighing: what outcomes count.
    """

    def __init__(self, ledger: Ledger, config: RouterConfig, secret: bytes) -> None:
        """`secret` salts the fingerprints."""
        self._ledger = ledger
        self._salt = blake2b(b"prompts that are sent again", digest_size=32, key=secret).digest()
        self._waiting: deque[_Job] = deque()
        self._repeats: Repeats[tuple[Answered, int]] = Repeats()
        self._shares = Shares()
        self.dropped = 0
        self.adopt(config)

    def adopt(self, config: RouterConfig) -> None:
        """Goes by another configuration from now on."""
        self._settings = config.auto.learning
        self.weighing = config.weighing

    def offer(
        self,
        request_id: str,
        account_idx: int,
        surface: Surface,
        request: Request,
        raw: bytes,
        served: Outcome[Any],
    ) -> None:
        """Takes a charged call in if its model was left to us; returns at once.

        Args:
            request_id: of its entry.
            account_idx: who made it.
            surface: the format of request and answer.
            request: what was asked.
            raw: the answer's body, or the events of its stream; empty if they were not all kept.
            served: who answered, who failed before, and why these.
        """
        decision = served.decision
        if decision is None or not self._settings.enabled:
            return
        name = listed_id(served.candidate.deployment)
        call = _answered(request_id, decision, name)
        if call is None:
            return
        lot = None
        drawn, first = decision.drawn, decision.ranked[0]
        # it has not failed, nor was it left out for money since it was drawn
        if drawn is not None and name in first.deployments and drawn.chosen == first.model:
            call = replace(call, chance=drawn.chance)
            lot = _drawn(request_id, account_idx, drawn)
        if len(self._waiting) >= MOST_WAITING or max(request.size_bytes, len(raw)) > MOST_BYTES:
            self.dropped += 1
            return
        failed = (
            _answered(request_id, decision, one.deployment)
            for one in served.attempts
            if one.outcome != OVERTAKEN
        )
        known = tuple(one for one in failed if one is not None)
        began_s, ended_s = current().started_ns / _NS, time.perf_counter_ns() / _NS
        self._waiting.append(_Job(call, account_idx, lot, known, surface, request, raw, began_s, ended_s))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Mirror]:
        """Writes until the block ends, and then once more."""
        try:
            async with beside(every(FLUSH_S, self._flush, "outcomes were not counted")):
                yield self
        finally:
            await self._flush()

    async def _flush(self) -> None:
        jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not jobs and not self._repeats.watching:
            return
        now_s, weighing = int(time.time()), self.weighing
        seen = await asyncio.to_thread(lambda: list(self._read(jobs, now_s)))
        if not jobs and not seen:
            return
        calls = [job.call for job in jobs]
        lots = [job.drawn for job in jobs if job.drawn is not None]

        def write(connection: Connection) -> None:
            mirror.record(connection, calls, seen, now_s, weighing)
            learning_steps.log(connection, lots, now_s)

        await self._ledger.submit(write)

    def _read(self, jobs: Sequence[_Job], now_s: int) -> Iterator[Seen]:
        for job in jobs:
            yield self._seen(job.call, job.account_idx, Kind.SERVED, True, now_s)
            for failed in job.failed:
                yield self._seen(failed, job.account_idx, Kind.SERVED, False, now_s)
            if Need.JSON_SCHEMA in job.request.needs:
                good = is_json(job.request, job.raw)
                if good is not None:
                    yield self._seen(job.call, job.account_idx, Kind.FORMAT, good, now_s)
            self._repeats.sent(self._fingerprint(job), (job.call, job.account_idx), job.began_s, job.ended_s)
        for (call, account_idx), good in self._repeats.outcomes(time.perf_counter_ns() / _NS):
            yield self._seen(call, account_idx, Kind.RETRY, good, now_s)

    def _seen(self, call: Answered, account_idx: int, kind: Kind, good: bool, now_s: int) -> Seen:
        share = self._shares.take(self.weighing, now_s, account_idx, call.model, kind)
        return Seen(call.cell(kind), float(good), call.chance, account_idx, share)

    def _fingerprint(self, job: _Job) -> bytes:
        mark = blake2b(job.account_idx.to_bytes(8, "big"), digest_size=16, key=self._salt)
        for text in job.surface.prompt_texts(job.request):
            mark.update(text.encode(errors="surrogatepass"))
            mark.update(b"\0")
        return mark.digest()


@asynccontextmanager
async def learning(ledger: Ledger, settings: Settings) -> AsyncIterator[Mirror]:
    """The mirror of a router, until the block ends."""
    async with Mirror(ledger, settings.config, settings.receipt_key).running() as found:
        yield found


def _answered(request_id: str, decision: Decision, deployment: str) -> Answered | None:
    judged = decision.of(deployment)
    if judged is None:
        return None
    return Answered(request_id, judged.model, decision.form, step_of(judged.quality), ALWAYS)


def _drawn(request_id: str, account_idx: int, lot: Drawn) -> DrawnFacts | None:
    """For the log; None where one of both predictors' models could not be drawn."""
    if not lot.shipped_chance or not lot.learned_chance:
        return None
    return DrawnFacts(
        entry_id=request_id,
        account_idx=account_idx,
        served=lot.chosen,
        shipped=lot.shipped,
        learned=lot.learned,
        shipped_quality=lot.shipped_quality,
        learned_quality=lot.learned_quality,
        shipped_chance=lot.shipped_chance,
        learned_chance=lot.learned_chance,
        shipped_base=lot.shipped_base,
        learned_base=lot.learned_base,
    )
