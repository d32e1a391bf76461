"""`mini-llm start` as a process, called by the official clients."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx
import openai
import pytest
from conftest import COMMAND, Cli
from google import genai
from google.genai import types
from support.model_server import TEXT, WORDS, ModelServer

SAID: Any = [{"role": "user", "content": "Why?"}]


class Running:
    """A gateway; `lines` is what it printed before it listened, `errors` what it had said at its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process, self.errors = process, ""
        self.lines = [process.stdout.readline().strip() for _ in range(2)]
        found = re.fullmatch(r"OPENAI_BASE_URL=(http://\S+)/v1", self.lines[0])
        assert found is not None, self.lines
        self.url = found[1]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=40)
        self.errors += errors
        return self.process.returncode


@contextmanager
def started(cli: Cli, *options: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [*COMMAND, "start", "--port", "0", *options],
        env=cli.surroundings(),
        cwd=cli.project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Running(process)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def running(ready: Cli) -> Iterator[Running]:
    with started(ready) as gateway:
        yield gateway


def test_openai(running: Running, server: ModelServer) -> None:
    assert running.lines[1] == "OPENAI_API_KEY=mini-llm (any will do)"
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="mini-llm", max_retries=0)
    assert client.chat.completions.create(model="llama3.2", messages=SAID).choices[0].message.content == TEXT
    chunks = list(client.chat.completions.create(model="home/llama3.2", messages=SAID, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices][:-1] == WORDS
    assert client.responses.create(model="llama3.2", input="Why?").output_text == TEXT
    with client.responses.stream(model="llama3.2", input="Why?") as stream:
        assert stream.get_final_response().output_text == TEXT
    assert client.embeddings.create(model="nomic", input="x", encoding_format="float").data[0].embedding == [
        0.5,
        -0.25,
    ]
    answer = client.chat.completions.with_raw_response.create(model="llama3.2", messages=SAID)
    assert answer.headers["x-mini-llm-deployment"] == "home/llama3.2"
    assert answer.headers["x-mini-llm-cost-usd"] == "0"
    assert running.stop() == 0
    assert "200 /v1/chat/completions home/llama3.2" in running.errors
    assert TEXT not in running.errors
    assert "Why?" not in running.errors


def test_addresses_of_callers_cannot_take_over_the_terminal(running: Running) -> None:
    assert httpx.get(f"{running.url}/%1b%5b2J%07home").status_code == 404
    running.stop()
    assert "404 /[2Jhome" in running.errors


def test_anthropic(running: Running) -> None:
    client = anthropic.Anthropic(base_url=running.url, api_key="mini-llm", max_retries=0)
    made = client.messages.create(model="llama3.2", max_tokens=50, messages=SAID)
    assert made.content[0].text == TEXT  # type: ignore[union-attr]
    with client.messages.stream(model="llama3.2", max_tokens=50, messages=SAID) as stream:
        assert "".join(stream.text_stream) == TEXT
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nobody-serves-this")


def test_google(running: Running) -> None:
    options = types.HttpOptions(base_url=running.url)
    client = genai.Client(api_key="mini-llm", http_options=options)
    assert client.models.generate_content(model="llama3.2", contents="Why?").text == TEXT
    streamed = client.models.generate_content_stream(model="llama3.2", contents="Why?")
    assert "".join(chunk.text or "" for chunk in streamed) == TEXT
    embedded = client.models.embed_content(model="nomic", contents="x")
    assert embedded.embeddings is not None
    assert embedded.embeddings[0].values == [0.5, -0.25]


def test_models(ready: Cli, server: ModelServer) -> None:
    ready.write(
        providers={"here": {"type": "local", "servers": [f"{server.url}/v1"]}}, aliases={"fast": "llama3.2"}
    )
    with started(ready) as gateway:
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x")
        assert {"fast", "llama3.2"} <= {model.id for model in client.models.list()}
        assert client.models.retrieve("llama3.2").owned_by == "here"
        own = anthropic.Anthropic(base_url=gateway.url, api_key="x")
        assert "llama3.2" in [model.id for model in own.models.list()]
        assert client.chat.completions.create(model="fast", messages=SAID).choices[0].message.content == TEXT


def test_refusals_in_each_format(running: Running) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0)
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="http-401", messages=SAID)
    assert (refused.value.status_code, refused.value.code) == (502, "key_refused")
    assert "mini-llm providers test home" in refused.value.message
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="http-400", messages=SAID)
    assert "told to: http-400" in wrong.value.message
    with pytest.raises(openai.APIError) as broken:
        list(client.chat.completions.create(model="breaks", messages=SAID, stream=True))
    assert broken.value.code == "stream_broke_off"
    with pytest.raises(openai.NotFoundError, match="add /v1"):
        openai.OpenAI(base_url=running.url, api_key="x").chat.completions.create(model="m", messages=SAID)
    with pytest.raises(anthropic.APIStatusError) as busy:
        anthropic.Anthropic(base_url=running.url, api_key="x", max_retries=0).messages.create(
            model="http-401", max_tokens=5, messages=SAID
        )
    assert busy.value.body["type"] == "error"  # type: ignore[index]


