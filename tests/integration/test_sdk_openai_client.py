"""OpenAI's official client over the library: existing code gets routes, fallback and the usage log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from support.apps import TEXT, ModelServer, Running, model_servers, own, threaded

from mini_llm import async_openai_client, openai_client
from mini_llm.official import MissingPackage
from mini_llm.settings import read_settings
from mini_llm.usage import totals

SAID = [{"role": "user", "content": "hello"}]


@pytest.fixture
def servers() -> tuple[ModelServer, ModelServer]:
    return ModelServer(429), ModelServer()


@pytest.fixture
def running(servers: tuple[ModelServer, ModelServer]) -> Iterator[Running]:
    with threaded(*servers) as running:
        yield running


@pytest.fixture
def app(servers: tuple[ModelServer, ModelServer], running: Running) -> Iterator[openai.OpenAI]:
    with openai_client(own(*servers)) as client:
        yield client


def test_whole_answers_fall_back(app: openai.OpenAI) -> None:
    raw = app.chat.completions.with_raw_response.create(model="m", messages=SAID)  # type: ignore[arg-type]
    assert raw.parse().choices[0].message.content == TEXT
    assert raw.headers["x-mini-llm-deployment"] == "two/m"


def test_streams_fall_back(app: openai.OpenAI) -> None:
    with app.chat.completions.create(model="m", messages=SAID, stream=True) as stream:  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT


def test_the_responses_api_is_translated(app: openai.OpenAI) -> None:
    assert app.responses.create(model="m", input="hello").output_text == TEXT


def test_a_stream_left_early_stops_the_provider(
    app: openai.OpenAI, servers: tuple[ModelServer, ModelServer], running: Running
) -> None:
    servers[1].words, servers[1].word_delay_s = 10_000, 0.01
    stream = app.chat.completions.create(model="m", messages=SAID, stream=True)  # type: ignore[call-overload]
    next(iter(stream))
    stream.close()
    running.do(asyncio.wait_for(servers[1].hung_up.wait(), 5))


def test_a_stream_that_breaks_off_raises(
    app: openai.OpenAI, servers: tuple[ModelServer, ModelServer]
) -> None:
    servers[1].cut_after, servers[1].word_delay_s = 2, 0.05
    stream = app.chat.completions.create(model="m", messages=SAID, stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError, match="broke off after 2 pieces"):
        list(stream)


def test_errors_are_the_official_ones(app: openai.OpenAI, servers: tuple[ModelServer, ModelServer]) -> None:
    servers[1].status = 429
    at_once = {"breaker": {"limited_s": 0.001}, "retry": {"base_s": 0.001}}  # or chance decides how often
    with (
        openai_client(own(*servers) | at_once) as impatient,
        pytest.raises(openai.InternalServerError, match="tried: one/m: provider 'one' answered with"),
    ):
        impatient.chat.completions.create(model="m", messages=SAID)  # type: ignore[call-overload]
    assert len(servers[1].asked) == 3, "the routes ask again, the official client does not"
    with pytest.raises(openai.BadRequestError, match="'messages'"):
        app.chat.completions.create(model="m", messages=[])
    with pytest.raises(openai.NotFoundError, match="not served by mini-llm"):
        app.images.generate(prompt="a cat")


def test_models_are_listed(app: openai.OpenAI) -> None:
    assert {model.id for model in app.models.list()} == {
        *("one/listed-1", "one/listed-2", "two/listed-1", "two/listed-2")
    }


def test_one_model_is_told(app: openai.OpenAI) -> None:
    assert app.models.retrieve("one/listed-2").owned_by == "one"
    with pytest.raises(openai.NotFoundError, match="'listed-9' is not served here"):
        app.models.retrieve("listed-9")


async def test_the_async_client(servers: tuple[ModelServer, ModelServer]) -> None:
    async with model_servers(*servers), async_openai_client(own(*servers)) as app:
        answer = await app.chat.completions.create(model="m", messages=SAID)  # type: ignore[call-overload]
        assert answer.choices[0].message.content == TEXT
        stream = await app.chat.completions.create(model="m", messages=SAID, stream=True)  # type: ignore[call-overload]
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == TEXT


def test_its_calls_are_in_the_usage_log(
    servers: tuple[ModelServer, ModelServer], running: Running, tmp_path: Path
) -> None:
    settings = read_settings(own(*servers) | {"usage_log": True}, environ={}, cwd=tmp_path, folder=tmp_path)
    with openai_client(settings) as app:
        app.chat.completions.create(model="m", messages=SAID)  # type: ignore[call-overload]
        app.chat.completions.create(model="m", messages=SAID, stream=True).close()  # type: ignore[call-overload]
    (total,) = totals(tmp_path / "usage.db", "model")
    assert (total.key, total.calls, total.failed) == ("m", 2, 0)


def test_without_the_official_client_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    for make in (openai_client, async_openai_client):
        with pytest.raises(MissingPackage, match=r"pip install 'mini-llm\[openai\]'"):
            make({})


def test_its_timeout_holds(
    app: openai.OpenAI, servers: tuple[ModelServer, ModelServer], running: Running
) -> None:
    servers[1].delay_s = 30
    with pytest.raises(openai.APITimeoutError):
        app.chat.completions.create(model="m", messages=SAID, timeout=0.2)  # type: ignore[call-overload]
    servers[1].delay_s, servers[1].words, servers[1].word_delay_s = 0, 2, 0.4
    stream = app.with_options(timeout=0.6).chat.completions.create(model="m", messages=SAID, stream=True)  # type: ignore[call-overload]
    assert len(list(stream)) == 3, "each piece has the whole time, as over HTTP"
    servers[1].word_delay_s = 30
    with pytest.raises(openai.APITimeoutError):
        app.chat.completions.create(model="m", messages=SAID, stream=True, timeout=0.2)  # type: ignore[call-overload]
    running.do(asyncio.wait_for(servers[1].hung_up.wait(), 5))
