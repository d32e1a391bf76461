"""OpenAI's chat completions over HTTP, spoken by most companies and local servers.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic_core import from_json

from mini_llm.chat import ChatRequest
from mini_llm.deployment import Deployment
from mini_llm.errors import (
    ProviderError,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from mini_llm.price import Usage
from mini_llm.providers.base import Completion, Provider, StreamEvent, UpstreamStream
from mini_llm.providers.sse import EventSplitter, event_data

MAX_ANSWER_BYTES = 64 * 2**20
MAX_ERROR_BYTES = 64 * 2**10
_NOT_TEXT = frozenset({"role", "id", "type", "index"})


class OpenAIProvider(Provider):
    """One address that speaks OpenAI's chat API."""

    def __init__(
        self,
        name: str,
        base_url: str,
        http: httpx.AsyncClient,
        *,
        api_key: str | None = None,
        cap_field: str = "max_tokens",
        continuous_usage: bool = False,
        timeout: httpx.Timeout | None = None,
    ) -> None:
        self.name = name
        self._url = base_url.rstrip("/")
        self._http = http
        self._cap_field = cap_field
        self._continuous_usage = continuous_usage
        self._timeout = timeout or httpx.Timeout(300.0, connect=5.0)
        self._headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"

    async def complete(self, request: ChatRequest, deployment: Deployment) -> Completion:
        """See ``Provider.complete``."""
        response = await self._send(request, deployment)
        try:
            with self._failures():
                body = await _read_at_most(response, MAX_ANSWER_BYTES)
        finally:
            await response.aclose()
        try:
            answer = from_json(body)
        except ValueError:
            raise UpstreamProtocolError(self.name, "the body is not JSON") from None
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise UpstreamProtocolError(self.name, "the body has no 'choices'")
        texts = [choice.get("message") for choice in answer["choices"] if isinstance(choice, dict)]
        return Completion(body, Usage.from_openai(answer.get("usage")), text_bytes(texts))

    async def open_stream(self, request: ChatRequest, deployment: Deployment) -> UpstreamStream:
        """See ``Provider.open_stream``."""
        response = await self._send(request, deployment)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            await response.aclose()
            raise UpstreamProtocolError(self.name, "a stream was asked for and something else came")
        return _OpenAIStream(self, response)

    async def model_names(self) -> list[str]:
        """The models that the server lists.

        Raises:
            ProviderError: it does not answer, or not with a list of models.
        """
        with self._failures():
            response = await self._http.get(
                f"{self._url}/models", headers=self._headers, timeout=self._timeout
            )
        try:
            return [str(model["id"]) for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError):
            raise UpstreamProtocolError(self.name, "GET /models has no list of models") from None

    async def _send(self, request: ChatRequest, deployment: Deployment) -> httpx.Response:
        """Sends the call and returns the open response of a provider that accepted it."""
        fields = request.upstream_fields(
            deployment.upstream_model, deployment.output_cap(request.output_cap), self._cap_field
        )
        if request.stream and self._continuous_usage:
            fields["stream_options"]["continuous_usage_stats"] = True
        call = self._http.build_request(
            "POST",
            f"{self._url}/chat/completions",
            content=json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(),
            headers=self._headers,
            timeout=self._timeout,
        )
        with self._failures():
            response = await self._http.send(call, stream=True)
        if response.status_code == httpx.codes.OK:
            return response
        try:
            with self._failures():
                body = await _read_at_most(response, MAX_ERROR_BYTES)
        finally:
            await response.aclose()
        raise self._refusal(response.status_code, _json_or_none(body), response.headers.get("retry-after"))

    def _refusal(self, status: int, body: object, retry_after: str | None = None) -> UpstreamRefused:
        """Reads OpenAI's error object, or what other servers put in its place."""
        error = body.get("error", body) if isinstance(body, dict) else None
        if isinstance(error, str):
            error = {"message": error}
        if not isinstance(error, dict):
            error = {}

        def text(name: str) -> str | None:
            value = error.get(name)
            return value if isinstance(value, str) else None

        return UpstreamRefused(
            self.name, status, text("message") or "", text("param"), text("code"), retry_after
        )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns failures of the transport into typed errors. No connection in time counts as unreachable."""
        try:
            yield
        except (httpx.ConnectTimeout, httpx.ConnectError) as error:
            raise UpstreamUnreachable(self.name, type(error).__name__) from error
        except httpx.TimeoutException as error:
            raise UpstreamTimeout(self.name, self._timeout.read or 0) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamUnreachable(self.name, type(error).__name__) from error
        except _TooLong as error:
            raise UpstreamProtocolError(self.name, f"more than {error.limit} bytes") from None

    def _event(self, raw: bytes) -> StreamEvent:
        """Reads one event.

        Raises:
            UpstreamRefused: the event is an error.
            UpstreamProtocolError: its data is not a JSON object.
        """
        data = event_data(raw)
        if not data:
            return StreamEvent(raw)
        if data.strip() == b"[DONE]":
            return StreamEvent(raw, done=True)
        chunk = _json_or_none(data)
        if not isinstance(chunk, dict):
            raise UpstreamProtocolError(self.name, "an event of the stream is no JSON object")
        if chunk.get("error"):
            raise self._refusal(0, chunk)
        choices = [choice for choice in chunk.get("choices") or () if isinstance(choice, dict)]
        texts = [length for choice in choices if (length := text_bytes(choice.get("delta")))]
        usage = Usage.from_openai(chunk.get("usage"))
        return StreamEvent(
            raw,
            usage=usage,
            pieces=len(texts),
            text_bytes=sum(texts),
            finished=sum(1 for choice in choices if choice.get("finish_reason")),
            bare_usage=usage is not None and not choices,
        )


class _OpenAIStream(UpstreamStream):
    def __init__(self, provider: OpenAIProvider, response: httpx.Response) -> None:
        self._provider, self._response = provider, response

    async def batches(self) -> AsyncIterator[list[StreamEvent]]:
        async for raws in self._raw_batches():
            events: list[StreamEvent] = []
            try:
                for raw in raws:
                    events.append(self._provider._event(raw))
            except ProviderError:
                yield events  # what came before the error still came
                raise
            yield events

    async def _raw_batches(self) -> AsyncIterator[list[bytes]]:
        splitter = EventSplitter()
        room_bytes = MAX_ANSWER_BYTES
        with self._provider._failures():
            async for data in self._response.aiter_bytes():
                room_bytes -= len(data)
                if room_bytes < 0:
                    raise _TooLong(MAX_ANSWER_BYTES)
                if raws := splitter.feed(data):
                    yield raws
        if (rest := splitter.rest()).strip():
            yield [rest.rstrip() + b"\n\n"]

    async def aclose(self) -> None:
        await self._response.aclose()


class _TooLong(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


async def _read_at_most(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for data in response.aiter_bytes():
        body += data
        if len(body) > limit:
            raise _TooLong(limit)
    return bytes(body)


def _json_or_none(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:
        return None


def text_bytes(part: object) -> int:
    """UTF-8 length of what a model wrote in a message or delta: text, reasoning, refusals, tool calls."""
    if isinstance(part, str):
        return len(part.encode("utf-8", "surrogatepass"))
    if isinstance(part, list):
        return sum(map(text_bytes, part))
    if isinstance(part, dict):
        return sum(text_bytes(value) for name, value in part.items() if name not in _NOT_TEXT)
    return 0
