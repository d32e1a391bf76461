"""The paid calls: one raw ASGI endpoint for every wire format, in front of the web framework's own layers.

FastAPI lists the same paths (`routes`), so that its OpenAPI document describes them; a request that reaches
one there is handed to the same endpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from fastapi import APIRouter, Request
from starlette.datastructures import State
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.gemini_embeddings import EMBED_MANY, embeddings_answer, embeddings_request
from mini_llm.surfaces.paths import CALL_PATHS, CallPath, check_query, find_call
from router.api.bodies import HALF_CLOSED, WATCHED, headers_of, read_body
from router.auth import Header
from router.errors import ClientGone
from router.gateway import Answer, Gateway, IncomingCall
from router.receipts import REQUEST_ID_HEADER
from router.streaming import EVENT_STREAM, LiveAnswer


class Calls:
    """Serves `CALL_PATHS`; anything else goes on to the application behind."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        found = find_call(scope["path"]) if scope["type"] == "http" else None
        if found is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
        else:
            await serve(self._state, found, scope, receive, send)


async def serve(state: State, path: CallPath, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one call; raises what refuses it before anything was sent."""
    state["switching"].require_open()
    gateway: Gateway = state["gateway"]
    called: str = scope["path"]
    header = partial(_header, headers_of(scope))
    read_it = partial(read_body, scope, receive, state["settings"].max_body_bytes)
    address = scope["client"][0] if scope.get("client") else ""
    model = path.model_in(called)
    if model is not None:
        check_query(scope["query_string"], path.stream)
        if path.surface is SURFACES["embeddings"]:
            await _embed_for_google(gateway, called, header, read_it, send, address)
            return
    answer = await gateway.serve(
        IncomingCall(
            surface=path.surface,
            endpoint=called,  # with the model in it, if it has one: another model is another call
            header=header,
            read_body=read_it,
            hung_up=partial(_disconnected, scope, receive),
            model=model,
            stream=path.stream,
            address=address,
        )
    )
    if isinstance(answer, LiveAnswer):
        await _stream(answer, send)
    else:
        await _send_whole(answer, send)


async def _embed_for_google(
    gateway: Gateway,
    called: str,
    header: Header,
    read_it: Callable[[], Awaitable[bytes]],
    send: Send,
    address: str,
) -> None:
    """Google's embeddings as OpenAI's and back; vectors are never streamed."""
    name, _, method = called.partition("/models/")[2].rpartition(":")

    async def translated() -> bytes:
        return embeddings_request(await read_it(), name, method == EMBED_MANY)

    call = IncomingCall(SURFACES["embeddings"], called, header, translated, _never, address=address)
    answer = await gateway.serve(call)
    if isinstance(answer, Answer):
        await _send_whole(answer._replace(body=embeddings_answer(answer.body, method == EMBED_MANY)), send)


async def _never() -> None:
    """Whole answers are made to their end, whoever still listens."""
    await asyncio.Event().wait()


async def _send_whole(answer: Answer, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    headers.append((b"content-type", answer.content_type.encode()))
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _stream(answer: LiveAnswer, send: Send) -> None:
    """Sends until the answer ends or the client hangs up.

    However it ends (answered, broken, client gone, server stopping), the answer is closed, which settles it.
    """
    told = {
        "content-type": EVENT_STREAM,
        "cache-control": "no-cache",
        "x-accel-buffering": "no",  # nginx would hold pieces back
        REQUEST_ID_HEADER: answer.request_id,
    } | answer.headers
    headers = [(name.encode(), value.encode()) for name, value in told.items()]
    try:
        with suppress(ClientGone), answer.client:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while not answer.ended:
                piece = await answer.next_piece()
                await send({"type": "http.response.body", "body": piece, "more_body": not answer.ended})
    finally:
        await answer.aclose()


def _header(headers: Mapping[bytes, bytes], name: str) -> str | None:
    value = headers.get(name.encode())
    return None if value is None else value.decode("latin-1")


async def _disconnected(scope: Scope, receive: Receive) -> None:
    """Returns once the client is gone, or has ended its side, which looks the same."""
    scope[WATCHED] = True
    if HALF_CLOSED in scope:
        return
    while (await receive())["type"] != "http.disconnect":
        pass


class _Handed(Response):
    """Lets the endpoint answer a request that came through the web framework."""

    def __init__(self, path: CallPath, state: State) -> None:
        super().__init__()
        self._path, self._app_state = path, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(self._app_state, self._path, scope, receive, send)


def call_routes() -> APIRouter:
    """The paid calls as routes of the web framework."""
    routes = APIRouter()
    for path in CALL_PATHS:
        address = path.path.replace("{model}", "{model:path}")
        routes.add_api_route(address, _hand_over(path), methods=["POST"], summary=path.summary)
    return routes


def _hand_over(path: CallPath) -> Callable[[Request], Awaitable[Response]]:
    async def handed(request: Request) -> Response:
        return _Handed(path, request.app.state)

    handed.__name__ = path.path.strip("/").replace("/{model}:", "_").replace("/", "_")
    return handed
