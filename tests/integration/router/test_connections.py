"""Connections to providers: kept, reused, broken, over TLS, and what a provider may send at most."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mini_llm import connection as connection_module
from mini_llm import http_transport as transport_module
from mini_llm.http_transport import HttpTransport
from mini_llm.inflating import MAX_INFLATED_BYTES
from mini_llm.transport import AnswerTooLong, Timeouts, TransportFailure, TransportTimeout

pytestmark = pytest.mark.usefixtures("parser")

OK = b"HTTP/1.1 200 OK\r\n"
Writer = asyncio.StreamWriter
Answer = bytes | Callable[[Writer], Awaitable[None]]


@dataclass
class Server:
    """Answers one request after the other as told; the last answer serves for all that follow."""

    answers: list[Answer]
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    reader: asyncio.StreamReader = field(default_factory=asyncio.StreamReader)
    writer: Writer | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.reader, self.writer = reader, writer
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
                self.requests.append(head)
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            self.hung_up.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(list(answers))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    server.address = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def pool() -> AsyncIterator[HttpTransport]:
    http = HttpTransport()
    try:
        yield http
    finally:
        await http.aclose()


async def call(
    http: HttpTransport, server: Server, timeouts: Timeouts | None = None, limit_bytes: int = 2**24
) -> bytes:
    response = await http.send("GET", server.address, {}, None, timeouts or Timeouts())
    try:
        return await response.read(limit_bytes)
    finally:
        await response.aclose()


def said(body: bytes, headers: bytes = b"") -> bytes:
    return OK + headers + f"content-length: {len(body)}\r\n\r\n".encode() + body


async def hang_up(writer: Writer) -> None:
    writer.close()


def then_hang_up(first: bytes) -> Answer:
    async def answer(writer: Writer) -> None:
        writer.write(first)
        writer.close()

    return answer


async def stay_silent(writer: Writer) -> None:
    await asyncio.sleep(5)


async def test_one_connection_serves_call_after_call() -> None:
    async with serving(said(b"one"), said(b"two")) as server, pool() as http:
        assert [await call(http, server) for _ in range(3)] == [b"one", b"two", b"two"]
        assert server.connections == 1


async def test_calls_at_one_time_have_connections_of_their_own_and_both_are_kept() -> None:
    async with serving(said(b"x")) as server, pool() as http:
        first = await http.send("GET", server.address, {}, None, Timeouts())
        second = await http.send("GET", server.address, {}, None, Timeouts())
        for response in (first, second):
            assert await response.read(10) == b"x"
            await response.aclose()
            await response.aclose()  # once more changes nothing
        await call(http, server)
        assert server.connections == 2


async def test_a_connection_that_the_provider_closed_is_not_used_again() -> None:
    async with serving(then_hang_up(said(b"one")), said(b"two")) as server, pool() as http:
        assert await call(http, server) == b"one"
        await asyncio.sleep(0.05)
        assert await call(http, server) == b"two"
        assert server.connections == 2


async def test_a_connection_that_is_closed_instead_of_an_answer_is_a_failure_of_that_call_alone() -> None:
    async with serving(said(b"one"), hang_up, said(b"two")) as server, pool() as http:
        await call(http, server)
        with pytest.raises(TransportFailure):
            await call(http, server)
        assert await call(http, server) == b"two"


@pytest.mark.parametrize(
    "answer",
    [
        said(b"x", b"connection: close\r\n"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
        said(b"x") + said(b"an answer that nobody asked for"),
    ],
    ids=["close", "http-1.0", "one-too-many"],
)
async def test_a_connection_that_cannot_be_kept(answer: bytes) -> None:
    async with serving(answer) as server, pool() as http:
        for _ in range(2):
            assert await call(http, server) == b"x"
        assert server.connections == 2


async def test_a_connection_is_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "IDLE_S", 0.0)
    async with serving(said(b"x")) as server, pool() as http:
        await call(http, server)
        await asyncio.sleep(0.01)
        await call(http, server)
        assert server.connections == 2


async def test_a_connection_on_which_something_waits_unread_is_not_used_again() -> None:
    async with serving(said(b"one"), said(b"two")) as server, pool() as http:
        assert await call(http, server) == b"one"
        assert server.writer is not None
        server.writer.write(said(b"an answer that nobody asked for"))
        assert await call(http, server) == b"two"  # the loop had no turn in between to notice it
        assert server.connections == 2


def test_a_timer_that_is_due_at_once_can_be_planned_again() -> None:
    """uvloop's timer does not know when it fires if that is at once."""

    async def twice() -> None:
        async with serving(OK + b"content-length: 9\r\n\r\nhalf") as server, pool() as http:
            response = await http.send("GET", server.address, {}, None, Timeouts(idle_s=1e-5))
            assert await response.next_piece() == b"half"
            first = asyncio.ensure_future(response.next_piece())
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(TransportTimeout):
                await response.next_piece()
            await response.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(twice(), 5))


