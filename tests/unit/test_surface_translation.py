"""What each surface says as chat, and what chat answers become in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mini_llm.answer import StreamEvent
from mini_llm.errors import BadRequest
from mini_llm.price import Usage
from mini_llm.request import Need
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.base import Dialect
from mini_llm.surfaces.wording import json_events

PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
USAGE = Usage(20, 9, cached_tokens=4, cache_write_tokens=2, reasoning_tokens=3)
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
MESSAGE = {"role": "assistant", "content": "It is sunny.", "reasoning_content": "Hm.", "tool_calls": [CALL]}
ANSWER = {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}]}


def to_chat(surface: str, fields: dict[str, Any], model: str | None = None) -> dict[str, Any]:
    parsed = SURFACES[surface].parse(json.dumps(fields).encode(), model)
    return dict(SURFACES[surface].to_chat(parsed).fields)


def answered(surface: str, fields: dict[str, Any], answer: dict[str, Any] = ANSWER) -> dict[str, Any]:
    one = SURFACES[surface]
    body: dict[str, Any] = json.loads(one.from_chat(one.parse(json.dumps(fields).encode()), answer, USAGE))
    return body


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    body = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def tool_delta(index: int, arguments: str, call_id: str = "", name: str = "") -> dict[str, Any]:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if call_id:
        call |= {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [call]}


def streamed(surface: str, fields: dict[str, Any], raws: list[bytes]) -> list[dict[str, Any]]:
    one = SURFACES[surface]
    translator = one.stream_from_chat(one.parse(json.dumps(fields).encode()))
    out = translator.take([StreamEvent(raw) for raw in raws]) + translator.end(USAGE)
    return list(json_events(b"".join(event.raw for event in out) + one.stream_end()))


MESSAGES = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
RESPONSES = {"model": "m", "input": "hi"}
GEMINI = {"model": "m", "contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
SIMPLE = {"messages": MESSAGES, "responses": RESPONSES, "gemini": GEMINI}


def test_a_conversation_with_tools_in_anthropics_words() -> None:
    chat = to_chat(
        "messages",
        {
            "model": "m",
            "max_tokens": 50,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "weather?"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "…", "signature": "s"},
                        {"type": "text", "text": "Let me look."},
                        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Bern"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "is_error": True,
                            "content": [
                                {"type": "text", "text": "no data"},
                                {
                                    "type": "image",
                                    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                                },
                            ],
                        },
                        {"type": "text", "text": "and now?"},
                    ],
                },
            ],
            "tools": [{"name": "weather", "description": "d", "input_schema": SCHEMA}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            "stop_sequences": ["END"],
            "top_k": 5,
            "thinking": {"type": "enabled", "budget_tokens": 5000},
            "metadata": {"user_id": "u"},
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        },
    )
    assert chat == {
        "model": "m",
        "max_tokens": 50,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "weather?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "reasoning_content": "…",
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Bern"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "Error: no data"},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    {"type": "text", "text": "and now?"},
                ],
            },
        ],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "top_k": 5,
        "reasoning_effort": "medium",
        "user": "u",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }


def test_thoughts_in_parts_as_mistral_tells_them() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "a"},
    ]
    answer = {"choices": [{"index": 0, "message": {"content": parts}, "finish_reason": "stop"}]}
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    message = answered("messages", MESSAGES | thinking, answer)
    assert [block.get("thinking") or block["text"] for block in message["content"]] == ["Hm.", "a"]
    response = answered("responses", SIMPLE["responses"], answer)
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]


def test_documents_become_files_and_text() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    blocks = [
        {"type": "document", "title": "a.pdf", "source": pdf},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}},
    ]
    (message,) = to_chat("messages", MESSAGES | {"messages": [{"role": "user", "content": blocks}]})[
        "messages"
    ]
    assert message["content"] == [
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        },
        {"type": "text", "text": "plain"},
        {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
    ]


def test_a_conversation_with_tools_in_the_words_of_responses() -> None:
    chat = to_chat(
        "responses",
        {
            "model": "m",
            "instructions": "Be brief.",
            "input": [
                {"role": "developer", "content": "Swiss only."},
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "weather?"},
                        {"type": "input_image", "image_url": "https://example.org/x.png", "detail": "low"},
                    ],
                },
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "sun"},
                {
                    "type": "function_call_output",
                    "call_id": "c2",
                    "output": [{"type": "input_text", "text": "rain"}],
                },
            ],
            "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}],
            "tool_choice": {"type": "function", "name": "weather"},
            "text": {"format": {"type": "json_schema", "name": "w", "schema": SCHEMA, "strict": True}},
            "reasoning": {"effort": "low", "summary": "auto"},
            "max_output_tokens": 9,
            "parallel_tool_calls": False,
            "store": False,
            "metadata": {"a": "b"},
            "top_logprobs": 2,
        },
    )
    call = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
    image = {"url": "https://example.org/x.png", "detail": "low"}
    function = {"name": "weather", "parameters": SCHEMA, "strict": True}
    assert chat == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Swiss only."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "weather?"},
                    {"type": "image_url", "image_url": image},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", **call}, {"id": "c2", **call}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "tool", "tool_call_id": "c2", "content": "rain"},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "w", "schema": SCHEMA, "strict": True},
        },
        "reasoning_effort": "low",
        "max_completion_tokens": 9,
        "parallel_tool_calls": False,
        "logprobs": True,
        "top_logprobs": 2,
    }


def test_a_conversation_with_tools_in_googles_words() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING", "nullable": True}},
        "property_ordering": ["city"],
    }
    chat = to_chat(
        "gemini",
        {
            "system_instruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "weather?"},
                        {"inline_data": {"mime_type": "image/png", "data": PNG}},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"text": "thinking", "thought": True},
                        {"functionCall": {"name": "weather", "args": {"city": "Bern"}}},
                    ],
                },
                {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"t": 9}}}]},
            ],
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "weather", "parameters": schema},
                        {"name": "other"},
                    ]
                }
            ],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            "generationConfig": {
                "maxOutputTokens": 9,
                "candidateCount": 2,
                "top_k": 3,
                "responseMimeType": "application/json",
                "responseSchema": schema,
                "thinkingConfig": {"thinkingBudget": 20000},
            },
            "safetySettings": [],
        },
        "models/m",
    )
    city = {"type": "object", "properties": {"city": {"type": ["string", "null"]}}}
    function = {"name": "weather", "arguments": '{"city":"Bern"}'}
    assert chat == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "weather?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "thinking",
                "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "call_0", "content": '{"t":9}'},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": city}}],
        "tool_choice": "required",
        "max_tokens": 9,
        "n": 2,
        "top_k": 3,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": city}},
        "reasoning_effort": "high",
    }


@pytest.mark.parametrize(
    ("surface", "fields", "hosted"),
    [
        ("chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}, False),
        ("chat", {"service_tier": "flex", "plugins": None, "provider": {}, "models": []}, False),
        ("chat", {"tools": [{"type": "openrouter:web_search"}]}, True),
        ("chat", {"web_search_options": {}}, True),
        ("chat", {"enable_search": True}, True),
        ("chat", {"deferred": True}, True),
        ("chat", {"deferred": False, "enable_search": False}, False),
        ("chat", {"service_tier": "priority"}, True),
        ("chat", {"service_tier": "on_demand"}, False),
        *(
            (surface, asked, True)
            for surface in ("chat", "responses", "messages", "embeddings")
            for asked in (
                {"models": ["dearer"]},
                {"provider": {"only": ["dearer"]}},
                {"plugins": [{"id": "web"}]},
                {"providerOptions": {"gateway": {"models": ["dearer"]}}},
                {"fallbacks": ["dearer"]},
            )
        ),
        ("embeddings", {"provider": None}, False),
        ("responses", {"tools": [{"type": "function", "name": "f"}, {"type": "custom"}]}, False),
        ("responses", {"background": False, "service_tier": None}, False),
        ("responses", {"tools": [{"type": "namespace", "name": "n", "tools": []}]}, False),
        ("responses", {"tools": [{"type": "local_shell"}, {"type": "apply_patch"}]}, False),
        ("responses", {"tools": [{"type": "tool_search", "execution": "client"}]}, False),
        ("responses", {"tools": [{"type": "tool_search"}]}, True),
        ("responses", {"tools": [{"type": "shell", "environment": {"type": "local"}}]}, False),
        ("responses", {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, True),
        ("responses", {"tools": [{"type": "code_interpreter"}]}, True),
        ("responses", {"background": True}, True),
        ("messages", {"tools": [{"name": "f"}, {"type": "bash_20250124", "name": "bash"}]}, False),
        ("messages", {"tools": [{"type": "browser_toolset_20260801"}]}, False),
        ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, True),
        ("messages", {"mcp_servers": [{"type": "url"}]}, True),
        ("messages", {"service_tier": {"unknown": 1}}, True),
        ("messages", {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, False),
        ("messages", {"context_management": {"edits": [{"type": "compact_20260112"}]}}, True),
        ("messages", {"context_management": {"edits": [7]}}, False),
        ("messages", {"compaction": {"type": "summarize"}}, True),
        ("gemini", {"tools": [{"function_declarations": []}]}, False),
        ("gemini", {"tools": [{"google_search": {}}]}, True),
        ("gemini", {"service_tier": "PRIORITY"}, True),
    ],
)
def test_what_is_billed_beside_tokens_is_a_need(surface: str, fields: dict[str, Any], hosted: bool) -> None:
    talk: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "input": "x", "max_tokens": 9}
    talk["contents"] = [{"role": "user", "parts": [{"text": "x"}]}]
    body = json.dumps({"model": "m"} | talk | fields).encode()
    assert (Need.HOSTED in SURFACES[surface].parse(body).needs) is hosted


@pytest.mark.parametrize(
    ("surface", "fields", "param"),
    [
        ("messages", {"container": {"id": "x"}}, "container"),
        ("messages", {"never_heard_of": 1}, "never_heard_of"),
        ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
            "messages.0.content.0",
        ),
        ("responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("responses", {"store": True}, "store"),
        ("responses", {"background": True}, "background"),
        ("responses", {"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ("responses", {"input": [{"type": "item_reference", "id": "x"}]}, "input.0.type"),
        ("responses", {"include": 5}, "include"),
        ("responses", {"include": ["file_search_call.results"]}, "include"),
        ("gemini", {"cachedContent": "cachedContents/1"}, "cachedContent"),
        ("gemini", {"tools": [{"googleSearch": {}}]}, "tools.0.googleSearch"),
        (
            "gemini",
            {"generationConfig": {"responseModalities": ["AUDIO"]}},
            "generationConfig.responseModalities",
        ),
    ],
)
def test_what_chat_cannot_say_is_refused_by_name(surface: str, fields: dict[str, Any], param: str) -> None:
    one = SURFACES[surface]
    request = one.parse(json.dumps(SIMPLE[surface] | fields).encode())  # taken by a provider that speaks it
    with pytest.raises(BadRequest) as refused:
        one.to_chat(request)
    assert refused.value.param == param
    assert param.split(".")[-1] in refused.value.message or "only with a provider" in refused.value.message


@pytest.mark.parametrize("surface", ["messages", "responses", "gemini"])
def test_a_provider_of_the_surface_gets_the_call_as_it_came(surface: str) -> None:
    fields = SIMPLE[surface] | {"x_unknown": {"a": [1, "é"]}, "store": True}
    one = SURFACES[surface]
    sent = json.loads(one.upstream_body(one.parse(json.dumps(fields).encode()), "their-name", 7, Dialect()))
    cap = {
        "messages": {"max_tokens": 7, "model": "their-name"},
        "responses": {"max_output_tokens": 7, "model": "their-name"},
        "gemini": {"generationConfig": {"maxOutputTokens": 7}},
    }
    expected = {name: value for name, value in fields.items() if surface != "gemini" or name != "model"}
    # Google's names are told apart by case only where it takes both
    assert {name.replace("xUnknown", "x_unknown"): value for name, value in sent.items()} == expected | cap[
        surface
    ]


@pytest.mark.parametrize("own", [True, False])
def test_codex_tells_about_itself_to_openai_only(own: bool) -> None:
    told = {"client_metadata": {"x-codex-installation-id": "i"}, "access_programs": {"cyber": "standard"}}
    one = SURFACES["responses"]
    request = one.parse(json.dumps(SIMPLE["responses"] | told).encode())
    sent = json.loads(one.upstream_body(request, "m", None, Dialect(openai=own)))
    assert (told.keys() <= sent.keys()) is own
    assert own or not told.keys() & sent.keys()
    assert not told.keys() & one.to_chat(request).fields.keys()


def test_thoughts_of_other_providers_do_not_go_to_anthropic() -> None:
    thoughts = [{"type": "thinking", "thinking": "a", "signature": name} for name in ("", "real")]
    messages = [*MESSAGES["messages"], {"role": "assistant", "content": thoughts}]  # type: ignore[misc]
    one = SURFACES["messages"]
    request = one.parse(json.dumps(MESSAGES | {"messages": messages}).encode())
    sent = json.loads(one.upstream_body(request, "m", None, Dialect()))
    assert sent["messages"][1]["content"] == [thoughts[1]]


def test_an_answer_in_anthropics_words() -> None:
    message = answered("messages", MESSAGES | {"thinking": {"type": "adaptive"}})
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "It is sunny."},
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Bern"}},
    ]
    assert (message["stop_reason"], message["role"], message["type"]) == ("tool_use", "assistant", "message")
    assert message["usage"] == {
        "input_tokens": 14,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 2,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    assert answered("messages", MESSAGES)["content"][0]["type"] == "text"  # thoughts only when asked for


def test_an_answer_in_the_words_of_responses() -> None:
    response = answered("responses", RESPONSES | {"metadata": {"a": "b"}})
    reasoning, message, call = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert message["content"][0]["text"] == "It is sunny."
    assert (call["call_id"], call["name"], call["arguments"]) == ("c1", "weather", '{"city":"Bern"}')
    assert (response["status"], response["metadata"]) == ("completed", {"a": "b"})
    assert response["usage"]["input_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 2}
    cut = {"choices": [{"message": {"content": "It"}, "finish_reason": "length"}]}
    assert answered("responses", RESPONSES, cut)["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_answer_in_googles_words() -> None:
    answer = answered("gemini", GEMINI)
    (candidate,) = answer["candidates"]
    assert candidate["content"]["parts"] == [
        {"text": "It is sunny."},
        {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Bern"}}},
    ]
    assert candidate["finishReason"] == "STOP"
    assert answer["usageMetadata"] == {
        "promptTokenCount": 20,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4,
        "totalTokenCount": 29,
    }


def test_calls_whose_pieces_come_in_turns_stay_apart() -> None:
    raws = [
        chunk({"role": "assistant", "content": "Let "}) + chunk({"content": "me."}),
        chunk(tool_delta(0, '{"a"', "c1", "f")),
        chunk(tool_delta(1, '{"b"', "c2", "g")),
        chunk(tool_delta(0, ":1}")),
        chunk(tool_delta(1, ":2}")),
        chunk({}, "tool_calls"),
    ]
    events = streamed("messages", MESSAGES, raws)
    arguments: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_delta" and "partial_json" in event["delta"]:
            arguments[event["index"]] = arguments.get(event["index"], "") + event["delta"]["partial_json"]
    assert arguments == {1: '{"a":1}', 2: '{"b":2}'}
    assert events[-1] == {"type": "message_stop"}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    response = streamed("responses", RESPONSES, raws)[-1]["response"]
    assert [item.get("arguments") for item in response["output"]] == [None, '{"a":1}', '{"b":2}']
    (last,) = streamed("gemini", GEMINI, raws)[-1]["candidates"]
    assert [part["functionCall"]["args"] for part in last["content"]["parts"]] == [{"a": 1}, {"b": 2}]


def test_two_calls_with_one_number_are_two_calls() -> None:
    raws = [chunk(tool_delta(0, "{}", "c1", "f")), chunk(tool_delta(0, "{}", "c2", "g")), chunk({}, "stop")]
    response = streamed("responses", RESPONSES, raws)[-1]["response"]
    assert [item["call_id"] for item in response["output"]] == ["c1", "c2"]
    starts = [event for event in streamed("messages", MESSAGES, raws) if "content_block" in event]
    assert [event["content_block"]["id"] for event in starts] == ["c1", "c2"]


def test_embeddings_are_not_chat() -> None:
    one = SURFACES["embeddings"]
    request = one.parse(b'{"model": "m", "input": ["a b", [1, 2, 3]], "encoding_format": "base64"}')
    assert (request.parts, request.output_cap, request.needs) == (2, None, {"embeddings"})
    assert json.loads(one.upstream_body(request, "up", 5, Dialect()))["encoding_format"] == "base64"
    with pytest.raises(BadRequest):
        one.to_chat(request)
    done = one.read_answer("p", b'{"data": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}}')
    assert done.usage == Usage(7, 0)


def test_chat_is_its_own_translation() -> None:
    request = CHAT.parse(b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "logprobs": true}')
    assert CHAT.to_chat(request) is request
