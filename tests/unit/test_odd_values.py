"""A value of the wrong kind, anywhere in a call or an answer, is refused or read: it is nobody's crash."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from mini_llm.errors import BadRequest, ProviderError
from mini_llm.price import Usage
from mini_llm.providers import anthropic_answer, google_answer, responses_answer
from mini_llm.providers.anthropic_request import messages_request
from mini_llm.providers.dialects import GROQ, MISTRAL, OPENAI
from mini_llm.providers.google_request import generate_request
from mini_llm.providers.responses_asked import as_response, is_for_responses
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.base import StreamReader
from mini_llm.surfaces.kept import on_shared_key

ODD: Final = (None, True, -1, 1.5, "x", [], [[]], ["x"], {}, {"type": []}, {"type": {}}, [{"text": None}])
FUNCTION: Final = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CALL: Final = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT_CALL: Final = {
    "model": "gpt-5.2",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]},
        {
            "role": "assistant",
            "content": "c",
            "tool_calls": [CALL],
            "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s", "index": 0}],
        },
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r"}]},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "stop": ["a"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning_effort": "low",
    "user": "u",
    "temperature": 1,
}
PLAIN_CALL: Final = {
    name: value
    for name, value in CHAT_CALL.items()
    if name in ("model", "tools", "response_format", "reasoning_effort")
} | {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [CALL]}]}
GEMINI_CALL: Final = {
    "model": "m",
    "contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}, "id": "1"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}, "id": "1"}}]},
    ],
    "systemInstruction": {"parts": [{"text": "s"}]},
    "generationConfig": {"responseModalities": ["TEXT"], "thinkingConfig": {"thinkingBudget": 3}},
}
CALLS: Final = {"chat": (CHAT_CALL, PLAIN_CALL), "gemini": (GEMINI_CALL,)}

MESSAGES_EVENTS: Final = [
    {"type": "message_start", "message": {"id": "i", "model": "m", "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "t"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "1", "name": "f"},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
]
RESPONSE: Final = {
    "id": "r",
    "created_at": 1,
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}],
    "usage": {"input_tokens": 1, "output_tokens": 2},
}
RESPONSES_EVENTS: Final = [
    {"type": "response.output_text.delta", "delta": "x"},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "name": "f"}},
    {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "x"},
    {"type": "response.completed", "response": RESPONSE},
]
GEMINI_ANSWER: Final = {
    "responseId": "r",
    "candidates": [
        {"index": 0, "finishReason": "STOP", "content": {"parts": [{"text": "a"}, {"text": "b"}]}}
    ],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
}
STREAMS: Final[dict[str, tuple[Callable[[], StreamReader], list[Any]]]] = {
    "anthropic": (lambda: anthropic_answer.MessagesAsChat("p"), MESSAGES_EVENTS),
    "google": (lambda: google_answer.GeminiAsChat("p"), [GEMINI_ANSWER]),
    "openai": (lambda: responses_answer.ResponsesAsChat("p"), RESPONSES_EVENTS),
}


def damaged(value: Any) -> Iterator[Any]:
    """The value with each value in it left out, or in its place one of another kind."""
    yield from ODD
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, inner in places:
        less = copy.copy(value)
        del less[place]
        yield less
        for other in damaged(inner):
            changed = copy.copy(value)
            changed[place] = other
            yield changed


@pytest.mark.parametrize("surface", CALLS)
def test_a_call_with_an_odd_value_is_refused_or_sent(surface: str) -> None:
    for whole in CALLS[surface]:
        for fields in damaged(whole):
            try:
                request = SURFACES[surface].parse(json.dumps(fields).encode())
                chat = SURFACES[surface].to_chat(request)
            except BadRequest:
                continue
            for dialect in (OPENAI, MISTRAL, GROQ):
                CHAT.upstream_body(chat, "up", 5, dialect)
            CHAT.counted_texts(chat)
            with suppress(BadRequest):
                on_shared_key(request)
            for translated in (messages_request, generate_request):
                for model in ("claude-sonnet-4-5", "gemini-2.5-pro", "other"):
                    with suppress(BadRequest):
                        translated(chat, model, 5000)
            if is_for_responses(chat, "gpt-5.2"):
                with suppress(BadRequest):
                    SURFACES["responses"].upstream_body(as_response(chat), "up", 5, OPENAI)


@pytest.mark.parametrize("company", STREAMS)
def test_a_stream_with_an_odd_value_is_refused_or_read(company: str) -> None:
    make, whole = STREAMS[company]
    request = SURFACES["messages"].parse(json.dumps(CHAT_CALL | {"tools": []}).encode())
    for events in damaged(whole):
        if isinstance(events, list):
            reader = make()
            raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
            translator = SURFACES["messages"].stream_from_chat(request)
            translator.take([*reader.feed(raw), *reader.end()])
            translator.end(Usage(1, 1))


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (google_answer.chat_completion, GEMINI_ANSWER),
        (responses_answer.chat_completion, RESPONSE),
        (
            anthropic_answer.chat_completion,
            {"content": [{"type": "tool_use", "id": "1", "input": {}}], "usage": {"input_tokens": 1}},
        ),
    ],
)
def test_an_answer_with_an_odd_value_is_refused_or_read(read: Callable[..., Any], whole: Any) -> None:
    for answer in damaged(whole):
        with suppress(ProviderError):
            read("p", json.dumps(answer).encode())