async def test_an_answer_that_is_not_read_to_its_end_ends_the_connection() -> None:
    async with serving(OK + b"content-length: 9\r\n\r\nhalf") as server, pool() as http:
        response = await http.send("GET", server.address, {}, None, Timeouts())
        assert await response.next_piece() == b"half"
        await response.aclose()
        await asyncio.wait_for(server.hung_up.wait(), 5)


async def test_an_answer_that_came_and_was_not_read_is_not_the_next_calls() -> None:
    async with serving(said(b"one"), said(b"two")) as server, pool() as http:
        response = await http.send("GET", server.address, {}, None, Timeouts())
        await asyncio.sleep(0.05)
        await response.aclose()
        assert await call(http, server) == b"two"
        assert server.connections == 2


@pytest.mark.parametrize(
    "end", [b"0\r\n\r\n", b"4\r\nmore\r\n0\r\n\r\n", b""], ids=["in-time", "more", "never"]
)
async def test_the_end_of_an_answer_that_has_said_all_is_awaited_by_nobody(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "FINISH_S", 0.3)
    may_end = asyncio.Event()

    async def slowly(writer: Writer) -> None:
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n3\r\nall\r\n")
        await may_end.wait()
        writer.write(end)

    async with serving(slowly, said(b"x")) as server, pool() as http:
        response = await http.send("GET", server.address, {}, None, Timeouts())
        assert await response.next_piece() == b"all"
        await response.finish()
        may_end.set()
        if end.startswith(b"0"):
            await asyncio.sleep(0.1)
            assert [await call(http, server), await call(http, server)] == [b"x", b"x"]
            assert server.connections == 1
        await asyncio.sleep(0.4)  # the moment when nobody would wait any longer
        assert server.hung_up.is_set() != end.startswith(b"0")


async def test_a_connection_that_nobody_needs_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "IDLE_S", 0.05)
    async with serving(said(b"x")) as one, serving(said(b"x")) as other, pool() as http:
        await asyncio.gather(call(http, one), call(http, one), call(http, other))
        for server in (one, other):
            await asyncio.wait_for(server.hung_up.wait(), 5)


async def test_a_cancelled_call_ends_the_connection() -> None:
    async def until_it_ends(writer: Writer) -> None:
        await server.reader.read()
        raise ConnectionError

    async with serving(until_it_ends, said(b"x")) as server, pool() as http:
        waiting = asyncio.create_task(call(http, server))
        await asyncio.wait((waiting,), timeout=0.1)
        assert server.requests
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(server.hung_up.wait(), 5)
        assert await call(http, server) == b"x"
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"transfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nx-own: late\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + said(b"abcde"),
        said(b"abcde", b"x-own:   yes  \r\nX-Own: second\r\n"),
    ],
    ids=["chunks-and-trailer", "interim-answers", "headers"],
)
async def test_forms_of_an_answer(answer: bytes) -> None:
    async with serving(answer) as server, pool() as http:
        for _ in range(2):
            response = await http.send("GET", server.address, {}, None, Timeouts())
            expected = "yes" if b"second" in answer else None
            assert (response.status, response.header("x-own"), response.header("link")) == (
                200,
                expected,
                None,
            )
            assert await response.read(5) == b"abcde"
            await response.aclose()
        assert server.connections == 1


async def test_an_answer_of_no_told_length_ends_with_its_connection() -> None:
    async with serving(then_hang_up(OK + b"\r\nabcde")) as server, pool() as http:
        assert [await call(http, server) for _ in range(2)] == [b"abcde"] * 2


