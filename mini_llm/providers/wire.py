"""What all providers share: sending a call, reading a refusal, passing a stream on."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from typing import Any, Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.errors import (
    AnswerTooLarge,
    ProviderError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
    no_json,
    refusal,
)
from mini_llm.providers.base import UpstreamStream
from mini_llm.providers.limits import OPENAI_LIMITS, LimitHeaders, retry_after_s
from mini_llm.surfaces.base import StreamReader
from mini_llm.surfaces.lenient import at
from mini_llm.surfaces.wording import failed_choice, json_or_none
from mini_llm.transport import (
    AnswerTooLong,
    KeptConnectionClosed,
    Timeouts,
    Transport,
    TransportFailure,
    TransportTimeout,
    UpstreamResponse,
)

MAX_ANSWER_BYTES: Final = 64 * 2**20
MAX_ERROR_BYTES: Final = 64 * 2**10
EVENT_STREAM: Final = "text/event-stream"
_EVENT: Final = re.compile(rb"(?:data|event|id|retry)?:")
"""The beginning of a stream, if not of an answer that is called one."""
_TELLING_BYTES: Final = 6
"""As much as that can be told by."""
OK: Final = 200
SERVER_ERROR: Final = 502
"""Stands for the status of an error that came with status 200 and names no other."""
TRANSPORT_FAILURES: Final = (TransportTimeout, TransportFailure, AnswerTooLong)
"""What a transport raises."""
PLAIN_HEADERS: Final = {"content-type": "application/json", "accept-encoding": "identity"}
"""Streams are cut into events as they arrive, so nobody may compress them."""


class Endpoint:
    """A company's address, with everything that each call repeats made once.

    Args:
        asks_again: a call that was lost with a connection being closed is sent once more. The provider has
            hardly read the first; if it has, the call is paid for twice, as it may be after any retry. Not
            for calls that must not be.
    """

    def __init__(
        self,
        provider: str,
        http: Transport,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        *,
        limits: tuple[LimitHeaders, ...] = OPENAI_LIMITS,
        id_header: str = "x-request-id",
        asks_again: bool = True,
    ) -> None:
        self.provider, self._asks_again = provider, asks_again
        self._http, self._timeouts = http, timeouts
        self._headers = PLAIN_HEADERS | dict(headers)
        self._limits, self._id_header = limits, id_header

    async def answer(
        self,
        url: str,
        body: bytes,
        read: Callable[[bytes], Completion],
        timeouts: Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Completion:
        """The whole answer to an accepted call, read by ``read``.

        Raises:
            ProviderError: there is none; also if an error came in its place, with status 200.
        """
        response = await self.send("POST", url, body, timeouts, headers)
        answer = (await self._read(response)).removeprefix(BOM_UTF8)
        try:
            return read(answer)._replace(upstream_id=response.header(self._id_header))
        except UpstreamProtocolError:
            self._raise_hidden_error(answer)
            raise

    async def stream(
        self,
        url: str,
        body: bytes,
        reader: StreamReader,
        timeouts: Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> WireStream:
        """The stream that answers an accepted call, read by ``reader``.

        Raises:
            ProviderError: there is none; also if the provider answers 200 with an error as plain JSON.
        """
        response = await self.send("POST", url, body, timeouts, headers)
        upstream_id = response.header(self._id_header)
        if not (response.header("content-type") or "").lower().startswith(EVENT_STREAM):
            response = await self._stream_in(response, reader)
        return WireStream(self.provider, response, reader, upstream_id)

    async def _stream_in(self, response: UpstreamResponse, reader: StreamReader) -> UpstreamResponse:
        """The stream in a response that does not say that it is one: named otherwise, or a whole answer."""
        begun = await self._beginning(response)
        if _EVENT.match(begun):
            return _Begun(response, begun)
        limit_bytes = MAX_ANSWER_BYTES if begun.startswith(b"{") else MAX_ERROR_BYTES
        answer = begun + await self._read(response, limit_bytes)
        self._raise_hidden_error(answer)
        try:
            told = reader.stream_of(answer)
        except ValueError:
            raise no_json(self.provider) from None
        if told is None:
            raise UpstreamProtocolError(self.provider, "a stream was asked for and something else came")
        return _Begun(response, told)

    async def _beginning(self, response: UpstreamResponse) -> bytes:
        """Enough of a body to see what it is, without what says nothing."""
        begun = b""
        try:
            while len(begun) < _TELLING_BYTES and (piece := await response.next_piece()):
                begun = (begun + piece).removeprefix(BOM_UTF8).lstrip()
        except BaseException as error:
            await response.aclose()
            if isinstance(error, TRANSPORT_FAILURES):
                raise provider_failure(self.provider, error) from error
            raise
        return begun

    async def get_json(self, url: str) -> Any:
        """A JSON document; None if it is none.

        Raises:
            ProviderError: no answer, or a refusal.
        """
        return json_or_none(await self._read(await self.send("GET", url, None)))

    async def post_json(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON answer to a short question beside calls; None if it is none.

        Raises:
            ProviderError: no answer, or a refusal.
        """
        return json_or_none(await self._read(await self.send("POST", url, body, headers=headers)))

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        timeouts: Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> UpstreamResponse:
        """Sends a request and returns the open response of a provider that accepted it.

        ``timeouts`` are a deployment's own; without any the provider's hold. ``headers`` are the call's.

        Raises:
            ProviderError: it did not.
        """
        every = {**self._headers, **headers} if headers else self._headers
        limits = timeouts or self._timeouts
        try:
            try:
                response = await self._http.send(method, url, every, body, limits)
            except KeptConnectionClosed:
                if not self._asks_again:
                    raise
                response = await self._http.send(method, url, every, body, limits)
        except TRANSPORT_FAILURES as error:
            raise provider_failure(self.provider, error) from error
        if response.status == OK:
            return response
        try:
            complaint = json_or_none(await self._read(response, MAX_ERROR_BYTES))
        except ProviderError:  # a page of any length, or half of one: the status says enough
            complaint = None
        raise refusal(
            self.provider,
            response.status,
            complaint,
            retry_after_s(response.header, self._limits, complaint),
            response.header(self._id_header),
        )

    def _raise_hidden_error(self, body: bytes) -> None:
        """Finds the error in a body that came with status 200, as gateways of other companies send them: the
        answer's, or that of one of its choices.

        Raises:
            UpstreamRefused: there is one.
        """
        answer = json_or_none(body)
        failed = answer if isinstance(answer, dict) and answer.get("error") else failed_choice(answer)
        if failed is None:
            return
        code = at(failed, "error.code")
        status = code if isinstance(code, int) and 400 <= code < 600 else SERVER_ERROR
        raise refusal(self.provider, status, failed)

    async def _read(self, response: UpstreamResponse, limit_bytes: int = MAX_ANSWER_BYTES) -> bytes:
        try:
            return await response.read(limit_bytes)
        except TRANSPORT_FAILURES as error:
            failure = provider_failure(self.provider, error)
            if isinstance(failure, UpstreamUnreachable):  # it was reached, and may bill for what it did
                failure = UpstreamProtocolError(self.provider, f"it breaks off ({failure.reason})")
            raise failure from error
        finally:
            await response.aclose()


