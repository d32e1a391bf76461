"""The router as Anthropic's own client sees it, in front of a provider that speaks OpenAI's chat."""

from __future__ import annotations

import base64
import json
from typing import Any

import anthropic
import pytest
from anthropic.types import ToolUseBlock
from router_upstream import WORDS
from router_world import User, World

from router.receipts import CHARGE_HEADER

ANSWER = " ".join(WORDS)
WEATHER: Any = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def client(user: User) -> anthropic.Anthropic:
    address = user.url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=address, api_key=user.api_key, max_retries=0)


def ask(user: User, content: Any = "hi", model: str = "plain", **fields: Any) -> Any:
    said: Any = [{"role": "user", "content": content}]
    return client(user).messages.create(model=model, max_tokens=50, messages=said, **fields)


def test_a_message(world: World) -> None:
    user = world.user()
    message = ask(user, "a message by anthropic", system="Be brief.", extra_body={"temperature": 0.5})
    assert [block.text for block in message.content] == [ANSWER]
    assert (message.role, message.stop_reason, message.model) == ("assistant", "end_turn", "plain")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, len(WORDS))
    (call,) = world.upstream.calls_of("a message by anthropic")
    assert call["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (call["max_tokens"], call["temperature"]) == (50, 0.5)
    assert user.view().spent_base == 11 * 1000 + len(WORDS) * 2000


def test_a_message_cut_at_its_limit(world: World) -> None:
    message = client(world.user()).messages.create(
        model="plain", max_tokens=3, messages=[{"role": "user", "content": "cut"}]
    )
    assert message.content[0].text == " ".join(WORDS[:3])  # type: ignore[union-attr]


def test_a_stream(world: World) -> None:
    user = world.user()
    said: Any = [{"role": "user", "content": "a stream by anthropic"}]
    with client(user).messages.stream(model="plain", max_tokens=50, messages=said) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text.strip() == ANSWER
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, len(WORDS))
    assert user.settled_view().spent_base == 11 * 1000 + len(WORDS) * 2000


async def test_an_asynchronous_stream(world: World) -> None:
    user = world.user()
    said: Any = [{"role": "user", "content": "async"}]
    one = anthropic.AsyncAnthropic(base_url=user.url.removesuffix("/v1"), api_key=user.api_key, max_retries=0)
    async with one, one.messages.stream(model="plain", max_tokens=50, messages=said) as stream:
        kinds = [event.type async for event in stream]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


@pytest.mark.parametrize("stream", [False, True])
def test_a_round_of_tools(world: World, stream: bool) -> None:
    user = world.user()
    question: Any = {"role": "user", "content": "weather?"}
    asked: Any = {"model": "tools", "max_tokens": 50, "tools": [WEATHER], "tool_choice": {"type": "any"}}
    if stream:
        with client(user).messages.stream(**asked, messages=[question]) as live:
            message: Any = live.get_final_message()
    else:
        message = client(user).messages.create(**asked, messages=[question])
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    assert [(call.name, call.input) for call in calls] == [
        ("weather", {"city": "Bern"}),
        ("weather", {"city": "Chur"}),
    ]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sun"} for call in calls]
    said: Any = [
        question,
        {"role": "assistant", "content": [block.to_dict() for block in message.content]},
        {"role": "user", "content": results},
    ]
    ask_again = client(user).messages.create(model="plain", max_tokens=50, messages=said, tools=[WEATHER])
    assert ask_again.content[0].text == ANSWER  # type: ignore[union-attr]
    sent = world.upstream.calls[-1]["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "tool"]
    assert [one["tool_call_id"] for one in sent[2:]] == [call["id"] for call in sent[1]["tool_calls"]]


def test_images_and_thoughts(world: World) -> None:
    picture = base64.b64encode(b"\x89PNG").decode()
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]
    message = ask(world.user(), content, "thinks", thinking={"type": "enabled", "budget_tokens": 20_000})
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == "Let me see."
    sent = world.upstream.calls[-1]
    assert sent["reasoning_effort"] == "high"
    assert sent["messages"][0]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{picture}"


def test_tokens_are_counted_without_a_call(world: World) -> None:
    user, before = world.user(), len(world.upstream.calls)
    said: Any = [{"role": "user", "content": "twenty words " * 10}]
    raw = client(user).messages.with_raw_response.count_tokens(model="plain", messages=said)
    assert 20 <= raw.parse().input_tokens <= 60
    assert raw.headers["x-vibes-estimated"] == "true"
    assert len(world.upstream.calls) == before
    assert user.view().spent_base == 0


def test_models(world: World) -> None:
    models = {model.id: model for model in client(world.user()).models.list(limit=1000)}
    assert models["plain"].type == "model"
    assert client(world.user()).models.retrieve("plain").display_name == "plain"


@pytest.mark.parametrize(
    ("model", "fields", "kind", "word"),
    [
        ("nobody-has-it", {}, anthropic.NotFoundError, "not_found_error"),
        ("http-429", {}, anthropic.InternalServerError, "overloaded_error"),
        ("http-500", {}, anthropic.InternalServerError, "api_error"),
        ("http-400", {}, anthropic.BadRequestError, "invalid_request_error"),
        ("plain", {"container": "c"}, anthropic.BadRequestError, "invalid_request_error"),
        ("plain", {"stop_sequences": ["x"], "tools": 5}, anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_errors(
    world: World, model: str, fields: dict[str, Any], kind: type[anthropic.APIStatusError], word: str
) -> None:
    user = world.user()
    with pytest.raises(kind) as refused:
        ask(user, "x", model, extra_body=fields)
    body: Any = refused.value.body
    assert (body["type"], body["error"]["type"]) == ("error", word)
    assert user.settled_view().spent_base == 0


def test_a_wrong_key_and_an_empty_purse(world: World) -> None:
    user = world.user()
    user.api_key = "vk_wrong"
    with pytest.raises(anthropic.AuthenticationError):
        ask(user)
    with pytest.raises(anthropic.APIStatusError) as refused:
        ask(world.user(deposit_base=0))
    body: Any = refused.value.body
    assert (refused.value.status_code, body["error"]["type"]) == (402, "billing_error")
    assert body["error"]["available_base"] == "0"


def test_an_error_inside_a_stream(world: World) -> None:
    user = world.user()
    said: Any = [{"role": "user", "content": "breaks for anthropic"}]
    with (
        client(user).messages.stream(model="error-event", max_tokens=50, messages=said) as stream,
        pytest.raises(anthropic.APIStatusError) as broken,
    ):
        list(stream)
    assert broken.value.body["error"]["code"] == "upstream_error"  # type: ignore[index]
    assert "10.0.0.7" not in json.dumps(broken.value.body)
    assert user.settled_view().spent_base == 0


def test_the_charge_is_in_a_header(world: World) -> None:
    said: Any = [{"role": "user", "content": "hi"}]
    raw = client(world.user()).messages.with_raw_response.create(model="plain", max_tokens=50, messages=said)
    assert int(raw.headers[CHARGE_HEADER]) == 11 * 1000 + len(WORDS) * 2000
