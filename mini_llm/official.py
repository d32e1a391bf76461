"""OpenAI's official client over the engine: existing code gets routes, fallback, wallet and usage log.

Its requests never leave the process as HTTP: a transport hands them to the engine, and gives the answer back
as a response, whole or streaming.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx

from mini_llm.client import AsyncClient, Client
from mini_llm.deployment import as_header
from mini_llm.errors import MiniLLMError, StreamBrokeOff, UnknownModel
from mini_llm.server.refusals import Refused, refusal_of
from mini_llm.surfaces import SURFACES

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from mini_llm.config_sdk import Settings
    from mini_llm.portal import Portal
    from mini_llm.replies import Answer, Stream

BASE_URL: Final = "http://mini-llm.invalid/v1"
"""Where the official client believes to send its requests; nothing is ever sent there."""
PATHS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
}
T = TypeVar("T")
_KEY: Final = "the keys are mini-llm's"
_STREAM: Final = {"content-type": "text/event-stream"}
_JSON: Final = {"content-type": "application/json"}


class MissingPackage(MiniLLMError):
    """Something is asked for that needs a package which is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"the package {package!r} is not installed: pip install 'mini-llm[{package}]'")
        self.package = package


def openai_client(config: Settings | Mapping[str, Any] | str | Path | None = None, **fields: Any) -> OpenAI:
    """An ``openai.OpenAI`` whose calls go through the routes; arguments as of ``Client``.

    Raises:
        MissingPackage: the official client is not installed.
        NotSetUp, ConfigErrors: as ``Client``.
    """
    try:
        from openai import OpenAI
    except ImportError:
        raise MissingPackage("openai") from None
    transport = _Transport(Client(config, **fields))
    # The engine retries; what it gives up on, nobody should ask again.
    return OpenAI(
        base_url=BASE_URL, api_key=_KEY, max_retries=0, http_client=httpx.Client(transport=transport)
    )


def async_openai_client(
    config: Settings | Mapping[str, Any] | str | Path | None = None, **fields: Any
) -> AsyncOpenAI:
    """An ``openai.AsyncOpenAI`` whose calls go through the routes; see ``openai_client``."""
    try:
        from openai import AsyncOpenAI
    except ImportError:
        raise MissingPackage("openai") from None
    transport = _AsyncTransport(AsyncClient(config, **fields))
    http = httpx.AsyncClient(transport=transport)
    return AsyncOpenAI(base_url=BASE_URL, api_key=_KEY, max_retries=0, http_client=http)


class _AsyncTransport(httpx.AsyncBaseTransport):
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        served = await _serve(self._client, request, await request.aread())
        if isinstance(served, httpx.Response):
            return served
        return httpx.Response(200, headers=_told(served) | _STREAM, stream=_AsyncBody(served, request))

    async def aclose(self) -> None:
        await self._client.aclose()


class _Transport(httpx.BaseTransport):
    def __init__(self, client: Client) -> None:
        self._client, self._portal = client, client.portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        served = self._portal.run(_serve(self._client.asynchronous, request, body))
        if isinstance(served, httpx.Response):
            return served
        stream = _Body(_AsyncBody(served, request), self._portal)
        return httpx.Response(200, headers=_told(served) | _STREAM, stream=stream)

    def close(self) -> None:
        self._client.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: Stream, request: httpx.Request) -> None:
        self._stream, self._pieces = stream, stream.pieces()
        self._surface, self._request = stream.surface, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await _in_time(anext(self._pieces, b""), self._request):
                yield piece
        except StreamBrokeOff as error:  # in the form that the official client raises
            yield self._surface.error_event(refusal_of(error))

    async def aclose(self) -> None:
        await self._stream.aclose()
        with suppress(RuntimeError):  # another task is reading, and comes to the end by itself
            await self._pieces.aclose()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: _AsyncBody, portal: Portal) -> None:
        self._async, self._portal = stream, portal

    def __iter__(self) -> Iterator[bytes]:
        pieces = aiter(self._async)

        async def following() -> bytes | None:
            return await anext(pieces, None)

        while (piece := self._portal.run(following())) is not None:
            yield piece

    def close(self) -> None:
        self._portal.run(self._async.aclose())


async def _in_time(waiting: Awaitable[T], request: httpx.Request) -> T:
    """Waits no longer than the official client's ``timeout`` allows.

    Raises:
        httpx.ReadTimeout: which it makes its own error of.
    """
    try:
        async with asyncio.timeout(request.extensions.get("timeout", {}).get("read")):
            return await waiting
    except TimeoutError:
        raise httpx.ReadTimeout("no answer came in time", request=request) from None


async def _serve(client: AsyncClient, request: httpx.Request, body: bytes) -> httpx.Response | Stream:
    """The answer to a request of the official client; errors as it knows them."""
    return await _in_time(_served(client, request.method, request.url.path, body), request)


async def _served(client: AsyncClient, method: str, path: str, body: bytes) -> httpx.Response | Stream:
    name = PATHS.get(path) if method == "POST" else None
    surface = SURFACES[name or "chat"]
    try:
        if method == "GET" and f"{path}/".startswith("/v1/models/"):
            return httpx.Response(200, json=await _offered(client, path.removeprefix("/v1/models")[1:]))
        if name is None:
            raise Refused(404, "not_found", f"{method} {path} is not served by mini-llm")
        request = surface.parse(body)
        if request.stream:
            return await client.engine.open_stream(request)
        answer = await client.engine.complete(request)
    except MiniLLMError as error:
        refusal = refusal_of(error)
        told = surface.error_body(refusal)
        return httpx.Response(refusal.status, headers=refusal.headers | _JSON, content=told)
    return httpx.Response(200, headers=_told(answer) | _JSON, content=answer.body)


async def _offered(client: AsyncClient, model: str) -> dict[str, Any]:
    """All models, or the one of that name."""
    listed: dict[str, Any] = (await client.models()).model_dump()
    by_name = {entry["id"]: entry for entry in listed["data"]}
    if model and model not in by_name:
        raise UnknownModel(model, tuple(by_name))
    return by_name[model] if model else listed


def _told(reply: Answer | Stream) -> dict[str, str]:
    """Who serves a call, in headers that ``with_raw_response`` shows."""
    return {"x-mini-llm-deployment": as_header(reply.deployment.id), "x-request-id": reply.upstream_id or ""}