@pytest.mark.parametrize("timeouts", [Timeouts(idle_s=0.1), Timeouts(total_s=0.1)], ids=["idle", "total"])
async def test_an_answer_of_no_told_length_that_takes_too_long_has_not_ended(timeouts: Timeouts) -> None:
    async def half(writer: Writer) -> None:
        writer.write(OK + b"\r\nhalf")
        await stay_silent(writer)

    async with serving(half) as server, pool() as http:
        with pytest.raises(TransportTimeout):
            await call(http, server, timeouts)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body(status: int) -> None:
    async with serving(f"HTTP/1.1 {status} X\r\n\r\n".encode()) as server, pool() as http:
        assert [await call(http, server) for _ in range(2)] == [b"", b""]
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n",
        OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        OK + b"content-length: 5, 6\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        then_hang_up(b"HTTP/1.1 200"),
        then_hang_up(OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        OK + b"x: " + b"y" * 2**18,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2**14,
        OK + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + b"x: y\r\n" * 2**16,
    ],
    ids=[
        *(
            "no-http",
            "two-lengths",
            "no-length",
            "no-chunk",
            "other-protocol",
            "half-a-head",
            "half-the-chunks",
        ),
        *("long-head", "interim-without-end", "trailer-without-end"),
    ],
)
async def test_what_is_no_answer(answer: Answer) -> None:
    async with serving(answer, said(b"x")) as server, pool() as http:
        with pytest.raises(TransportFailure):
            await call(http, server)
        assert await call(http, server) == b"x"


async def test_a_slow_reader_holds_the_provider_back_and_gets_everything() -> None:
    written = 0
    body = bytes(range(256)) * 4096 * 16

    async def send(writer: Writer) -> None:
        nonlocal written
        writer.write(OK + f"content-length: {len(body)}\r\n\r\n".encode())
        for start in range(0, len(body), 2**16):
            writer.write(body[start : start + 2**16])
            await writer.drain()
            written += 2**16

    async with serving(send) as server, pool() as http:
        response = await http.send("GET", server.address, {}, None, Timeouts())
        await asyncio.sleep(0.3)
        assert written < len(body)
        assert await response.read(len(body)) == body
        await response.aclose()


async def test_each_call_has_the_limits_of_its_own() -> None:
    async def after_a_while(writer: Writer) -> None:
        await asyncio.sleep(0.2)
        writer.write(said(b"late"))

    async with serving(said(b"x"), after_a_while, stay_silent) as server, pool() as http:
        await call(http, server, Timeouts(first_byte_s=0.1, idle_s=0.1))
        assert await call(http, server, Timeouts(first_byte_s=60)) == b"late"
        with pytest.raises(TransportTimeout) as caught:
            await call(http, server, Timeouts(first_byte_s=0.1))
        assert (caught.value.stage, server.connections) == ("first_byte", 1)


