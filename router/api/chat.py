"""POST /v1/chat/completions, whole and streaming."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mini_llm.surfaces import SURFACES
from router.errors import BodyTooLarge, ClientGone
from router.gateway import Gateway, IncomingCall
from router.receipts import REQUEST_ID_HEADER
from router.streaming import LiveAnswer

PATH: Final = "/v1/chat/completions"

routes = APIRouter()


@routes.post(PATH, summary="Answer a conversation")
async def chat_completions(request: Request) -> Response:
    """OpenAI's chat completions; the receipt comes in a header, or in a comment at the end of a stream."""
    gateway: Gateway = request.app.state.gateway
    answer = await gateway.serve(
        IncomingCall(
            surface=SURFACES["chat"],
            endpoint=PATH,
            header=request.headers.get,
            read_body=partial(read_body, request, request.app.state.settings.max_body_bytes),
            hung_up=partial(_disconnected, request.receive),
        )
    )
    if isinstance(answer, LiveAnswer):
        return EventStream(answer)
    return Response(answer.body, media_type=answer.content_type, headers=answer.headers)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The request body, read no further than the limit.

    Raises:
        BodyTooLarge: it is longer, or says so.
        ClientGone: the client left before its end.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit_bytes:
                raise BodyTooLarge(limit_bytes)
    except ClientDisconnect:
        raise ClientGone from None
    return bytes(body)


class EventStream(Response):
    """Sends a live answer as server-sent events.

    However it ends (answered, broken, client gone, server stopping), the answer is closed, which settles it.
    """

    media_type = "text/event-stream"

    def __init__(self, answer: LiveAnswer) -> None:
        self.status_code = 200
        self.background = None
        self._answer = answer
        headers = {REQUEST_ID_HEADER: answer.request_id, "cache-control": "no-cache"}
        self.init_headers(headers | answer.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the answer ends or the client hangs up."""
        sending = asyncio.ensure_future(self._send(send))
        hanging_up = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((sending, hanging_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hanging_up.cancel()
            sending.cancel()
            try:
                await asyncio.gather(sending, hanging_up, return_exceptions=True)
            finally:
                await self._answer.aclose()
        if sending.done() and not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._answer.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
