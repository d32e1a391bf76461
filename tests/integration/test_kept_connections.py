"""What follows when a provider closes a kept connection, and which of its addresses is taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
from support.scripted import completion, scripted, whole

from mini_llm import addresses as addresses_module
from mini_llm import http_transport as transport_module
from mini_llm.deployment import Deployment
from mini_llm.errors import AnswerLost, UpstreamUnreachable
from mini_llm.http_transport import HttpTransport
from mini_llm.price import Price
from mini_llm.providers.wire import Endpoint
from mini_llm.surfaces import CHAT
from mini_llm.transport import KeptConnectionClosed, Timeouts, TransportFailure, TransportTimeout
from mini_llm.wallet.provider import WalletProvider

pytestmark = pytest.mark.usefixtures("parser")

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
LONG = Timeouts(connect_s=9)


class Server:
    """Answers the first request of a connection; to the second it sends ``farewell`` and hangs up."""

    def __init__(self, farewell: bytes = b"", after_s: float = 0.0) -> None:
        self.farewell, self.after_s = farewell, after_s
        self.requests = self.connections = 0
        self.url, self.port = "", 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await reader.readuntil(b"\r\n\r\n{}")
            self.requests += 1
            writer.write(ANSWER)
            await reader.readuntil(b"\r\n\r\n{}")
            self.requests += 1
            await asyncio.sleep(self.after_s)
            writer.write(self.farewell)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(server: Server, host: str = "127.0.0.1") -> AsyncIterator[HttpTransport]:
    listening = await asyncio.start_server(server.serve, host, 0)
    server.port = listening.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{server.port}/"
    http = HttpTransport()
    try:
        yield http
    finally:
        await http.aclose()
        listening.close()


async def call(http: HttpTransport, server: Server) -> None:
    response = await http.send("POST", server.url, {}, b"{}", Timeouts())
    assert await response.read(9) == b"{}"
    await response.aclose()


async def test_a_call_that_met_a_closing_connection_is_sent_once_more() -> None:
    server = Server()
    async with serving(server) as http:
        endpoint = Endpoint("p", http, {}, Timeouts())
        for _ in range(4):
            assert await endpoint.post_json(server.url, b"{}") == {}
    assert (server.requests, server.connections) == (7, 4)


async def test_a_call_that_must_not_be_paid_twice_is_not_sent_again() -> None:
    server = Server()
    async with serving(server) as http:
        endpoint = Endpoint("p", http, {}, Timeouts(), asks_again=False)
        await endpoint.post_json(server.url, b"{}")
        with pytest.raises(UpstreamUnreachable):
            await endpoint.post_json(server.url, b"{}")
    assert server.requests == 2


async def test_a_call_that_a_wallet_pays_for_is_not_sent_again() -> None:
    request = CHAT.parse(b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}')
    deployment = Deployment("w/m", "m", "w", "m", 0, Price(1, 1), 8_192, 64)
    with scripted() as router:
        router.answers["m"] = [whole(completion("Paid.")), b""]
        http = HttpTransport()
        wallet = WalletProvider(router.url, http, {}, None)
        await wallet.complete(request, deployment)
        with pytest.raises(AnswerLost):
            await wallet.complete(request, deployment)
        await http.aclose()
    assert len(router.asked) == 2


async def test_the_connections_beside_it_are_closed_too() -> None:
    server = Server()
    async with serving(server) as http:
        await asyncio.gather(call(http, server), call(http, server))
        with pytest.raises(KeptConnectionClosed):
            await call(http, server)
        await call(http, server)
    assert server.connections == 3


@pytest.mark.parametrize(
    ("server", "crossing_s"),
    [(Server(b"HTTP/1.1 2"), 1.0), (Server(b"no HTTP"), 1.0), (Server(after_s=0.1), 0.05)],
    ids=["begun", "nonsense", "later"],
)
async def test_what_was_begun_or_given_up_later_is_the_providers_failure(
    server: Server, crossing_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "CROSSING_S", crossing_s)
    async with serving(server) as http:
        await call(http, server)
        with pytest.raises(TransportFailure) as failed:
            await call(http, server)
    assert not isinstance(failed.value, KeptConnectionClosed)


@contextmanager
def silent_at(port: int) -> Iterator[None]:
    """A listener at 127.0.0.2 whose queue is full: who connects hears nothing."""
    with socket.create_server(("127.0.0.2", port), backlog=0) as listening:
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield
        for one in waiting:
            one.close()


def through(found: Sequence[str]) -> HttpTransport:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return found

    return HttpTransport(resolve)


@pytest.mark.parametrize("first", [["127.0.0.2"], ["127.0.0.2"] * 3, ["127.0.0.3", "127.0.0.2"]])
async def test_an_address_that_is_silent_holds_the_next_one_up_for_a_moment_only(
    first: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses_module, "HEAD_START_S", 0.05)
    server = Server()
    async with serving(server), asyncio.timeout(10):
        with silent_at(server.port):
            http = through([*first, "127.0.0.1"])
            response = await http.send("POST", f"http://some.host:{server.port}/", {}, b"{}", LONG)
            assert response.status == 200
            connecting = [task for task in asyncio.all_tasks() if "_open_at" in repr(task)]
            await asyncio.gather(*connecting, return_exceptions=True)
            assert all(task.cancelled() for task in connecting)
            await http.aclose()


async def test_connections_that_come_too_late_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses_module, "HEAD_START_S", 0.0)
    dropped, answering = list[str](), asyncio.Event()

    async def connect(address: str) -> str:
        with suppress(asyncio.CancelledError):  # it is connected when it is told to stop
            await answering.wait()
        return address

    racing = asyncio.ensure_future(addresses_module.first_to_answer(["a", "b", "c"], connect, dropped.append))
    await asyncio.sleep(0.05)
    answering.set()
    won = await racing
    await asyncio.sleep(0)
    assert sorted([won, *dropped]) == ["a", "b", "c"]

    answering.clear()
    dropped.clear()
    given_up = asyncio.ensure_future(addresses_module.first_to_answer(["a", "b"], connect, dropped.append))
    await asyncio.sleep(0.05)
    given_up.cancel()
    await asyncio.wait([given_up])
    await asyncio.sleep(0.01)
    assert sorted(dropped) == ["a", "b"]


async def test_nobody_at_any_address_is_told_as_the_last_one_says_it() -> None:
    server = Server()
    async with serving(server):
        url = f"http://some.host:{server.port}/"
        http = through(["127.0.0.4", "127.0.0.3"])
        with pytest.raises(TransportFailure, match="ConnectionRefusedError"):
            await http.send("GET", url, {}, None, LONG)
        http = through(["127.0.0.3", "127.0.0.2"])
        with silent_at(server.port), pytest.raises(TransportTimeout, match="connect"):
            await http.send("GET", url, {}, None, Timeouts(connect_s=0.3))
        await http.aclose()
