"""The live page: what happens now, as a page that stands by itself and a stream that keeps it up to date."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from router.api.admin_access import state_of
from router.errors import NotReady
from router.streaming import EVENT_STREAM
from router.web.door import SignInNeeded
from router.web.operator.day import DayKeeper
from router.web.operator.door import operator_of, operator_page, operator_routes, session_of
from router.web.operator.figures import figures

EVERY_S: Final = 1.0
MOST_STREAMS: Final = 32
"""Pages that one worker keeps up to date at once."""
ENDED: Final = "event: end\ndata: {}\n\n"
"""The session has ended: nothing more will come."""

routes: Final[APIRouter] = operator_routes()


@routes.get("")
async def live(request: Request) -> Response:
    """The page; a script keeps it up to date."""
    operator_of(request)
    day: DayKeeper = request.app.state.day
    shown = await figures(state_of(request), await day.view())
    return operator_page(request, "live.html", **shown)


@routes.get("/live")
async def stream(request: Request) -> Response:
    """The page's figures as server-sent events, one a second, until the session ends or the router stops."""
    try:
        operator_of(request)
    except SignInNeeded:  # an event: a page that is on screen cannot follow to the sign-in
        return Response(ENDED, media_type=EVENT_STREAM)
    open_streams: set[object] = request.app.state.streams
    if len(open_streams) >= MOST_STREAMS:
        raise NotReady(f"{MOST_STREAMS} pages are kept up to date already: close one")
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(request), media_type=EVENT_STREAM, headers=headers)


async def _events(request: Request) -> AsyncIterator[str]:
    day: DayKeeper = request.app.state.day
    open_streams: set[object] = request.app.state.streams
    state, mark = state_of(request), object()
    open_streams.add(mark)
    try:
        while not state.drain.over:
            if session_of(request) is None:
                yield ENDED
                return
            shown = await figures(state, await day.view())
            yield f"data: {json.dumps(shown)}\n\n"
            await asyncio.sleep(EVERY_S)
    finally:
        open_streams.discard(mark)
