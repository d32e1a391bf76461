"""Made-up requests and made-up answers of providers: no 500, nothing stays reserved, the books balance."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from router_world import User, World

from router.ledger import books

EXAMPLES = 150
SEARCH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
PASSING_ON = (502, 503, 504)
SURFACES = {
    "/v1/chat/completions": {
        "model": "M",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 5,
    },
    "/v1/responses": {"model": "M", "input": "hello", "max_output_tokens": 5},
    "/v1/messages": {"model": "M", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5},
    "/v1/embeddings": {"model": "M", "input": "hello"},
}

scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "stop", "tool_calls", "\ud800", "0", "1e999", "🙂" * 50])
    | st.text(max_size=20)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


def paths_of(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every position in a JSON value."""
    yield here
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_of(item, (*here, name))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], by)
    return copy


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> bytes:
    """JSON with something else at one or two positions; now and then cut off, deep, or no UTF-8."""
    for _ in range(draw(st.integers(1, 2))):
        value = replaced(value, draw(st.sampled_from(list(paths_of(value)))), draw(values))
    body = json.dumps(value).encode("utf-8", "surrogatepass")
    how = draw(st.integers(0, 11))
    if how == 0:
        return body[: draw(st.integers(0, len(body)))]
    if how == 1:
        at = draw(st.integers(0, len(body)))
        return body[:at] + draw(st.binary(min_size=1, max_size=4)) + body[at:]
    if how == 2:
        deep = draw(st.sampled_from([100, 10_000, 200_000]))
        return body[:-1] + b', "deep": ' + b"[" * deep + b"]" * deep + b"}"
    if how == 3:
        return body.replace(b"5", b"9" * draw(st.sampled_from([25, 400, 5000])))
    return body


class Liar:
    """A provider that answers with whatever bytes it was told, and closes the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    received = b""
                    while b"\r\n\r\n" not in received:
                        received += connection.recv(65536)
                    connection.sendall(self.answer)
                except OSError:
                    continue

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    server = Liar()
    yield server
    server.close()


@pytest.fixture(scope="module")
def lied_to(new_world: Any, liar: Liar, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A router whose only provider is the liar; it is asked once a call, however often it failed."""
    price = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
    limits = {"context_tokens": 4000, "max_output_tokens": 100}
    file = tmp_path_factory.mktemp("liar") / "config.json"
    file.write_text(
        json.dumps(
            {
                "providers": {"liar": {"base_url": liar.url}},
                "deployments": [{"model": "lies", "provider": "liar"} | price | limits],
                "retry": {"retries": 0, "patience_s": 0},
                "breaker": {"failures": 10**6, "limited_s": 0.001, "refused_key_s": 0.001},
            }
        )
    )
    made: World = new_world(VIBES_CONFIG=str(file))
    return made


def assert_sound(world: World, user: User) -> None:
    view = user.settled_view()
    assert view.reserved_base == 0
    assert view.balance_base >= 0
    assert user.ledger.read(books.book_errors) == []
    assert "fault" not in world.router.log.read_text()


@pytest.mark.parametrize("path", SURFACES)
def test_made_up_requests(world: World, path: str) -> None:
    user = world.user(deposit_base=10**12)
    url = world.router.url.removesuffix("/v1") + path

    with user.http() as client:

        @SEARCH
        @given(mutated(SURFACES[path] | {"model": "plain"}))
        def attack(body: bytes) -> None:
            answer = client.post(url, content=body)
            assert answer.status_code != 500, body

        attack()
    assert_sound(world, user)


COMPLETION: Any = {
    "id": "c",
    "object": "chat.completion",
    "created": 5,
    "model": "lies",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "five"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 5,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
}
CHUNK: Any = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 5,
    "model": "lies",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "five"}, "finish_reason": None}],
}
LAST: Any = CHUNK | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE: Any = CHUNK | {"choices": [], "usage": COMPLETION["usage"]}


ENDS = (b"\n\n", b"\r\n\r\n", b"\n")
TAILS = (b"data: [DONE]\n\n", b"", b"data: ", b"event: error\n\n", b": hm\n\n")
STATUSES = (
    *[b"200 OK"] * 12,
    b"400 No",
    b"429 Slow",
    b"500 Oops",
    b"204 None",
    b"302 Go",
    b"abc",
    b"999 What",
)
JUNK = (
    *[b""] * 6,
    b"x-junk: \xff\xfe\r\n",
    b"retry-after: soon\r\n",
    b"no colon\r\n",
    b"transfer-encoding: chunked\r\n",
)
KINDS = (*[b"text/event-stream"] * 6, b"application/json", b"text/html", b"")


@st.composite
def answers(draw: st.DrawFn) -> tuple[bool, bytes]:
    """Whether a stream is asked for, and all bytes that the provider sends."""
    stream = draw(st.booleans())
    if stream:
        whole = [json.dumps(one).encode() for one in (CHUNK, LAST, USAGE)]
        odd = [draw(mutated(one)) for one in (CHUNK, LAST, USAGE)]
        events = [draw(st.sampled_from(pair)) for pair in zip(whole, odd, strict=True)]
        body = b"".join(b"data: " + event + draw(st.sampled_from(ENDS)) for event in events)
        body += draw(st.sampled_from(TAILS))
    else:
        body = draw(mutated(COMPLETION))
    if draw(st.integers(0, 9)) == 0:
        body = body[: draw(st.integers(0, len(body)))]
    kind = draw(st.sampled_from(KINDS)) if stream else b"application/json"
    lengths = [len(body)] * 6 + [len(body) + 7, max(0, len(body) - 3), -1, 10**30]
    head = b"HTTP/1.1 " + draw(st.sampled_from(STATUSES)) + b"\r\ncontent-type: " + kind
    head += b"\r\ncontent-length: " + str(draw(st.sampled_from(lengths))).encode() + b"\r\n"
    return stream, head + draw(st.sampled_from(JUNK)) + b"connection: close\r\n\r\n" + body


@pytest.mark.parametrize("path", list(SURFACES)[:3])
def test_made_up_answers(lied_to: World, liar: Liar, path: str) -> None:
    user = lied_to.user(deposit_base=10**12)
    url = lied_to.router.url.removesuffix("/v1") + path
    asked = SURFACES[path] | {"model": "lies"}
    seen: list[int] = []

    with user.http() as client:

        @SEARCH
        @given(answers())
        def attack(answer: tuple[bool, bytes]) -> None:
            stream, liar.answer = answer
            try:
                said = client.post(url, json=asked | {"stream": stream})
            except httpx.HTTPError as error:
                raise AssertionError(answer) from error
            assert said.status_code in (200, 400, *PASSING_ON), (answer, said.status_code, said.text)
            seen.append(said.status_code)

        attack()
    if path != "/v1/responses":  # asked for in its own format, which these are not
        assert seen.count(200) > EXAMPLES // 20  # enough of them came through to be metered
    assert_sound(lied_to, user)


@pytest.mark.parametrize("choices", [5, True, "words", {"index": 0}, 1e9])
def test_choices_that_are_no_list(lied_to: World, liar: Liar, choices: Any) -> None:
    body = b"data: " + json.dumps(CHUNK | {"choices": choices}).encode() + b"\n\ndata: [DONE]\n\n"
    liar.answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + body
    user = lied_to.user()
    with user.http() as client:
        asked = SURFACES["/v1/chat/completions"] | {"model": "lies", "stream": True}
        assert client.post("/chat/completions", json=asked).status_code in (200, *PASSING_ON)
    assert_sound(lied_to, user)
