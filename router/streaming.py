"""A streaming answer on its way through: passed on, counted, charged, and settled however it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from mini_llm.errors import (
    AnswerTooLarge,
    ProviderError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from mini_llm.metering import StreamCount
from mini_llm.price import Usage
from mini_llm.request import Request
from mini_llm.routing.asking import OpenedStream
from mini_llm.routing.plan import Attempt, Begun, Outcome
from mini_llm.routing.run import OVERTAKEN, STOPPED
from mini_llm.surfaces.base import Surface, WireError
from router.billing import Billing, Ticket
from router.errors import ClientGone
from router.learning import Mirror
from router.ledger.charges import PostedCharge
from router.metering import StreamMeter
from router.observe.record import current
from router.receipts import ended, route_headers
from router.scoring.scorer import Scorer

EVENT_STREAM: Final = "text/event-stream"
SLOW_CLIENT_S: Final = 10.0
"""Who lets a stream wait for longer than this pays for it, even if its provider gives up meanwhile."""

_CLIENTS_PART: Final = {
    "answer_too_long": "The answer is longer than is passed on; what came until here is charged.",
    "client_too_slow": "The provider gave up; this client did not read on.",
}


class LiveAnswer:
    """A stream that its caller sends piece by piece, and closes whatever happens.

    Whole answer: charged before its last piece leaves. Provider broke off: an error event, nothing charged,
    unless it was the client that did not read on, or asked for more than is passed on. Closed early because
    the client is gone: if something was generated, the provider is read on for a while, to learn from it what
    was used; then it is cut off. What was used until then is charged, the prompt at least.

    Attributes:
        client: who it is for.
        ended: the piece that came last is the last one.
    """

    def __init__(
        self,
        ticket: Ticket,
        surface: Surface,
        request: Request,
        opened: Outcome[OpenedStream],
        billing: Billing,
        client: Client,
        scorer: Scorer | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._ticket, self._surface, self._request, self._billing = ticket, surface, request, billing
        self.client, self._scorer, self._mirror = client, scorer, mirror
        self._served = opened
        self._upstream, self._translator = opened.result, opened.result.translator
        self._meter = StreamMeter(surface, request, opened.candidate.deployment)
        self._kept = bytearray()
        self.ended = self._settling = False
        self._drained_bytes = 0
        self._began_s = self._handed_s = time.monotonic()
        self._waited_s = 0.0  # for the client to take what came

    @property
    def request_id(self) -> str:
        """Id of the call, under which its receipt is found."""
        return self._ticket.request_id

    @property
    def headers(self) -> dict[str, str]:
        """Headers that tell where the key stands in its rate limits, and who serves the call."""
        return self._ticket.passage.headers | route_headers(self._served)

    async def next_piece(self) -> bytes:
        """What the client gets next, as soon as there is something."""
        self._waited_s += time.monotonic() - self._handed_s
        try:
            while not self._meter.ended and (events := await self._upstream.next_batch()):
                passed = self._meter.take(self._translator.take(events))
                if self._meter.generated:
                    self.client.grace_s = self._billing.drain.seconds
                if self.client.gone:
                    self._drained_bytes += len(passed)
                    if self._drained_bytes > self._billing.drain.bytes:
                        raise ClientGone
                if passed:
                    self._keep(passed)
                    self._handed_s = time.monotonic()
                    return passed
            if not self._meter.complete:
                provider = self._served.candidate.deployment.provider
                raise UpstreamProtocolError(provider, "the stream ends in its middle")
        except ProviderError as error:
            if not self._meter.complete:  # else only the end mark, or less, is missing
                told = await self._broke_off(error)
                self.ended = True
                return told
        last = await self._last_piece()
        self.ended = True
        return last

    async def aclose(self) -> None:
        """Ends the call if it has not ended: stops the provider, and charges what was used."""
        self.client.forget()
        try:
            await self._upstream.aclose()
        finally:
            if not self._settling:
                current().outcome = "client_closed"
                await self._settle_early()

    async def _last_piece(self) -> bytes:
        usage = await self._meter.usage()
        closing = self._meter.take(self._translator.end(usage))  # which may add to what is held
        last = self._meter.held + closing + self._meter.untold(usage)
        self._keep(last)
        charged = await self._charge(usage)
        if self._scorer is not None and charged.receipt is not None:
            self._scorer.offer(self.request_id, self._surface, self._request, self._meter.kept)
        if self._mirror is not None:
            ticket, kept = self._ticket, self._meter.kept if self._meter.kept_all else b""
            self._mirror.offer(
                ticket.request_id, ticket.account_idx, self._surface, self._request, kept, self._served
            )
        return ended(self._surface, last, charged.receipt)

    async def _settle_early(self) -> None:
        usage = await self._meter.usage()
        self._keep(_left(self._surface))
        await self._charge(usage)

    async def _charge(self, usage: Usage) -> PostedCharge:
        # From here on the ledger finishes the call, even if nobody waits for it.
        self._settling = True
        deployment, answer = self._served.candidate.deployment, bytes(self._kept)
        return await self._billing.charge(
            self._ticket, deployment, usage, answer, EVENT_STREAM, self._served.attempts
        )

    async def _broke_off(self, error: ProviderError) -> bytes:
        """Settles a stream that ended in its middle; returns what the client is told."""
        usage = await self._meter.usage()
        if self._meter.generated and (why := self._clients_part(error)) is not None:
            current().outcome = why
            told = self._error_event(why, _CLIENTS_PART[why])
            self._keep(told)
            await self._charge(usage)
            return told
        self._settling = True
        attempts = (*self._served.attempts, self._failed(error, usage))
        await self._billing.release(self._ticket, error, attempts, usage)
        return self._error_event("upstream_error", "The provider broke off; nothing was charged.")

    def _clients_part(self, error: ProviderError) -> str | None:
        """Why the stream ended, if by how the client asked or read; None if it is the provider's fault."""
        if isinstance(error, AnswerTooLarge):
            return "answer_too_long"
        silent = isinstance(error, UpstreamTimeout | UpstreamUnreachable)
        return "client_too_slow" if silent and self._waited_s >= SLOW_CLIENT_S else None

    def _failed(self, error: ProviderError, usage: Usage) -> Attempt:
        """The try that broke off, with what it used: the user pays nothing, the operator may have to."""
        deployment = self._served.candidate.deployment
        ms = int((time.monotonic() - self._began_s) * 1000)
        cost_base = 0 if deployment.own_key else deployment.price.cost_base(usage)
        return Attempt(deployment.id, deployment.provider, type(error).__name__, ms, usage, cost_base)

    def _error_event(self, code: str, message: str) -> bytes:
        return self._surface.error_event(WireError(502, "upstream_error", code, message))

    def _keep(self, sent: bytes) -> None:
        """Collects the answer for replays; without an idempotency key there are none."""
        if self._ticket.replayable:
            self._kept += sent