def test_a_fallback_is_told_to_nobody_but_happens(ready: Cli, server: ModelServer) -> None:
    ready.write(
        providers={
            "dead": {"base_url": "http://127.0.0.1:9/v1", "models": ["m"]},
            "home": {"base_url": f"{server.url}/v1", "models": ["m"]},
        }
    )
    with started(ready) as gateway:
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", json={"model": "m", "messages": SAID})
    assert answer.json()["choices"][0]["message"]["content"] == TEXT
    assert answer.headers["x-mini-llm-deployment"] == "home/m"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"origin": "https://evil.example"}, 403, "web_page"),
        ({"origin": "null"}, 403, "web_page"),
        ({"host": "evil.example"}, 421, "unknown_host"),
        ({"content-encoding": "gzip"}, 415, "encoded_body"),
        ({}, 200, None),
        ({"host": "localhost:1"}, 200, None),
    ],
    ids=["page", "sandboxed page", "foreign name", "encoded", "plain", "localhost"],
)
def test_who_may_call(running: Running, headers: dict[str, str], status: int, code: str | None) -> None:
    body = {"model": "llama3.2", "messages": SAID}
    answer = httpx.post(f"{running.url}/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == status
    assert not any(name.startswith("access-control") for name in answer.headers)
    if code is not None:
        assert answer.json()["error"]["code"] == code
    assert httpx.options(f"{running.url}/v1/chat/completions").status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/nothing"])
def test_head_is_get_without_its_body(running: Running, path: str) -> None:
    got, head = httpx.get(running.url + path), httpx.head(running.url + path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


def test_a_key_that_callers_must_send(ready: Cli) -> None:
    with started(ready, "--key", "sesame") as gateway:
        assert gateway.lines[1] == "OPENAI_API_KEY=the one you gave"
        url, body = f"{gateway.url}/v1/chat/completions", {"model": "llama3.2", "messages": SAID}
        for headers in (
            {"authorization": "Bearer sesame"},
            {"x-api-key": "sesame"},
            {"x-goog-api-key": "sesame"},
        ):
            assert httpx.post(url, json=body, headers=headers).status_code == 200
        for wrong in ({}, {"authorization": "Bearer other"}, {"x-api-key": ""}):
            refused = httpx.post(url, json=body, headers=wrong)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert httpx.get(f"{gateway.url}/healthz").status_code == 401
        gateway.stop()
        assert "sesame" not in gateway.errors


def test_bodies_have_a_limit(running: Running) -> None:
    url = running.url.removeprefix("http://")
    connection = http.client.HTTPConnection(url, timeout=30)
    connection.request("POST", "/v1/chat/completions", b" " * (4 * 2**20 + 1))
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "body_too_large")
    connection.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_provider(running: Running, server: ModelServer, stream: bool) -> None:
    body = {"model": "held", "messages": SAID, "stream": stream}
    if stream:
        with httpx.stream("POST", f"{running.url}/v1/chat/completions", json=body) as answer:
            assert next(answer.iter_text())
        assert server.gone.wait(20)
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=0.3)
        assert server.left.wait(20)


def test_running_calls_end_before_it_stops(running: Running, server: ModelServer) -> None:
    body = {"model": "held", "messages": SAID, "stream": True}
    with httpx.stream("POST", f"{running.url}/v1/chat/completions", json=body, timeout=60) as answer:
        pieces = answer.iter_text()
        first = next(pieces)
        running.process.send_signal(signal.SIGTERM)
        server.release.set()
        rest = "".join(pieces)
    assert "The" in first
    assert rest.endswith("data: [DONE]\n\n")
    assert running.stop() == 0


def test_it_does_not_start(ready: Cli, cli: Cli, running: Running) -> None:
    port = running.url.rpartition(":")[2]
    taken = ready.run("start", "--port", port)
    assert (taken.returncode, "choose another with --port" in taken.stderr) == (1, True)
    for host in ("0.0.0.0", "::", "192.0.2.1"):  # noqa: S104
        open_to_all = ready.run("start", "--host", host)
        assert (open_to_all.returncode, "say --key" in open_to_all.stderr) == (2, True)
    assert ready.run("start", "--port", "65536").returncode == 2
    no_key = ready.run("start", "--host", "0.0.0.0", "--key", "")  # noqa: S104
    assert (no_key.returncode, "--key is empty" in no_key.stderr) == (2, True)
    cli.write()
    assert cli.run("start", "--port", "0").returncode == 5
