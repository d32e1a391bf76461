"""Conversations that other providers had, as Anthropic and Google are told of them; their stand-ins judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from support.companies import anthropic_api, gemini_api

from mini_llm.errors import BadRequest
from mini_llm.providers.anthropic_answer import MessagesAsChat
from mini_llm.providers.anthropic_request import messages_request
from mini_llm.providers.google_request import generate_request
from mini_llm.request import Request
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.base import Dialect
from mini_llm.surfaces.turns import in_dialect
from mini_llm.surfaces.wording import json_events

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def chat(messages: list[dict[str, Any]], **fields: Any) -> Request:
    return CHAT.parse(json.dumps({"model": "m", "messages": messages} | fields).encode())


def to_anthropic(request: Request, model: str = "claude-sonnet-4-5") -> dict[str, Any]:
    body = messages_request(request, model, 9000)
    assert anthropic_api.complaint_of(body) == ""
    return body


def to_google(request: Request) -> dict[str, Any]:
    body = generate_request(request, "gemini-3-flash", None)
    assert gemini_api.complaint_of(body["contents"]) == ""
    return body


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def result(call_id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def calling(*calls: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)} | members


@pytest.mark.parametrize("empty", ["", None, " \n", [{"type": "text", "text": ""}]])
def test_a_tool_that_says_nothing(empty: Any) -> None:
    request = chat([USER, calling(call("a")), result("a", empty)], tools=[TOOL])
    *_, answered = to_anthropic(request)["messages"]
    assert answered["content"] == [{"type": "tool_result", "tool_use_id": "a"}]
    to_google(request)


def test_empty_messages_are_passed_over() -> None:
    nothing = {"role": "assistant", "content": ""}
    unsigned = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    request = chat(
        [USER, nothing, nothing | {"thinking_blocks": [unsigned]}, {"role": "user", "content": ""}, USER]
    )
    said = {"type": "text", "text": "hi"}
    assert to_anthropic(request)["messages"] == [{"role": "user", "content": [said, said]}]
    assert to_google(request)["contents"] == [{"role": "user", "parts": [{"text": "hi"}, {"text": "hi"}]}]


@pytest.mark.parametrize("make", [to_anthropic, to_google])
def test_who_says_nothing_is_told_so(make: Callable[[Request], dict[str, Any]]) -> None:
    with pytest.raises(BadRequest) as refused:
        make(chat([{"role": "user", "content": ""}]))
    assert refused.value.param == "messages"


def test_a_system_text_alone_is_what_the_user_says() -> None:
    request = chat([{"role": "system", "content": "Say hello."}])
    body = to_anthropic(request)
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
    assert "system" not in body
    body = to_google(request)
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Say hello."}]}]
    assert "systemInstruction" not in body


def test_a_refusal_is_said_again() -> None:
    request = chat([USER, {"role": "assistant", "content": None, "refusal": "I cannot."}, USER])
    assert to_anthropic(request)["messages"][1]["content"] == [{"type": "text", "text": "I cannot."}]
    assert to_google(request)["contents"][1]["parts"] == [{"text": "I cannot."}]


def test_a_tool_is_forced_without_thinking() -> None:
    for model in ("claude-opus-4-6", "claude-opus-5", "claude-sonnet-4-5"):
        request = chat([USER], tools=[TOOL], tool_choice="required", reasoning_effort="high")
        body = to_anthropic(request, model)
        assert (body["tool_choice"]["type"], "thinking" in body) == ("any", False)
        free = chat([USER], tools=[TOOL], reasoning_effort="high")
        assert "thinking" in to_anthropic(free, model)


def test_models_that_do_not_think_are_not_asked_to() -> None:
    body = to_anthropic(chat([USER], reasoning_effort="high", temperature=1.5), "claude-3-haiku-20240307")
    assert not {"thinking", "output_config"} & body.keys()
    assert body["temperature"] == 1
    assert "thinking" in to_anthropic(chat([USER], reasoning_effort="high"), "claude-3-7-sonnet-20250219")


@pytest.mark.parametrize("make", [to_anthropic, to_google])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": [{"name": "f"}], "function_call": {"name": "f"}}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        (
            {"messages": [USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]},
            "messages.1.function_call",
        ),
    ],
)
def test_older_functions_are_refused_by_name(
    make: Callable[[Request], dict[str, Any]], fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        make(chat([USER])._replace(fields={"model": "m", "messages": [USER]} | fields))
    assert refused.value.param == param


def test_log_probabilities_are_refused_by_name_where_google_translates() -> None:
    with pytest.raises(BadRequest) as refused:
        to_google(chat([USER], logprobs=True))
    assert refused.value.param == "logprobs"
    to_google(chat([USER], logprobs=False))


def test_results_of_one_function_stand_in_the_order_of_its_calls() -> None:
    calls = calling(call("a", '{"city": "Bern"}'), call("b", '{"city": "Chur"}'))
    messages = [USER, calls, result("b", "Chur!"), result("a", "Bern!")]
    *_, asked, answered = to_google(chat([*messages, *messages], tools=[TOOL]))["contents"]
    assert [part["functionCall"]["args"]["city"] for part in asked["parts"]] == ["Bern", "Chur"]
    assert [part["functionResponse"]["response"]["result"] for part in answered["parts"]] == [
        "Bern!",
        "Chur!",
    ]


def test_ids_of_other_providers_become_ids_that_anthropic_takes() -> None:
    odd = ["functions.f:0", "functions_f:0", "call_1"]
    request = chat([USER, calling(*map(call, odd)), *(result(one, "x") for one in odd)], tools=[TOOL])
    _, asked, answered = to_anthropic(request)["messages"]
    ids = [block["id"] for block in asked["content"]]
    assert ids == [block["tool_use_id"] for block in answered["content"]]
    assert len(set(ids)) == 3
    assert ids[2] == "call_1"


def test_ids_that_mistral_made_stay() -> None:
    messages = [USER, calling(call("aB3dE6gH9")), result("aB3dE6gH9", "x")]
    assert in_dialect(messages, Dialect(short_ids=True)) == messages


def test_a_messages_history_of_another_provider_goes_to_anthropic() -> None:
    unsigned = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    asked = {
        "role": "assistant",
        "content": [unsigned, {"type": "tool_use", "id": "functions.f:0", "name": "f"}],
    }
    answered = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "functions.f:0", "content": "x"}],
    }
    fields = {
        "model": "m",
        "max_tokens": 9,
        "messages": [USER, {"role": "assistant", "content": [unsigned]}, USER],
    }
    fields["messages"] += [asked, answered]
    one = SURFACES["messages"]
    body = json.loads(one.upstream_body(one.parse(json.dumps(fields).encode()), "m", None, Dialect()))
    assert anthropic_api.complaint_of(body) == ""
    assert [turn["role"] for turn in body["messages"]] == ["user", "user", "assistant", "user"]
    (used,), (told,) = body["messages"][2]["content"], body["messages"][3]["content"]
    assert used["id"] == told["tool_use_id"]


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("claude-sonnet-4-20250514", {"temperature": 1, "top_p": 0.5}),
        ("claude-opus-4-1", {"temperature": 1}),
        ("claude-sonnet-4-5", {"temperature": 1}),
        ("claude-opus-5", {}),
        ("deepseek-v4-pro", {"temperature": 1, "top_p": 0.5}),
    ],
)
def test_sampling_as_a_model_takes_it(model: str, taken: dict[str, float]) -> None:
    for asked in ({"temperature": 1.5, "top_p": 0.5}, {"top_p": 0.5}, {}):
        body = to_anthropic(chat([USER], **asked), model)
        told = {name: body[name] for name in ("temperature", "top_p") if name in body}
        wanted = taken if "temperature" in asked else asked if taken else {}
        assert told == wanted


def test_an_answer_that_anthropic_shall_go_on_with() -> None:
    for text in ("Well, \n", "Well,"):
        *_, begun = to_anthropic(chat([USER, {"role": "assistant", "content": text}]))["messages"]
        assert begun == {"role": "assistant", "content": [{"type": "text", "text": "Well,"}]}


def test_thoughts_that_mistral_told() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    request = chat([USER, {"role": "assistant", "content": [thought, {"type": "text", "text": "a"}]}, USER])
    assert to_anthropic(request)["messages"][1]["content"] == [{"type": "text", "text": "a"}]
    assert to_google(request)["contents"][1]["parts"] == [{"text": "a"}]


@pytest.mark.parametrize(("model", "least"), [("gemini-2.5-pro", 128), ("gemini-2.5-flash", 0)])
def test_a_gemini_that_cannot_be_told_not_to_think(model: str, least: int) -> None:
    config = generate_request(chat([USER], reasoning_effort="none"), model, None)["generationConfig"]
    assert config["thinkingConfig"] == {"includeThoughts": False, "thinkingBudget": least}


def test_the_name_of_a_jpeg() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/"}}
    request = chat([{"role": "user", "content": [image]}])
    assert to_anthropic(request)["messages"][0]["content"][0]["source"]["media_type"] == "image/jpeg"
    assert to_google(request)["contents"][0]["parts"][0]["inlineData"]["mimeType"] == "image/jpeg"


def test_the_most_that_claude_can_think() -> None:
    asked = chat([USER], reasoning_effort="max")
    assert messages_request(asked, "claude-sonnet-4-5", 64_000)["thinking"]["budget_tokens"] == 32_768


def test_openais_client_puts_several_thoughts_together_and_sends_them_back() -> None:
    thoughts = [
        {"type": "redacted_thinking", "data": "eHg="},
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    ]
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "model": "c"}}]
    for index, thought in enumerate(thoughts):
        events.append({"type": "content_block_start", "index": index, "content_block": thought})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}})
    raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    state = ChatCompletionStreamState()
    for chunk in json_events(b"".join(event.raw for event in MessagesAsChat("p").feed(raw))):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    answered = state.get_final_completion().choices[0].message.to_dict()
    sent = to_anthropic(chat([USER, answered | {"content": "a"}, USER]))["messages"][1]["content"]
    assert sent == [*thoughts, {"type": "text", "text": "a"}]


@pytest.mark.parametrize("pieces", [[], [""], ["", '{"a"', ": 1}"]])
def test_arguments_that_stand_at_the_start_of_a_call(pieces: list[str]) -> None:
    start = {"type": "tool_use", "id": "t", "name": "f", "input": {} if len(pieces) > 1 else {"a": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": one},
            }
            for one in pieces
        ),
        {"type": "content_block_stop", "index": 0},
    ]
    raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    chunks = json_events(b"".join(event.raw for event in MessagesAsChat("p").feed(raw)))
    calls = [one for chunk in chunks for one in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert json.loads("".join(one["function"]["arguments"] for one in calls)) == {"a": 1}
