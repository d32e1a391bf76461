"""Asking one candidate, in the caller's format or, where its provider does not speak that, in chat's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.errors import MiniLLMError, ProviderError, UpstreamProtocolError, no_json
from mini_llm.price import Usage
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.request import Request
from mini_llm.routing.events import left_alone
from mini_llm.routing.plan import Begun, Candidate
from mini_llm.routing.run import Tools
from mini_llm.routing.verdict import judge
from mini_llm.surfaces import CHAT
from mini_llm.surfaces.base import StreamTranslator, Surface
from mini_llm.surfaces.wording import json_or_none

MOST_HELD: Final = 256
"""Reads of a stream that may say nothing before its answer counts as begun all the same."""
ENDS_EARLY: Final = "the stream ends in its middle"
SLOW_READER_S: Final = 10.0
"""A stream that fails after nobody has read it for so long may have failed for that."""
Count = Callable[[Surface, Request, Completion, Deployment], Awaitable[Usage]]
"""Tells the tokens of a whole answer in a format, whether its provider reported them or not."""


async def complete(
    candidate: Candidate, surface: Surface, request: Request, count: Count, clock: Callable[[], float]
) -> Completion:
    """A whole answer in the caller's format.

    Raises:
        ProviderError: there is none.
        BadRequest: the provider does not speak the format, and chat cannot say it.
    """
    provider, deployment = candidate.provider, candidate.deployment
    try:
        if request.surface in provider.surfaces:
            completion = await provider.complete(request, deployment)
        else:
            chat = surface.to_chat(request)
            answer = await provider.complete(chat, deployment)
            usage = await count(CHAT, chat, answer, deployment)
            body = surface.from_chat(request, json_or_none(answer.body), usage)
            completion = answer._replace(body=body, usage=usage)
    except ValueError:  # in the translation of an answer; a request was read as JSON
        raise no_json(provider.name) from None
    if completion.usage is not None:
        cap = deployment.output_cap(request.output_cap)
        candidate.health.used(clock(), completion.usage, request.choices, cap)
    return completion


async def open_stream(
    candidate: Candidate, surface: Surface, request: Request, tools: Tools, begun: list[Begun]
) -> OpenedStream:
    """A stream, and its translation into the caller's format, once its first content has come.

    From when its provider has taken it, it is in ``begun``, unless it fails: a call that is given up there
    has used something.

    Raises:
        ProviderError: it broke off before that, so that another deployment may still serve the call.
        BadRequest: the provider does not speak the format, and chat cannot say it.
    """
    provider, deployment = candidate.provider, candidate.deployment
    era = candidate.health.breaker.era  # of this call: it has just begun, and nothing has been awaited since
    if request.surface in provider.surfaces:
        translator = CHAT.stream_from_chat(request)  # which changes nothing
        stream = await provider.open_stream(request, deployment)
    else:
        chat, translator = surface.to_chat(request), _Careful(surface.stream_from_chat(request), provider)
        stream = await provider.open_stream(chat, deployment)
    waiting = Begun(candidate)
    begun.append(waiting)
    try:
        await _read_to_content(stream, deployment.provider, waiting.events)
    except BaseException as error:
        if isinstance(error, MiniLLMError):
            begun.remove(waiting)
        await stream.aclose()
        raise
    return OpenedStream(candidate, request, stream, translator, waiting.events, tools, era)


class OpenedStream(UpstreamStream):
    """A stream that has begun to answer. It counts among its deployment's calls until it is closed.

    Its deployment's breaker is told once how it went: complete, broken off, or left by its reader.

    Attributes:
        translator: makes the caller's format of its events.
    """

    def __init__(
        self,
        candidate: Candidate,
        request: Request,
        stream: UpstreamStream,
        translator: StreamTranslator,
        begun: list[StreamEvent],
        tools: Tools,
        era: int,
    ) -> None:
        self.translator = translator
        self._candidate, self._health = candidate, candidate.health
        self._clock, self._listener = tools.clock, tools.listener
        self._era: int | None = era  # None once the breaker has been told
        self._finished = 0
        self._handed_s = tools.clock()
        self._choices, self._cap = request.choices, candidate.deployment.output_cap(request.output_cap)
        self._stream, self._begun = stream, begun
        self.upstream_id = stream.upstream_id
        self._open = True
        self._usage: Usage | None = None
        self._health.in_flight += 1

    async def next_batch(self) -> list[StreamEvent]:
        """See ``UpstreamStream.next_batch``."""
        events, self._begun = self._begun, []
        if not events:
            unread_s = self._clock() - self._handed_s
            try:
                events = await self._stream.next_batch()
            except ProviderError as error:
                self._broke_off(error, unread_s)
                raise
            finally:
                self.billed = self._stream.billed
            if not events:
                early = UpstreamProtocolError(self._candidate.deployment.provider, ENDS_EARLY)
                self._broke_off(early, unread_s)
        for event in events:
            if event.usage is not None:  # the last counts
                self._usage = event.usage
            if event.finished or event.done:
                self._finished += self._choices if event.done else event.finished
                self._completed()
        self._handed_s = self._clock()
        return events

    def _completed(self) -> None:
        if self._era is not None and self._finished >= self._choices:
            self._health.breaker.succeeded(self._clock(), self._era)
            self._era = None

    def _broke_off(self, error: ProviderError, unread_s: float) -> None:
        if self._era is None:  # only the end mark, or less, is missing
            return
        if unread_s >= SLOW_READER_S or not judge(error).blames:
            return
        now_s, era, self._era = self._clock(), self._era, None
        if self._health.broke_off(now_s, era):
            left_alone(self._listener, self._candidate, now_s, error)

    async def aclose(self) -> None:
        """See ``UpstreamStream.aclose``."""
        if self._open:
            self._open = False
            self._health.in_flight -= 1
            if self._era is not None:
                self._health.breaker.gave_up(self._era)  # which tells nothing about it
                self._era = None
            if self._usage is not None:
                self._health.used(self._clock(), self._usage, self._choices, self._cap)
        await self._stream.aclose()


class _Careful(StreamTranslator):
    """A translator of which a value that cannot be written as JSON is its provider's failure."""

    def __init__(self, inner: StreamTranslator, provider: Provider) -> None:
        self._inner, self._provider = inner, provider

    def take(self, events: list[StreamEvent]) -> list[StreamEvent]:
        try:
            return self._inner.take(events)
        except ValueError:
            raise no_json(self._provider.name) from None

    def end(self, usage: Usage) -> list[StreamEvent]:
        return self._inner.end(usage)


async def _read_to_content(stream: UpstreamStream, provider: str, begun: list[StreamEvent]) -> None:
    """Reads until something has been generated, or the stream has ended in good order."""
    for _ in range(MOST_HELD):
        events = await stream.next_batch()
        begun += events
        if any(map(_counts, events)):
            return
        if not events:
            raise UpstreamProtocolError(provider, "the stream ends before its answer begins")


def _counts(event: StreamEvent) -> bool:
    """The event carries content or ends the answer; roles, comments and pings do neither."""
    return bool(event.pieces or event.finished or event.done)
