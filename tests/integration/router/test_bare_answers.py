"""Half-closed clients, long heads, HEAD, and what every answer has, whoever gives it."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import httpx
import pytest
from router_world import User, World
from test_drain import until
from test_front import ASKED, raw


@pytest.fixture(scope="module")
def strict(new_world: Any) -> World:
    made: World = new_world(VIBES_READ_S="1", VIBES_CORS_ORIGINS="https://app.example", VIBES_HSTS_S="600")
    return made


def request(user: User, **fields: Any) -> bytes:
    body = json.dumps(ASKED | fields).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        + f"Authorization: Bearer {user.api_key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def half_closed(world: World, *pieces: bytes) -> bytes:
    """What comes to a client that ends its side once it has sent everything."""
    with socket.create_connection(("127.0.0.1", world.router.port), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def headers_in(answer: bytes) -> dict[str, str]:
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def test_who_ends_its_side_gets_what_it_pays_for(world: World) -> None:
    user = world.user()
    for sent in (1, 2):
        answer = half_closed(world, *[request(user)] * sent)
        assert answer.count(b"HTTP/1.1 200 OK") == sent
        assert answer.count(b'"usage"') == sent
    assert headers_in(answer)["x-vibes-request-id"]
    assert half_closed(world, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b'{"status":"ok"}')
    assert half_closed(world, request(user)[:-1]) == b""
    assert half_closed(world) == b""


def test_who_ends_its_side_of_a_stream_has_hung_up(world: World) -> None:
    user = world.user()
    held = world.upstream
    held.release.clear()
    try:
        assert b"200 OK" not in half_closed(world, request(user, model="held", stream=True))
    finally:
        held.release.set()
    until(lambda: user.view().reserved_base == 0)
    assert user.view().spent_base == 0


def test_a_long_head_is_refused_however_it_is_cut(world: World) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: %b\r\n\r\n"

    def status(size: int, *cuts: int) -> bytes:
        sent = head % (b"y" * (size - len(head) + 2))
        with socket.create_connection(("127.0.0.1", world.router.port), timeout=10) as connection:
            for start, end in zip((0, *cuts), (*cuts, len(sent)), strict=True):
                connection.sendall(sent[start:end])
                time.sleep(0.1)
            return connection.recv(12)

    assert status(60_000, 30_000) == b"HTTP/1.1 431"
    assert status(33_000, 1_000, 2_000) == b"HTTP/1.1 431"
    for cut in (1_000, 30_000, 31_999, 31_998, 31_997):
        assert status(32_000, cut) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "malformed_request"),
        (b"GET /healthz HTTP/1.1\r\nX-Long: " + b"y" * 40_000, 431, "head_too_long"),
        (b"GET /healthz HTTP/1.1\r\n", 408, "request_timeout"),
        (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "no_host"),
    ],
    ids=["malformed", "long", "slow", "no-host"],
)
def test_every_answer_has_an_id_and_the_security_headers(
    strict: World, sent: bytes, status: int, code: str
) -> None:
    answer = raw(strict, sent)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    headers, body = headers_in(answer), answer.partition(b"\r\n\r\n")[2]
    assert_named(headers)
    assert len(body) == int(headers["content-length"])
    assert json.loads(body)["error"]["code"] == code


def assert_named(headers: Any) -> None:
    assert len(headers["x-request-id"]) == 32
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"] == "max-age=600; includeSubDomains"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_what_a_browser_asks_before_a_call_is_answered_with_them_too(strict: World) -> None:
    asked = {"access-control-request-method": "POST"}
    for origin, status in (("https://app.example", 200), ("https://evil.example", 400)):
        answer = httpx.options(f"{strict.router.url}/chat/completions", headers=asked | {"origin": origin})
        assert answer.status_code == status
        assert_named(answer.headers)
    named = httpx.options(
        f"{strict.router.url}/models",
        headers=asked | {"origin": "https://app.example", "x-request-id": "app-1"},
    )
    assert named.headers["x-request-id"] == "app-1"


@pytest.mark.parametrize(
    "path", ["/", "/wallet", "/healthz", "/readyz", "/openapi.json", "/v1/models", "/no"]
)
def test_head_is_get_without_a_body(world: World, path: str) -> None:
    with world.user().http() as client:
        url = world.router.url.removesuffix("/v1") + path
        got, head = client.get(url), client.head(url)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in ("content-type", "content-length"):
            assert head.headers.get(name) == got.headers.get(name)
        assert client.head("/chat/completions").status_code == 405
        assert client.get("/models").status_code == 200  # on the same connection
