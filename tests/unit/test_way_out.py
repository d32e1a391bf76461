"""How an answer leaves the server: its head with its body, and nothing later than it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from router.operating import Operating
from router.serve import configure

START = {"type": "http.response.start", "status": 200}
POST = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, one item for each system call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.written.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def start(length: int | None) -> dict[str, Any]:
    return START | {"headers": [] if length is None else [(b"content-length", b"%d" % length)]}


def connect(app: Callable[[Scope, Receive, Send], Any]) -> tuple[Any, Wire]:
    settings = configure(app, "127.0.0.1", 0, Operating())
    settings.load()
    wire = Wire()
    protocol = settings.http_protocol_class(settings, ServerState(), {})  # type: ignore[call-arg]
    protocol.connection_made(wire)
    return protocol, wire


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_head_and_body_are_one_write_for_request_after_request() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"text"
        await send(start(4))
        await send({"type": "http.response.body", "body": b"done"})

    protocol, wire = connect(app)
    for count in (1, 2):
        protocol.data_received(POST + b"\r\ntext")
        await turns()
        assert len(wire.written) == count
        assert wire.written[-1].startswith(b"HTTP/1.1 200 OK\r\n")
        assert wire.written[-1].endswith(b"\r\n\r\ndone")


async def test_a_head_that_nothing_follows_does_not_wait() -> None:
    more = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(None))
        await more.wait()
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    protocol, wire = connect(app)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    await turns()
    (head,) = wire.written
    assert head.endswith(b"\r\n\r\n")
    more.set()
    await turns()
    assert wire.written[1:] == [b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"], "each piece by itself, at once"


@pytest.mark.parametrize(
    ("request_line", "piece", "end"),
    [
        (b"HEAD / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", b"", b"\r\n\r\n"),
        (b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n", b"done", b"\r\n\r\ndone"),
    ],
)
async def test_a_connection_closes_after_all_was_written(
    request_line: bytes, piece: bytes, end: bytes
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(4))
        await send({"type": "http.response.body", "body": piece})

    protocol, wire = connect(app)
    protocol.data_received(request_line)
    await turns()
    (whole,) = wire.written
    assert whole.endswith(end)
    assert wire.closed


async def test_who_waits_for_the_word_to_go_on_gets_it_first() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"text"
        await send(start(4))
        await send({"type": "http.response.body", "body": b"done"})

    protocol, wire = connect(app)
    protocol.data_received(POST + b"expect: 100-continue\r\n\r\n")
    await turns()
    assert wire.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    protocol.data_received(b"text")
    await turns()
    assert b"".join(wire.written[1:]).endswith(b"\r\n\r\ndone")


async def test_an_answer_that_breaks_off_is_cut_after_its_head() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(4))
        raise RuntimeError

    protocol, wire = connect(app)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    await turns()
    assert len(wire.written) == 1
    assert wire.closed
