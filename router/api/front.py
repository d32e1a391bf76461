"""The outermost layer, pure ASGI: request ids, limits, drain, security headers, a record of each request.

It stands before the paid calls, so it must stay cheap: one dict of headers, one wrapped `send` a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mini_llm.errors import ConfigError
from mini_llm.surfaces.base import WireError
from mini_llm.surfaces.paths import host_in, surface_of
from router.api.bodies import headers_of
from router.api.errors import told
from router.db_trouble import trouble_of
from router.drain import Drain
from router.errors import (
    Draining,
    EncodedBody,
    NoHost,
    NulCharacter,
    RepeatedHeader,
    TooManyHeaders,
    UnknownHost,
)
from router.observe.logs import describe
from router.observe.observer import Observer
from router.observe.record import CallRecord, enter, new_record
from router.operating import Operating

log = logging.getLogger(__name__)

HEALTH: Final = frozenset({"/healthz", "/readyz"})
SECURITY: Final = ((b"x-content-type-options", b"nosniff"),)
UNLESS_SAID: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
"""An answer may have its own of these, such as a page that runs a script."""
CLOSE: Final = (b"connection", b"close")
HANG_UP: Final = frozenset({413, 415, 431, 503})
"""After these the rest of the request is not read, or the router is stopping."""
_IDENTITY: Final = (None, b"", b"identity")
_ONCE: Final = frozenset(
    {b"host", b"authorization", b"x-api-key", b"x-goog-api-key", b"idempotency-key", b"x-vibes-account"}
)
"""Of two such headers a proxy in front may look at the one, and the router at the other."""


def fixed_headers(settings: Operating) -> list[tuple[bytes, bytes]]:
    """What every answer has, whatever it is."""
    if not settings.hsts_s:
        return list(SECURITY)
    value = f"max-age={settings.hsts_s}; includeSubDomains".encode()
    return [*SECURITY, (b"strict-transport-security", value)]


class Front:
    """Wraps the application.

    Args:
        app: what answers.
        observer: is told of each request.
        drain: says when to take no more.
        settings: limits and headers.
    """

    def __init__(self, app: ASGIApp, observer: Observer, drain: Drain, settings: Operating) -> None:
        self._app, self._observer, self._drain, self._settings = app, observer, drain, settings
        self._headers = fixed_headers(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; whatever the application raises is answered here, and its words stay here."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        headers = headers_of(scope)
        record = new_record(headers.get(b"x-request-id"), headers.get(b"traceparent"))
        enter(record)
        self._observer.began(record, scope["method"])
        running = self._drain.enter()
        answer = _Answer(send, record, self._observer, self._headers, scope)
        try:
            if (refusal := self._refusal(scope, headers)) is not None:
                raise refusal
            if scope["method"] == "HEAD":  # answered as GET; the server keeps the body back
                scope = {**scope, "method": "GET"}
            await self._app(scope, receive, answer.send)
        except Exception as error:
            await answer.refuse(told(error))
        except asyncio.CancelledError:
            if not self._drain.begun:
                raise
            await answer.refuse(told(Draining()))  # cut off at the end of a drain, and settled
        finally:
            self._drain.leave(running)
            self._observer.ended(record)

    def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Exception | None:
        """Why the request is not looked at any further, None if it is."""
        settings = self._settings
        if self._drain.begun and scope["path"] not in HEALTH:
            return Draining()
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return NulCharacter()
        if len(scope["headers"]) > settings.max_headers:
            return TooManyHeaders(settings.max_headers)
        if len(headers) != len(scope["headers"]) and (name := _repeated(scope)) is not None:
            return RepeatedHeader(name)
        if b"host" not in headers and scope["http_version"] == "1.1":
            return NoHost()
        if headers.get(b"content-encoding") not in _IDENTITY:
            return EncodedBody()
        if settings.hosts and host_in(headers.get(b"host", b"")) not in settings.hosts:
            return UnknownHost()
        return None

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._live(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and end of the application. What keeps it from either is told in a line of ours."""

        async def said(message: Message) -> None:
            await send({"type": message["type"]})  # without the framework's traceback, which quotes the error

        try:
            await self._app(scope, receive, said)
        except Exception as error:
            words = str(error) if isinstance(error, ConfigError) else trouble_of(error)
            log.error("the router cannot go on: %s", words or describe(error))
            raise


class _Answer:
    """The way out: adds the headers that every answer has, and knows whether it has begun."""

    __slots__ = ("_headers", "_observer", "_record", "_scope", "_send")

    def __init__(
        self,
        send: Send,
        record: CallRecord,
        observer: Observer,
        headers: list[tuple[bytes, bytes]],
        scope: Scope,
    ) -> None:
        self._scope = scope
        self._send, self._record, self._observer, self._headers = send, record, observer, headers

    async def send(self, message: Message) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            record = self._record
            record.status = message["status"]
            if record.stream and record.status == 200:
                self._observer.streaming(record)
            said = dict(message.get("headers", ()))
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", record.request_id.encode()),
                *self._headers,
                *[header for header in UNLESS_SAID if header[0] not in said],
            ]
        await self._send(message)

    async def refuse(self, error: WireError) -> None:
        """Sends an error; an answer that has begun is left without an end, and the server hangs up."""
        if self._record.status:
            return
        body = surface_of(self._scope).error_body(error)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in error.headers.items()]
        if error.status in HANG_UP:
            headers.append(CLOSE)
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _repeated(scope: Scope) -> str | None:
    """The first header that came again and may not."""
    seen: set[bytes] = set()
    for name, _ in scope["headers"]:
        if name in seen and name in _ONCE:
            return str(name, "ascii")
        seen.add(name)
    return None
