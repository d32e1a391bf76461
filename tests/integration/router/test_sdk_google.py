"""The router as Google's own client sees it, in front of a provider that speaks OpenAI's chat."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from router_upstream import WORDS
from router_world import User, World

ANSWER = " ".join(WORDS)
COST_BASE = 11 * 1000 + len(WORDS) * 2000


_OPEN: list[genai.Client] = []
"""A client whose last reference goes is closed, even in the middle of a stream."""


def client(user: User, version: str | None = None) -> genai.Client:
    address = user.url.removesuffix("/v1")
    retry = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=address, retry_options=retry, api_version=version)
    _OPEN.append(genai.Client(api_key=user.api_key, http_options=options))
    return _OPEN[-1]


def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"sun in {city}"


def test_an_answer(world: World) -> None:
    user = world.user()
    answer = client(user).models.generate_content(
        model="plain",
        contents="an answer by google",
        config=types.GenerateContentConfig(
            system_instruction="Be brief.", temperature=0.5, seed=7, max_output_tokens=40
        ),
    )
    assert answer.text == ANSWER
    assert answer.usage_metadata is not None
    counted = answer.usage_metadata
    assert (counted.prompt_token_count, counted.candidates_token_count) == (11, len(WORDS))
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    (call,) = world.upstream.calls_of("an answer by google")
    assert call["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (call["temperature"], call["seed"], call["max_tokens"]) == (0.5, 7, 40)
    assert user.view().spent_base == COST_BASE


@pytest.mark.parametrize("version", [None, "v1beta"])
def test_a_stream(world: World, version: str | None) -> None:
    user = world.user()
    chunks = list(
        client(user, version).models.generate_content_stream(model="plain", contents="a stream by google")
    )
    assert "".join(chunk.text or "" for chunk in chunks).strip() == ANSWER
    counted = chunks[-1].usage_metadata
    assert counted is not None
    assert (counted.prompt_token_count, counted.candidates_token_count) == (11, len(WORDS))
    assert user.settled_view().spent_base == COST_BASE


async def test_an_asynchronous_stream(world: World) -> None:
    one = client(world.user()).aio
    stream = await one.models.generate_content_stream(model="plain", contents="async")
    assert "".join([chunk.text or "" async for chunk in stream]).strip() == ANSWER


@pytest.mark.parametrize("stream", [False, True])
def test_a_round_of_tools(world: World, stream: bool) -> None:
    one, user = types.AutomaticFunctionCallingConfig(disable=True), world.user()
    config = types.GenerateContentConfig(tools=[weather], automatic_function_calling=one)
    asked = types.Content(role="user", parts=[types.Part(text="weather?")])
    models = client(user).models
    if stream:
        *_, last = models.generate_content_stream(model="tools", contents=[asked], config=config)
    else:
        last = models.generate_content(model="tools", contents=[asked], config=config)
    calls = last.function_calls or []
    assert [(call.name, call.args) for call in calls] == [
        ("weather", {"city": "Bern"}),
        ("weather", {"city": "Chur"}),
    ]
    (function,) = world.upstream.calls[-1]["tools"]
    assert function["function"]["parameters"]["properties"]["city"]["type"] == "string"
    assert last.candidates is not None
    answers = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"t": 9}))
        for call in calls
    ]
    turns: Any = [asked, last.candidates[0].content, types.Content(role="user", parts=answers)]
    again = models.generate_content(model="plain", contents=turns, config=config)
    assert again.text == ANSWER
    sent = world.upstream.calls[-1]["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "tool"]
    assert [one["tool_call_id"] for one in sent[2:]] == ["call_0", "call_1"]


def test_a_schema_and_an_image(world: World) -> None:
    schema = types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)})
    picture = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
    answer = client(world.user()).models.generate_content(
        model="schema",
        contents=[picture, "where?"],
        config=types.GenerateContentConfig(response_mime_type="application/json", response_schema=schema),
    )
    assert answer.parsed == {"city": "Bern", "degrees": 9}
    sent = world.upstream.calls[-1]
    assert sent["response_format"]["json_schema"]["schema"]["properties"] == {"city": {"type": "string"}}
    assert sent["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64,iVBORw=="


def test_tokens_are_counted_without_a_call(world: World) -> None:
    user, before = world.user(), len(world.upstream.calls)
    counted = client(user).models.count_tokens(model="plain", contents="twenty words " * 10)
    assert counted.total_tokens is not None
    assert 20 <= counted.total_tokens <= 60
    assert len(world.upstream.calls) == before
    assert user.view().spent_base == 0


def test_embeddings(world: World) -> None:
    user = world.user()
    made = client(user).models.embed_content(
        model="vectors",
        contents=["one", "two"],
        config=types.EmbedContentConfig(output_dimensionality=2),
    )
    assert [one.values for one in made.embeddings or []] == [[0.5, -0.25], [0.5, -0.25]]
    assert world.upstream.embedded[-1]["input"] == ["one", "two"]
    assert world.upstream.embedded[-1]["dimensions"] == 2
    assert user.view().spent_base == 5 * 1000


def test_models(world: World) -> None:
    one = client(world.user())
    names = [model.name for model in one.models.list()]
    assert "models/plain" in names
    found = one.models.get(model="plain")
    assert (found.display_name, found.output_token_limit) == ("plain", 100)


@pytest.mark.parametrize(
    ("model", "code", "status", "kind"),
    [
        ("nobody-has-it", 404, "NOT_FOUND", errors.ClientError),
        ("http-400", 400, "INVALID_ARGUMENT", errors.ClientError),
        ("http-429", 503, "UNAVAILABLE", errors.ServerError),
        ("http-500", 502, "UNAVAILABLE", errors.ServerError),
    ],
)
def test_errors(world: World, model: str, code: int, status: str, kind: type[errors.APIError]) -> None:
    user = world.user()
    with pytest.raises(kind) as refused:
        client(user).models.generate_content(model=model, contents="x")
    assert (refused.value.code, refused.value.status) == (code, status)
    assert user.settled_view().spent_base == 0


def test_a_wrong_key_an_empty_purse_and_a_key_in_the_address(world: World) -> None:
    user = world.user()
    address = user.url.removesuffix("/v1")
    said = {"contents": [{"parts": [{"text": "x"}]}]}
    told = httpx.post(f"{address}/v1beta/models/plain:generateContent?key={user.api_key}", json=said)
    assert (told.status_code, told.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert "x-goog-api-key" in told.json()["error"]["message"]
    assert user.api_key not in world.router.log.read_text()
    user.api_key = "vk_wrong"
    with pytest.raises(errors.ClientError) as refused:
        client(user).models.generate_content(model="plain", contents="x")
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ClientError) as refused:
        client(world.user(deposit_base=0)).models.generate_content(model="plain", contents="x")
    assert refused.value.code == 402
    (detail,) = refused.value.details["error"]["details"]
    assert (detail["reason"], detail["metadata"]["available_base"]) == ("insufficient_funds", "0")


def test_a_stream_of_another_format_is_refused(world: World) -> None:
    user = world.user()
    address = user.url.removesuffix("/v1")
    said = {"contents": [{"parts": [{"text": "x"}]}]}
    told = httpx.post(
        f"{address}/v1beta/models/plain:streamGenerateContent",
        json=said,
        headers={"x-goog-api-key": user.api_key},
    )
    assert told.status_code == 400
    assert "alt=sse" in told.json()["error"]["message"]


def test_an_error_inside_a_stream(world: World) -> None:
    user = world.user()
    with pytest.raises(errors.ServerError) as broken:
        list(client(user).models.generate_content_stream(model="error-event", contents="x"))
    assert (broken.value.code, broken.value.status) == (502, "UNAVAILABLE")
    assert user.settled_view().spent_base == 0