async def charge_left(
    billing: Billing,
    ticket: Ticket,
    surface: Surface,
    request: Request,
    begun: Begun,
    attempts: Sequence[Attempt],
) -> None:
    """Charges a call whose client left when a provider had taken it, and before it said anything: the prompt,
    and what else was counted.

    attempts: all of the call, that one's included.
    """
    current().outcome = "client_closed"
    deployment = begun.candidate.deployment
    count = StreamCount(surface, request, deployment)
    for event in begun.events:
        count.count(event)
    try:
        usage = await count.usage()
    except BaseException as error:  # cut off meanwhile
        await billing.release(ticket, error, tuple(attempts))
        raise
    others = [
        replace(one, outcome=OVERTAKEN) if one.outcome == STOPPED else one  # it ran beside this one
        for one in attempts
        if one.outcome != STOPPED or one.deployment != deployment.id
    ]
    await billing.charge(ticket, deployment, usage, _left(surface), EVENT_STREAM, tuple(others))


def _left(surface: Surface) -> bytes:
    message = "This call's client left before its answer ended."
    return surface.error_event(WireError(502, "upstream_error", "client_closed", message))


class Client:
    """Who a stream is for. When it leaves, the task that serves it is cancelled: at once or after a grace.

    What the task does for it stands in `with` blocks; one that is cancelled so ends as `ClientGone`.

    Attributes:
        gone: it has left.
        grace_s: for how many seconds the task goes on without it.
    """

    def __init__(self, hung_up: Callable[[], Awaitable[None]]) -> None:
        self.gone = self._cut = False
        self.grace_s = 0.0
        serving = asyncio.current_task()
        if serving is None:
            raise RuntimeError("a stream is served by a task")
        self._serving = serving
        self._watching: asyncio.Future[None] | None = asyncio.ensure_future(self._watch(hung_up))

    def forget(self) -> None:
        """Nothing more is done for it."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None  # else they would keep each other, and the stream, in memory

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        self.forget()
        # Whoever else wants the task to end is heard first.
        if self._cut and isinstance(error, asyncio.CancelledError) and self._serving.uncancel() == 0:
            raise ClientGone from None

    async def _watch(self, hung_up: Callable[[], Awaitable[None]]) -> None:
        await hung_up()
        self.gone = True
        if self.grace_s:
            await asyncio.sleep(self.grace_s)
        self._cut = True
        self._serving.cancel()