class _Begun(UpstreamResponse):
    """A response of which something has been read, or made.

    ``first`` comes before what is left of it.
    """

    def __init__(self, response: UpstreamResponse, first: bytes) -> None:
        self.status, self._response, self._first = response.status, response, first

    def header(self, name: str) -> str | None:
        return self._response.header(name)

    async def next_piece(self) -> bytes:
        first, self._first = self._first, b""
        return first or await self._response.next_piece()

    async def aclose(self) -> None:
        await self._response.aclose()

    async def finish(self) -> None:
        await self._response.finish()


class WireStream(UpstreamStream):
    """A provider's events, read by the surface that they are in."""

    def __init__(
        self, provider: str, response: UpstreamResponse, reader: StreamReader, upstream_id: str | None = None
    ) -> None:
        self._provider, self._response, self._reader = provider, response, reader
        self.upstream_id = upstream_id
        self._room_bytes = MAX_ANSWER_BYTES
        self._ended = self._done = False

    async def next_batch(self) -> list[StreamEvent]:
        """See ``UpstreamStream.next_batch``."""
        while self._reader.failure is None:
            if self._ended:
                return []
            try:
                data = await self._response.next_piece()
                self._room_bytes -= len(data)
                if self._room_bytes < 0:
                    raise AnswerTooLong(MAX_ANSWER_BYTES)
            except TRANSPORT_FAILURES as error:
                raise provider_failure(self._provider, error) from error
            self._ended = not data
            if events := self._reader.feed(data) if data else self._reader.end():
                self._done = events[-1].done
                return events
        raise self._reader.failure  # what came before the error still came

    async def aclose(self) -> None:
        """See ``UpstreamStream.aclose``."""
        if self._done:  # many servers send the end of the body a moment after the end mark
            await self._response.finish()
        else:
            await self._response.aclose()


def provider_failure(
    provider: str, error: TransportTimeout | TransportFailure | AnswerTooLong
) -> ProviderError:
    """One of ``TRANSPORT_FAILURES`` as the provider's. No connection in time counts as unreachable."""
    if isinstance(error, TransportTimeout):
        if error.stage == "connect":
            return UpstreamUnreachable(provider, "no connection in time")
        return UpstreamTimeout(provider, error.seconds)
    if isinstance(error, AnswerTooLong):
        if error.limit_bytes < MAX_ANSWER_BYTES:  # where a short word was to come
            return UpstreamProtocolError(provider, f"more than {error.limit_bytes} bytes")
        return AnswerTooLarge(provider, error.limit_bytes)
    return UpstreamUnreachable(provider, error.reason)