async def test_an_answer_that_comes_before_the_request_is_sent_is_taken_and_its_connection_is_not() -> None:
    async def unread(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await stay_silent(writer)

    async with serving(unread) as server, pool() as http:
        for _ in range(2):
            response = await http.send("POST", server.address, {}, bytes(2**24), Timeouts(total_s=2))
            assert (response.status, await response.read(1)) == (413, b"")
            await response.aclose()
        assert server.connections == 2


async def test_a_head_may_be_as_long_each_time() -> None:
    long = b"HTTP/1.1 204 X\r\nx-own: " + b"y" * (connection_module.MAX_LOOSE_BYTES - 100) + b"\r\n\r\n"
    async with serving(long) as server, pool() as http:
        assert [await call(http, server) for _ in range(3)] == [b""] * 3
        assert server.connections == 1


async def test_each_piece_of_a_body_may_have_as_long_a_framing() -> None:
    framing = b"1;" + b"y" * 2**13 + b"\r\n"
    times = connection_module.MAX_LOOSE_BYTES // len(framing) + 2

    async def send(writer: Writer) -> None:
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        for part in (framing, b"x\r\n") * times:
            writer.write(part)
            await asyncio.sleep(0.01)  # so that it is read by itself
        writer.write(b"0\r\n\r\n")

    async with serving(send) as server, pool() as http:
        assert await call(http, server) == b"x" * times


@pytest.mark.parametrize("window", [zlib.MAX_WBITS, -zlib.MAX_WBITS], ids=["zlib", "raw"])
async def test_deflate_is_decoded_in_both_forms(window: int) -> None:
    packer = zlib.compressobj(wbits=window)
    packed = packer.compress(b"abc" * 10**6) + packer.flush()
    async with serving(said(packed, b"content-encoding: deflate\r\n")) as server, pool() as http:
        assert await call(http, server) == b"abc" * 10**6


async def test_a_compressed_answer_is_held_to_the_limit_of_what_it_becomes() -> None:
    bomb = gzip.compress(bytes(2**25))
    async with serving(said(bomb, b"content-encoding: gzip\r\n")) as server, pool() as http:
        with pytest.raises(AnswerTooLong):
            await call(http, server, limit_bytes=2**20)
        response = await http.send("GET", server.address, {}, None, Timeouts())
        sizes = []
        while piece := await response.next_piece():
            sizes.append(len(piece))
        assert (max(sizes), sum(sizes)) == (MAX_INFLATED_BYTES, 2**25)
        await response.aclose()


async def test_what_follows_a_compressed_answer_is_not_read() -> None:
    packed = gzip.compress(b"abc")
    head = OK + b"content-encoding: gzip\r\ncontent-length: 1000000\r\n\r\n"
    async with serving(head + packed + b"more of it") as server, pool() as http:
        assert await call(http, server, Timeouts(total_s=5)) == b"abc"


async def test_a_compressed_answer_that_breaks_off_is_a_failure() -> None:
    half = gzip.compress(b"abc" * 1000)[:-9]
    async with serving(said(half, b"content-encoding: gzip\r\n")) as server, pool() as http:
        with pytest.raises(TransportFailure, match="breaks off"):
            await call(http, server)


async def test_a_request_goes_out_as_it_was_asked_for() -> None:
    async with serving(said(b"")) as server, pool() as http:
        url = server.address.replace("//", "//us%40er:pass@") + "/v1/a%2Fb:go?x=ü y&z=1"
        response = await http.send("POST", url, {"x-own": "1"}, b"{}", Timeouts())
        await response.aclose()
        host = server.address.removeprefix("http://")
        assert server.requests == [
            f"POST /v1/a%2Fb:go?x=%C3%BC%20y&z=1 HTTP/1.1\r\nhost: {host}\r\n"
            "authorization: Basic dXNAZXI6cGFzcw==\r\nx-own: 1\r\ncontent-length: 2\r\n\r\n".encode()
        ]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "ü"])
async def test_a_header_is_one_line(value: str) -> None:
    async with pool() as http:
        with pytest.raises(TransportFailure, match="InvalidHeader"):
            await http.send("GET", "http://127.0.0.1:1/", {"x-own": value}, None, Timeouts())


@pytest.mark.parametrize(
    "url", ["ftp://a.test/", "http:///x", "http://a.test:70000/", "nonsense", "http://[::1/"]
)
async def test_what_is_no_url(url: str) -> None:
    async with pool() as http:
        with pytest.raises(TransportFailure, match="InvalidURL"):
            await http.send("GET", url, {}, None, Timeouts())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_address_leads_to_itself(address: str) -> None:
    assert await transport_module.addresses(address, 80) == [address]  # whatever networks the machine is in


async def test_every_address_of_a_host_is_tried() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with serving(said(b"x")) as server:
        http = HttpTransport(two)
        server.address = server.address.replace("127.0.0.1", "provider.test")
        assert await call(http, server) == b"x"
        await http.aclose()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that nobody trusts yet, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


async def test_tls_to_a_provider_that_the_machine_trusts(
    certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with serving(said(b"secret" * 10**5), tls=context) as server, pool() as http:
        assert [await call(http, server) for _ in range(2)] == [b"secret" * 10**5] * 2
        assert server.connections == 1

        async def loopback(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        other = HttpTransport(loopback)
        server.address = server.address.replace("127.0.0.1", "another.test")
        with pytest.raises(TransportFailure, match="SSL"):
            await call(other, server)


async def test_no_tls_to_a_provider_that_nobody_vouches_for(
    certificate: tuple[Path, ssl.SSLContext],
) -> None:
    async with serving(said(b"x"), tls=certificate[1]) as server, pool() as http:
        with pytest.raises(TransportFailure, match="SSL"):
            await call(http, server)
        assert not server.requests
