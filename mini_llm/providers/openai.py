"""OpenAI's API over HTTP, spoken by most companies and local servers.

Source: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pydantic_core import from_json

from mini_llm.answer import Completion, StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.errors import (
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
    refusal,
)
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.request import Request
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.base import Dialect, StreamReader
from mini_llm.transport import (
    AnswerTooLong,
    Timeouts,
    Transport,
    TransportFailure,
    TransportTimeout,
    UpstreamResponse,
)

MAX_ANSWER_BYTES: Final = 64 * 2**20
MAX_ERROR_BYTES: Final = 64 * 2**10
OK: Final = 200


class OpenAIProvider(Provider):
    """One address that speaks OpenAI's API."""

    def __init__(
        self,
        name: str,
        base_url: str,
        http: Transport,
        *,
        api_key: str | None = None,
        dialect: Dialect | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.name = name
        self.surfaces = frozenset({"chat"})
        self._url = base_url.rstrip("/")
        self._http = http
        self._dialect = dialect or Dialect()
        self._timeouts = timeouts or Timeouts()
        self._headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"

    async def complete(self, request: Request, deployment: Deployment) -> Completion:
        """See ``Provider.complete``."""
        response = await self._send(request, deployment)
        try:
            with provider_failures(self.name):
                body = await response.read(MAX_ANSWER_BYTES)
        finally:
            await response.aclose()
        return SURFACES[request.surface].read_answer(self.name, body)

    async def open_stream(self, request: Request, deployment: Deployment) -> UpstreamStream:
        """See ``Provider.open_stream``."""
        response = await self._send(request, deployment)
        if not (response.header("content-type") or "").startswith("text/event-stream"):
            await response.aclose()
            raise UpstreamProtocolError(self.name, "a stream was asked for and something else came")
        return WireStream(self.name, response, SURFACES[request.surface].reader(self.name))

    async def model_names(self) -> list[str]:
        """The models that the server lists.

        Raises:
            ProviderError: it does not answer, or not with a list of models.
        """
        with provider_failures(self.name):
            response = await self._http.send(
                "GET", f"{self._url}/models", self._headers, None, self._timeouts
            )
            try:
                body = await response.read(MAX_ANSWER_BYTES)
            finally:
                await response.aclose()
        try:
            return [str(model["id"]) for model in from_json(body)["data"]]
        except (ValueError, KeyError, TypeError):
            raise UpstreamProtocolError(self.name, "GET /models has no list of models") from None

    async def _send(self, request: Request, deployment: Deployment) -> UpstreamResponse:
        """Sends the call and returns the open response of a provider that accepted it."""
        cap = deployment.output_cap(request.output_cap)
        body = SURFACES[request.surface].upstream_body(request, deployment.upstream_model, cap, self._dialect)
        with provider_failures(self.name):
            response = await self._http.send(
                "POST", f"{self._url}/chat/completions", self._headers, body, self._timeouts
            )
        if response.status == OK:
            return response
        try:
            with provider_failures(self.name):
                complaint = await response.read(MAX_ERROR_BYTES)
        finally:
            await response.aclose()
        raise refusal(self.name, response.status, json_or_none(complaint), response.header("retry-after"))


class WireStream(UpstreamStream):
    """A provider's events, read by the surface that they are in."""

    def __init__(self, provider: str, response: UpstreamResponse, reader: StreamReader) -> None:
        self._provider, self._response, self._reader = provider, response, reader

    async def batches(self) -> AsyncIterator[list[StreamEvent]]:
        """See ``UpstreamStream.batches``."""
        room_bytes = MAX_ANSWER_BYTES
        with provider_failures(self._provider):
            async for data in self._response.pieces():
                room_bytes -= len(data)
                if room_bytes < 0:
                    raise AnswerTooLong(MAX_ANSWER_BYTES)
                if events := self._reader.feed(data):
                    yield events
                if self._reader.failure:  # what came before the error still came
                    raise self._reader.failure
        if events := self._reader.end():
            yield events
        if self._reader.failure:
            raise self._reader.failure

    async def aclose(self) -> None:
        """See ``UpstreamStream.aclose``."""
        await self._response.aclose()


@contextmanager
def provider_failures(provider: str) -> Iterator[None]:
    """Turns failures of the transport into typed errors. No connection in time counts as unreachable."""
    try:
        yield
    except TransportTimeout as error:
        if error.stage == "connect":
            raise UpstreamUnreachable(provider, "no connection in time") from error
        raise UpstreamTimeout(provider, error.seconds) from error
    except TransportFailure as error:
        raise UpstreamUnreachable(provider, error.reason) from error
    except AnswerTooLong as error:
        raise UpstreamProtocolError(provider, f"more than {error.limit_bytes} bytes") from None


def json_or_none(data: bytes) -> Any:
    """A body as JSON, None if it is none."""
    try:
        return from_json(data)
    except ValueError:
        return None
