"""What the engine gives back: whole answers and streams, with what they used and who was asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

from mini_llm.answer import Billed, Completion
from mini_llm.costs import Cost, Costs
from mini_llm.deployment import Deployment
from mini_llm.errors import ProviderError, StreamBrokeOff, UpstreamProtocolError
from mini_llm.hops import Hop, hops_of
from mini_llm.metering import StreamCount
from mini_llm.price import Usage
from mini_llm.request import Request
from mini_llm.routing.asking import OpenedStream
from mini_llm.routing.decision import Decision
from mini_llm.routing.plan import Outcome
from mini_llm.surfaces import SURFACES


class _Reply:
    """What an answer and a stream tell alike; ``ms`` is until it was there, or began."""

    __slots__ = ("_before", "_costs", "_served", "billed", "deployment", "ms", "usage")

    billed: Billed | None
    deployment: Deployment
    usage: Usage | None

    def __init__(self, costs: Costs, served: Outcome[Any], before: tuple[Hop, ...], ms: int) -> None:
        self._costs, self._served, self._before, self.ms = costs, served, before, ms
        self.deployment = served.candidate.deployment

    @property
    def cost(self) -> Cost | None:
        """What it cost; None if no price is known, or it has not ended."""
        return self._costs.cost(self.deployment, self.usage, self.billed)

    @property
    def decision(self) -> Decision | None:
        """Why this model, if the call left it open."""
        return self._served.decision

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Who was passed over and who was asked, in order; the last one serves."""
        return (*self._before, *hops_of(self._served.attempts, self.deployment, self.ms))


class Answer(_Reply):
    """A whole answer.

    Attributes:
        body: the JSON in the format of the request.
        usage: tokens, counted here if the provider did not.
        deployment: who served it.
        billed: what the wallet was charged, None if it was not asked.
        upstream_id: the provider's id of the call, for its support.
        ms: how long it took, milliseconds.
    """

    __slots__ = ("body", "upstream_id")

    usage: Usage

    def __init__(
        self, costs: Costs, served: Outcome[Completion], before: tuple[Hop, ...], usage: Usage, ms: int
    ) -> None:
        super().__init__(costs, served, before, ms)
        completion = served.result
        self.body, self.billed = completion.body, completion.billed
        self.upstream_id = completion.upstream_id
        self.usage = usage

    def __reduce__(self) -> tuple[Any, ...]:
        """What it tells, without the settings that it was made by, whose keys belong in no copy."""
        return KeptAnswer, tuple(getattr(self, name) for name in KeptAnswer._fields)


class KeptAnswer(NamedTuple):
    """A copy of an answer; see there."""

    body: bytes
    usage: Usage
    deployment: Deployment
    billed: Billed | None
    upstream_id: str | None
    ms: int
    cost: Cost | None
    decision: Decision | None
    hops: tuple[Hop, ...]


class Stream(_Reply):
    """An answer that is arriving; close it, however it ends.

    Attributes:
        surface: the format that it is in.
        deployment: who serves it.
        usage: tokens; None until the end.
        billed: what the wallet was charged; None until the end, or if it was not asked.
        upstream_id: the provider's id of the call.

    Args:
        costs: what calls cost.
        request: the call.
        served: the stream, once it has begun.
        before: those that were passed over.
        began_s: when the call began, of the monotonic clock.
        ended: is told once how it ended, as an outcome of the usage log, and after how many milliseconds.
    """

    def __init__(
        self,
        costs: Costs,
        request: Request,
        served: Outcome[OpenedStream],
        before: tuple[Hop, ...],
        began_s: float,
        ended: Callable[[Stream, str, int], None],
    ) -> None:
        super().__init__(costs, served, before, ms_since(began_s))
        self._request = request
        self.surface = SURFACES[request.surface]
        self._upstream, self._translator = served.result, served.result.translator
        self._began_s, self._ended, self._outcome, self._open = began_s, ended, "closed", True
        self.upstream_id = self._upstream.upstream_id
        self.usage = self.billed = None
        self._count = StreamCount(self.surface, request, self.deployment)
        self._loop = asyncio.get_running_loop()

    def __del__(self) -> None:
        """Forgotten: its provider stops all the same, even if nothing of it was ever read."""
        if self._open:
            with suppress(RuntimeError):  # the loop has ended, and its connections with it
                self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self.aclose()))

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events in the format of the request, whole ones, to its end mark; once only.

        Raises:
            StreamBrokeOff: the provider did not finish. What came until then stays with the caller; nobody
                else is asked.
        """
        try:
            async with aclosing(self._events()) as events:
                async for piece in events:
                    yield piece
            if not self._open:
                return
            self.billed = self._upstream.billed
            self.usage = await self._count.usage()
            self._outcome = "ok"
            closing = self._translator.end(self.usage)
            last = b"".join(event.raw for event in closing if not event.done)
            yield last + self._count.untold(self.usage) + self.surface.stream_end()
        finally:
            await self.aclose()

    async def _events(self) -> AsyncGenerator[bytes, None]:
        count = self._count
        try:
            async with aclosing(self._upstream.batches()) as batches:  # type: ignore[type-var]
                async for events in batches:
                    passed = []
                    for event in self._translator.take(events):
                        count.count(event)
                        if not event.done and (not event.bare_usage or count.tells_usage(event)):
                            passed.append(event.raw)
                    if passed:
                        yield b"".join(passed)
                    if count.ended:
                        break
            if not count.complete:
                raise UpstreamProtocolError(self.deployment.provider, "the stream ends in its middle")
        except ProviderError as error:
            if count.complete or not self._open:  # only the end mark, or less, is missing, or nobody reads on
                return
            self._outcome = type(error).__name__
            broken = StreamBrokeOff(error, self.deployment.id, count.pieces, await count.usage())
            broken.hops = self.hops
            raise broken from error

    async def aclose(self) -> None:
        """Drops the connection if the answer is not complete, so that the provider stops generating."""
        await self._upstream.aclose()
        if self._open:
            self._open = False
            if self.usage is None:
                with suppress(RuntimeError):  # the program is ending, and starts no thread to count on
                    self.usage = await self._count.usage()
            self._ended(self, self._outcome, ms_since(self._began_s))


def ms_since(began_s: float) -> int:
    """Milliseconds since a moment of the monotonic clock."""
    return int((time.monotonic() - began_s) * 1000)
