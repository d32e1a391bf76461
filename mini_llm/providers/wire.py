"""What all providers share: sending a call, reading a refusal, passing a stream on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mini_llm.answer import StreamEvent
from mini_llm.errors import (
    AnswerTooLarge,
    ProviderError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
    refusal,
)
from mini_llm.providers.base import UpstreamStream
from mini_llm.providers.limits import OPENAI_LIMITS, LimitHeaders, retry_after_s
from mini_llm.surfaces.base import StreamReader
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

    async def whole(
        self,
        url: str,
        body: bytes,
        timeouts: Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[bytes, str | None]:
        """The whole body of an accepted call, and the provider's id of it.

        Raises:
            ProviderError: there is none.
        """
        response = await self.send("POST", url, body, timeouts, headers)
        return await self._read(response), response.header(self._id_header)

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
        if not (response.header("content-type") or "").startswith("text/event-stream"):
            complaint = await self._read(response, MAX_ERROR_BYTES)
            self.raise_hidden_error(complaint)
            raise UpstreamProtocolError(self.provider, "a stream was asked for and something else came")
        return WireStream(self.provider, response, reader, response.header(self._id_header))

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
        return json_or_none((await self.whole(url, body, headers=headers))[0])

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

    def raise_hidden_error(self, body: bytes) -> None:
        """Finds the error in a body that came with status 200, as gateways of other companies send them: the
        answer's, or that of one of its choices.

        Raises:
            UpstreamRefused: there is one.
        """
        answer = json_or_none(body)
        failed = answer if isinstance(answer, dict) and answer.get("error") else failed_choice(answer)
        if failed is None:
            return
        error = failed.get("error")
        code = error.get("code") if isinstance(error, dict) else None
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
