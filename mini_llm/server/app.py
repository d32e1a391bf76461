"""The local gateway as a plain ASGI application.

It answers programs of this machine, so it stands between them and the web: pages in a browser may not call it
(no CORS, and no request that a page sends without asking for it), nor may a foreign name that leads here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any, Final

from mini_llm.engine import Engine
from mini_llm.errors import UnknownModel
from mini_llm.routing.asked import QUALITY_HEADER, with_quality
from mini_llm.server.exchange import Exchange, Receive, Send, Served
from mini_llm.server.refusals import Refused
from mini_llm.surfaces.gemini_embeddings import EMBED_MANY, embeddings_answer, embeddings_request
from mini_llm.surfaces.listing import model_entry, model_list
from mini_llm.surfaces.paths import CallPath, Scope, check_query, find_call, host_in, not_found

MODEL_LISTS: Final = ("/v1/models", "/v1beta/models")
HEALTH: Final = "/healthz"
_LOOKS: Final = ("GET", "HEAD")  # the server keeps the body of the second back
_KEY_HEADERS: Final = (b"x-api-key", b"x-goog-api-key")


class LocalGateway:
    """The application.

    Args:
        engine: what answers; it stays the caller's to close.
        key: what callers must send, None to take any key or none, from this machine only.
        watch: is told of each request when it has been answered.
    """

    def __init__(
        self, engine: Engine, key: str | None = None, watch: Callable[[Served], None] | None = None
    ) -> None:
        self._engine, self._key, self._watch = engine, key, watch
        self._began_s = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            await Exchange(scope, receive, send, self._watch).run(partial(self._answer, scope))

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        headers, path = dict(scope["headers"]), scope["path"]
        self._admit(headers)
        call = find_call(path) if scope["method"] == "POST" else None
        if call is not None:
            await self._call(call, exchange)
        elif scope["method"] in _LOOKS and path == HEALTH:
            await exchange.send_json({"status": "ok"})
        elif scope["method"] in _LOOKS and _lists_models(path):
            await exchange.send_json(await self._models(scope))
        else:
            raise Refused(404, "not_found", not_found(path))

    def _admit(self, headers: Mapping[bytes, bytes]) -> None:
        """Looks at who calls.

        Raises:
            Refused: a wrong key, or without keys a web page or a foreign name.
        """
        if headers.get(b"content-encoding", b"identity") not in (b"", b"identity"):
            raise Refused(415, "encoded_body", "send the body as it is: no content-encoding is taken")
        if self._key is not None:
            if not compare_digest(_sent_key(headers), self._key.encode()):
                raise Refused(401, "invalid_api_key", "the API key is not the one of `mini-llm start --key`")
            return
        origin = headers.get(b"origin", b"")
        if origin == b"null" or origin.startswith(b"http"):
            raise Refused(403, "web_page", "web pages may not call: start with --key and send that key")
        if not is_loopback(host_in(headers.get(b"host", b""))):
            raise Refused(421, "unknown_host", "call it as 127.0.0.1 or localhost, or start it with --key")

    async def _call(self, path: CallPath, exchange: Exchange) -> None:
        called: str = exchange.scope["path"]
        model = path.model_in(called)
        if model is not None:
            check_query(exchange.scope["query_string"], path.stream)
        body, after = await exchange.read_body(), _as_it_is
        if model is not None and path.surface.name == "embeddings":  # Google's as OpenAI's and back
            name, _, method = called.partition("/models/")[2].rpartition(":")
            body, model = embeddings_request(body, name, method == EMBED_MANY), None
            after = partial(embeddings_answer, many=method == EMBED_MANY)
        quality = dict(exchange.scope["headers"]).get(QUALITY_HEADER.encode())
        request = path.surface.parse(body, model, path.stream)
        if quality is not None:
            request = with_quality(request, quality.decode("latin-1"))
        if request.stream:
            stream = await exchange.unless_gone(self._engine.open_stream(request))
            await exchange.send_stream(stream, path.surface)
        else:
            answer = await exchange.unless_gone(self._engine.complete(request))
            await exchange.send_answer(answer, after(answer.body))

    async def _models(self, scope: Scope) -> dict[str, Any]:
        catalog = self._engine.catalog
        offered = await catalog.choices() | await catalog.offers()
        for path in MODEL_LISTS:
            if scope["path"] in (path, f"{path}/"):
                return model_list(scope, offered, self._began_s)
        name = scope["path"].partition("/models/")[2]
        if name not in offered:
            raise UnknownModel(name, tuple(offered))
        return model_entry(scope, name, offered[name], self._began_s)


def is_loopback(host: str) -> bool:
    """The name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _lists_models(path: str) -> bool:
    return any(path == start or path.startswith(f"{start}/") for start in MODEL_LISTS)


def _as_it_is(body: bytes) -> bytes:
    return body


def _sent_key(headers: Mapping[bytes, bytes]) -> bytes:
    """The key of a request, wherever the clients of the formats put it."""
    for name in _KEY_HEADERS:
        if name in headers:
            return headers[name]
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""
