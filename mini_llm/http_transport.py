"""HTTP to providers: connections that are kept, and nothing that a call does not need."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from functools import lru_cache, partial
from socket import AF_INET, SOCK_STREAM, getaddrinfo
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import certifi

from mini_llm.addresses import first_to_answer
from mini_llm.connection import Connection
from mini_llm.inflating import Inflating
from mini_llm.loops import PerLoop
from mini_llm.transport import (
    KeptConnectionClosed,
    Timeouts,
    Transport,
    TransportFailure,
    TransportTimeout,
    UpstreamResponse,
)

IDLE_S: Final = 15.0
"""A connection that was idle for longer is not used again: the provider may be closing it."""
CROSSING_S: Final = 1.0
"""A kept connection that ends so soon after a request was being closed when that was sent. Later it is the
provider, or somebody between, that gave the call up."""
FINISH_S: Final = 1.0
"""How long a connection waits in the background for the end of an answer that has said all."""
_PORTS: Final = {"http": 80, "https": 443}
_PLAIN: Final = ("", "identity")
_AS_IT_IS: Final = "%/:?=&;,@!$'()*+~[]"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a host for a port, at least one, or raises OSError."""


async def addresses(host: str, port: int, threads: Executor | None = None) -> Sequence[str]:
    """What the system says, in ``threads`` if given; IPv4 first: broken IPv6 is often silent."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(threads, lambda: getaddrinfo(host, port, type=SOCK_STREAM))
    return [str(place[0]) for *_, place in sorted(found, key=lambda one: one[0] != AF_INET)]


class _Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self.open: set[Connection] = set()
        self._idle: dict[_Origin, dict[Connection, None]] = {}  # the one used last at the end
        self._sweeping: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in self.open.copy():
            connection.drop()

    def take(self, origin: _Origin, now_s: float) -> Connection | None:
        """The connection that was used last, if it may be used again."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.usable and connection.heard_s + IDLE_S > now_s and connection.silent():
                return connection
            connection.drop()
        return None

    def drop_idle(self, origin: _Origin) -> None:
        """Closes what has been idle for longer than a connection that its provider has just closed."""
        for connection in self._idle.get(origin, ()):
            connection.drop()  # which takes it out, later

    def keep(self, origin: _Origin, connection: Connection) -> None:
        """Takes a connection back."""
        self._idle.setdefault(origin, {})[connection] = None
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Closes what nobody has needed for long: those who name endpoints could have every socket kept."""
        loop = asyncio.get_running_loop()
        for idle in self._idle.values():
            for connection in idle:
                if connection.heard_s + IDLE_S <= loop.time():
                    connection.drop()  # which takes it out, later
        self._sweeping = loop.call_later(IDLE_S, self._sweep) if self._idle else None

    def lost(self, origin: _Origin, connection: Connection) -> None:
        """A connection is gone."""
        self.open.discard(connection)
        idle = self._idle.get(origin)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[origin]


class HttpTransport(Transport):
    """Keeps connections for each event loop that it is used on.

    There is no limit to them: who calls limits the calls in flight. What is not used again is soon closed.

    Args:
        resolve: finds the addresses to connect to, and may refuse them.
    """

    def __init__(self, resolve: Resolve = addresses) -> None:
        self._resolve = resolve
        self._pool = PerLoop(_Pool)
        self._tls: ssl.SSLContext | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> UpstreamResponse:
        """See ``Transport.send``."""
        loop, pool = asyncio.get_running_loop(), self._pool()
        began_s = loop.time()
        place = _place(url)
        request = _request(method, place, headers, body)
        kept = pool.take(place.origin, began_s)
        connection = kept or await self._connect(pool, place.origin, timeouts)
        try:
            await connection.ask(request, timeouts, began_s)
            return _Response(connection)
        except BaseException as error:
            connection.drop()
            if (
                kept is not None
                and isinstance(error, TransportFailure)
                and connection.unanswered
                and loop.time() - began_s < CROSSING_S
            ):
                pool.drop_idle(place.origin)
                raise KeptConnectionClosed(error.reason) from error
            raise

    async def aclose(self) -> None:
        """See ``Transport.aclose``."""
        self._pool().close()

    async def _connect(self, pool: _Pool, origin: _Origin, timeouts: Timeouts) -> Connection:
        limit_s, stage = timeouts.connect_s, "connect"
        if timeouts.total_s is not None and timeouts.total_s < limit_s:
            limit_s, stage = timeouts.total_s, "total"
        try:
            async with asyncio.timeout(limit_s):
                found = await self._resolve(origin.host, origin.port)
                return await first_to_answer(found, partial(self._open_at, pool, origin), Connection.drop)
        except TimeoutError:
            raise TransportTimeout(stage, limit_s) from None
        except (OSError, ValueError) as error:
            raise TransportFailure(type(error).__name__) from error

    async def _open_at(self, pool: _Pool, origin: _Origin, address: str) -> Connection:
        tls: dict[str, Any] = {}
        if origin.secure:
            self._tls = self._tls or _trusting()
            tls = {"ssl": self._tls, "server_hostname": origin.host}
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(partial(pool.keep, origin), partial(pool.lost, origin)),
            address,
            origin.port,
            **tls,
        )
        pool.open.add(connection)
        return connection


def _trusting() -> ssl.SSLContext:
    """Trusts whom the system trusts, and certifi's authorities, since some systems have none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class _Response(UpstreamResponse):
    def __init__(self, connection: Connection) -> None:
        self.status = connection.status
        self._headers = connection.headers
        self._connection: Connection | None = connection
        encoding = (self.header("content-encoding") or "").strip().lower()
        self._inflating = None if encoding in _PLAIN else Inflating(encoding)

    def header(self, name: str) -> str | None:
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1").rstrip()

    def next_piece(self) -> Coroutine[Any, Any, bytes]:
        if self._connection is None:
            return _nothing()
        if self._inflating is not None:
            return self._inflating.next_piece(self._connection)
        return self._connection.next_piece()

    async def aclose(self) -> None:
        self._leave(finish=False)

    async def finish(self) -> None:
        self._leave(finish=True)

    def _leave(self, finish: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.usable:
            connection.keep(connection)
        elif finish:
            connection.finish(FINISH_S)
        else:
            connection.drop()


async def _nothing() -> bytes:
    return b""


class _Origin(NamedTuple):
    secure: bool
    host: str
    port: int


class _Place(NamedTuple):
    origin: _Origin
    head: str  # what is the same in every request's head
    target: str


@lru_cache(maxsize=1024)
def _place(url: str) -> _Place:
    """Where a URL leads.

    Raises:
        TransportFailure: it is none.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        if not host:
            raise ValueError(url)
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise TransportFailure("InvalidURL") from None
    name = f"[{host}]" if ":" in host else host
    head = f"host: {name}" + ("" if port == _PORTS[parts.scheme] else f":{port}") + "\r\n"
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        head += f"authorization: Basic {b64encode(user.encode()).decode()}\r\n"
    query = f"?{parts.query}" if parts.query else ""
    target = quote((parts.path or "/") + query, _AS_IT_IS)
    return _Place(_Origin(parts.scheme == "https", host, port), head, target)


def _request(method: str, place: _Place, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Head and body.

    Raises:
        TransportFailure: a header would be more than one line.
    """
    own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not own.isascii() or not own.count("\r") == own.count("\n") == len(headers):
        raise TransportFailure("InvalidHeader")
    length = "" if body is None else f"content-length: {len(body)}\r\n"
    return f"{method} {place.target} HTTP/1.1\r\n{place.head}{own}{length}\r\n".encode() + (body or b"")
