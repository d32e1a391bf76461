"""The library's and the router's transport against servers that are slow, silent, compressed or gone."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mini_llm.http_transport import HttpTransport
from mini_llm.inflating import MAX_MEMBERS
from mini_llm.transport import AnswerTooLong, Timeouts, TransportFailure, TransportTimeout

pytestmark = pytest.mark.usefixtures("parser")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads one request a connection and answers as told; yields its URL and what it read."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            await answer(writer)
            await writer.drain()
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", requests
    finally:
        listening.close()


@asynccontextmanager
async def transport() -> AsyncIterator[HttpTransport]:
    opened = HttpTransport()
    try:
        yield opened
    finally:
        await opened.aclose()


async def fetch(answer: Answer, timeouts: Timeouts | None = None, limit_bytes: int = 10**6) -> bytes:
    async with server(answer) as (url, _), transport() as http:
        response = await http.send("GET", url, {}, None, timeouts or Timeouts())
        try:
            return await response.read(limit_bytes)
        finally:
            await response.aclose()


def whole(body: bytes, headers: bytes = b"") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        length = f"content-length: {len(body)}\r\n\r\n".encode()
        writer.write(HEAD + headers + length + body)

    return answer


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def stalls(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 10\r\n\r\nhalf")
    await asyncio.sleep(5)


async def drips(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 1000\r\n\r\n")
    for _ in range(100):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_body_is_handed_over_as_it_is() -> None:
    assert await fetch(whole(b"\x00\xff body")) == b"\x00\xff body"


async def test_status_headers_redirects_and_cookies_are_left_to_the_caller() -> None:
    async def redirect(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: /elsewhere\r\n"
            b"set-cookie: a=1\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
        )

    async with server(redirect) as (url, requests), transport() as http:
        for _ in range(2):
            response = await http.send("POST", url, {"x-own": "1"}, b"{}", Timeouts())
            assert (response.status, response.header("retry-after"), response.header("absent")) == (
                302,
                "7",
                None,
            )
            await response.aclose()
    assert len(requests) == 2
    for request in requests:
        assert b"x-own: 1" in request.lower()
        assert b"cookie" not in request.lower()
        assert b"user-agent" not in request.lower()


@pytest.mark.parametrize(
    ("answer", "timeouts", "stage"),
    [
        (silent, Timeouts(first_byte_s=0.1), "first_byte"),
        (silent, Timeouts(first_byte_s=None, total_s=0.1), "total"),
        (stalls, Timeouts(idle_s=0.1), "idle"),
        (drips, Timeouts(idle_s=1.0, total_s=0.2), "total"),
    ],
)
async def test_each_stage_has_its_limit(answer: Answer, timeouts: Timeouts, stage: str) -> None:
    with pytest.raises(TransportTimeout) as caught:
        await fetch(answer, timeouts)
    assert caught.value.stage == stage


async def test_a_slow_drip_is_not_idle() -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 8\r\n\r\n")
        for _ in range(8):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    assert await fetch(slowly, Timeouts(idle_s=0.2)) == b"x" * 8


async def slow_resolver(host: str, port: int) -> list[str]:
    await asyncio.sleep(5)
    return []


async def test_no_connection_in_time_is_told_as_such() -> None:
    http = HttpTransport(slow_resolver)
    with pytest.raises(TransportTimeout) as caught:
        await http.send("GET", "http://provider.test/", {}, None, Timeouts(connect_s=0.1))
    await http.aclose()
    assert caught.value.stage == "connect"


async def test_wait_for_the_answer_begins_when_there_is_a_connection() -> None:
    async def dawdling_resolver(host: str, port: int) -> list[str]:
        await asyncio.sleep(0.3)
        return ["127.0.0.1"]

    async with server(whole(b"late")) as (url, _):
        http = HttpTransport(dawdling_resolver)
        named = url.replace("127.0.0.1", "provider.test")
        response = await http.send("GET", named, {}, None, Timeouts(connect_s=5, first_byte_s=0.2))
        assert await response.read(100) == b"late"
        await response.aclose()
        await http.aclose()


async def test_nobody_there_is_a_failure() -> None:
    async with transport() as http:
        with pytest.raises(TransportFailure):
            await http.send("GET", "http://127.0.0.1:1/", {}, None, Timeouts())


async def test_a_body_that_breaks_off_is_a_failure() -> None:
    async def breaks(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 10\r\n\r\nhalf")

    with pytest.raises(TransportFailure):
        await fetch(breaks)


async def test_a_compressed_answer_is_decoded_though_none_was_asked_for() -> None:
    body = b'{"answer": 42}' * 100
    assert await fetch(whole(gzip.compress(body), b"content-encoding: gzip\r\n")) == body


@pytest.mark.parametrize("rest", [b"", b"\0" * 512, b"garbage"], ids=["nothing", "zeros", "garbage"])
@pytest.mark.parametrize("name", [b"gzip", b"x-gzip", b"GZIP"])
async def test_gzip_of_several_members_is_decoded_whatever_follows(name: bytes, rest: bytes) -> None:
    packed = gzip.compress(b"one, ") + gzip.compress(b"") + gzip.compress(b"two" * 1000) + rest
    headers = b"content-encoding: " + name + b"\r\n"
    assert await fetch(whole(packed, headers)) == b"one, " + b"two" * 1000

    async def by_bytes(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + headers + f"content-length: {len(packed)}\r\n\r\n".encode())
        for byte in packed:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    assert await fetch(by_bytes) == b"one, " + b"two" * 1000


async def test_a_member_that_breaks_off_and_too_many_are_failures() -> None:
    member = gzip.compress(b"one")
    for packed in (member + member[:-4], gzip.compress(b"") * (MAX_MEMBERS + 1)):
        with pytest.raises(TransportFailure, match="compress"):
            await fetch(whole(packed, b"content-encoding: gzip\r\n"))


async def test_broken_compression_is_a_failure() -> None:
    with pytest.raises(TransportFailure):
        await fetch(whole(b"this is not gzip", b"content-encoding: gzip\r\n"))


async def test_an_encoding_that_cannot_be_undone_is_refused() -> None:
    with pytest.raises(TransportFailure, match="encoding"):
        await fetch(whole(b"\x1f\x9d", b"content-encoding: compress\r\n"))


async def test_more_than_the_limit_is_not_read() -> None:
    with pytest.raises(AnswerTooLong):
        await fetch(whole(b"x" * 1000), limit_bytes=999)
    assert await fetch(whole(b"x" * 1000), limit_bytes=1000) == b"x" * 1000
