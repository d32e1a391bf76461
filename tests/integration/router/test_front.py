"""What stands before every request: ids, headers, limits, hosts, origins, slow clients."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from router_world import World, read_when

ASKED: Any = {"model": "plain", "messages": [{"role": "user", "content": "who is calling"}]}


@pytest.fixture(scope="module")
def guarded(new_world: Any) -> World:
    """A router with short limits, one host, one origin."""
    made: World = new_world(
        VIBES_READ_S="1",
        VIBES_MAX_HEADER_BYTES="4096",
        VIBES_MAX_HEADERS="20",
        VIBES_TRUSTED_HOSTS="127.0.0.1,router.example",
        VIBES_CORS_ORIGINS="https://app.example",
        VIBES_HSTS_S="600",
    )
    return made


def raw(world: World, sent: bytes, timeout_s: float = 10) -> bytes:
    """What the router answers to bytes, until it hangs up."""
    with socket.create_connection(("127.0.0.1", world.router.port), timeout=timeout_s) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def test_a_well_formed_request_id_goes_all_the_way(world: World) -> None:
    with world.user().http() as client:
        answer = client.post("/chat/completions", json=ASKED, headers={"x-request-id": "app-1.2:3"})
    assert answer.headers["x-request-id"] == "app-1.2:3"
    assert world.upstream.headers[-1]["x-request-id"] == "app-1.2:3"
    assert '"request_id":"app-1.2:3"' in read_when(world.router.log, "app-1.2:3")


@pytest.mark.parametrize("given", [None, "", "x" * 129, "two words", "line\tbreak", "ümlaut", "a;b"])
def test_any_other_request_id_is_replaced(world: World, given: str | None) -> None:
    headers = {} if given is None else {"x-request-id": given.encode("latin-1")}
    with world.user().http() as client:
        answers = [client.get(path, headers=headers) for path in ("/models", "/nothing", "/account/")]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert len(set(ids)) == len(ids)


def test_a_trace_is_passed_on_and_nonsense_is_not(world: World) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with world.user().http() as client:
        client.post("/chat/completions", json=ASKED, headers={"traceparent": trace})
        assert world.upstream.headers[-1]["traceparent"] == trace
        client.post("/chat/completions", json=ASKED, headers={"traceparent": "00-" + "0" * 32 + trace[35:]})
        assert "traceparent" not in world.upstream.headers[-1]


def test_every_answer_has_the_security_headers(world: World) -> None:
    with world.user().http() as client:
        answers = [
            client.get("/account"),
            client.get("/nothing"),
            client.post("/chat/completions", json=ASKED),
            client.post("/chat/completions", content=b"{"),
        ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_what_the_operator_sets_is_sent(guarded: World) -> None:
    origin = {"origin": "https://app.example"}
    with guarded.user().http() as client:
        own = client.get("/account", headers=origin)
        foreign = client.get("/account", headers={"origin": "https://evil.example"})
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        before = client.options("/chat/completions", headers=origin | ask)
        before_evil = client.options(
            "/chat/completions", headers={"origin": "https://app.example.evil"} | ask
        )
    assert own.headers["strict-transport-security"] == "max-age=600; includeSubDomains"
    assert own.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in foreign.headers
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, "https://app.example")
    assert before_evil.status_code == 400
    assert "x-vibes-receipt" in own.headers["access-control-expose-headers"]
    assert "payment-required" in own.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("router.example", 401), ("ROUTER.example:80", 401), ("evil.example", 421), ("", 421), ("[::1]", 421)],
)
def test_only_listed_hosts_are_served(guarded: World, host: str, status: int) -> None:
    answer = httpx.get(f"{guarded.router.url}/account", headers={"host": host})
    assert answer.status_code == status


def test_too_many_or_too_long_headers_are_431(guarded: World) -> None:
    many = httpx.get(guarded.router.url + "/account", headers={f"x-{n}": "y" for n in range(30)})
    assert (many.status_code, many.json()["error"]["code"]) == (431, "too_many_headers")
    head = b"GET /v1/account HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"y" * 10_000
    assert raw(guarded, head + b"\r\n\r\n").startswith(b"HTTP/1.1 4")
    assert raw(guarded, head).startswith(b"HTTP/1.1 431")  # and nobody waits for its end


CHAT_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer KEY\r\n"
CHUNKED = CHAT_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
PIECES = 200


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(CHUNKED + b"0\r\nx: ", b"y" * 1000, id="one-trailer"),
        pytest.param(CHUNKED + b"1;", b"y" * 1000, id="chunk-extension"),
        pytest.param(b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 300, id="requests-that-wait"),
    ],
)
def test_what_is_no_body_is_not_kept_without_end(world: World, begin: bytes, piece: bytes) -> None:
    begin = begin.replace(b"KEY", world.user().api_key.encode())
    sent = 0
    with socket.create_connection(("127.0.0.1", world.router.port), timeout=10) as connection:
        connection.sendall(begin)
        with suppress(OSError):  # it hung up, and this is still on its way
            for _ in range(PIECES):
                connection.sendall(piece)
                sent += len(piece)
                time.sleep(0.005)  # so that the router reads it in pieces
    assert sent < PIECES * len(piece)


@pytest.mark.parametrize(
    "name", ["Host", "Authorization", "x-api-key", "x-goog-api-key", "Idempotency-Key", "x-vibes-account"]
)
def test_a_header_that_two_could_read_differently_comes_once(world: World, name: str) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nConnection: close\r\n{name}: 127.0.0.1\r\n".encode()
    once, twice = (raw(world, head + more + b"\r\n") for more in (b"", f"{name.upper()}: b\r\n".encode()))
    assert b"repeated_header" not in once
    assert twice.startswith(b"HTTP/1.1 400")
    assert f"the header {name.lower()} came more than once".encode() in twice


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse", "embedContent", "x"])
def test_an_address_without_a_model_is_no_fault_of_the_router(world: World, method: str) -> None:
    with world.user().http() as client:
        answer = client.post(f"{world.router.url}beta/models/:{method}", json={"contents": []})
    assert answer.status_code in (400, 404, 405), answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/models/a%00b", "/receipts?after_base=%00"])
def test_a_nul_in_the_address_is_400(world: World, path: str) -> None:
    with world.user().http() as client:
        answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "nul_character")


def test_a_body_that_is_compressed_is_415(world: World) -> None:
    for encoding in ("gzip", "br", "nonsense"):
        with world.user().http() as client:
            answer = client.post("/chat/completions", json=ASKED, headers={"content-encoding": encoding})
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "encoded_body")


@pytest.mark.parametrize("path", ["/models/", "/chat/completions/", "/account/"])
def test_a_trailing_slash_is_a_404_that_helps(world: World, path: str) -> None:
    with world.user().http() as client:
        answer = client.request("POST" if "chat" in path else "GET", path)
    if path == "/models/":  # the empty name is looked up as a model's
        assert answer.status_code == 404
        return
    assert answer.status_code == 404
    assert "/v1" + path.rstrip("/") in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "told"),
    [("/v1/v1/messages", "leave /v1 out"), ("/chat/completions", "add /v1"), ("/elsewhere", "/openapi.json")],
)
def test_a_base_url_that_is_off_by_the_version_is_told(world: World, path: str, told: str) -> None:
    answer = httpx.post(world.router.url.removesuffix("/v1") + path)
    assert answer.status_code == 404
    assert told in answer.json()["error"]["message"]


def test_an_idempotency_key_beyond_ascii_is_400(world: World) -> None:
    with world.user().http() as client:
        headers = {"idempotency-key": "schlüssel".encode("latin-1")}
        answer = client.post("/chat/completions", json=ASKED, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_idempotency_key")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /v1/account HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
        b"Authorization: Bearer KEY\r\n\r\n{",
    ],
)
def test_a_client_that_dawdles_is_hung_up_on(guarded: World, sent: bytes) -> None:
    user = guarded.user()
    began = time.monotonic()
    answer = raw(guarded, sent.replace(b"KEY", user.api_key.encode()))
    assert time.monotonic() - began < 8  # the limit is one second
    assert answer[:12] in (b"", b"HTTP/1.1 408")
    assert user.view().reserved_base == 0


def test_a_connection_that_is_kept_may_rest_longer_than_a_request(guarded: World) -> None:
    with guarded.user().http() as client:
        assert client.get("/account").status_code == 200
        connection = client._transport._pool.connections[0]  # type: ignore[attr-defined]
        time.sleep(1.5)
        assert client.get("/account").status_code == 200
        assert client._transport._pool.connections == [connection]  # type: ignore[attr-defined]
