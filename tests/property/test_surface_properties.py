"""Whatever arrives is refused or becomes a request, and every stream that is made is well-formed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mini_llm.answer import StreamEvent
from mini_llm.errors import BadRequest, UpstreamProtocolError
from mini_llm.price import Usage
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.base import Dialect
from mini_llm.surfaces.wording import json_events

TRANSLATED = ("messages", "responses", "gemini")
BODIES: dict[str, dict[str, Any]] = {
    "messages": {
        "model": "m",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "n", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "t"}]},
                    {"type": "document", "source": {"type": "content", "content": []}, "title": "t"},
                ],
            },
        ],
        "tools": [{"name": "n", "input_schema": {}}],
        "tool_choice": {"type": "tool", "name": "n"},
        "thinking": {"type": "enabled", "budget_tokens": 9},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
        "metadata": {"user_id": "u"},
    },
    "responses": {
        "model": "m",
        "instructions": "i",
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": "u"}]},
            {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": ""}]},
        ],
        "tools": [{"type": "function", "name": "n", "parameters": {}}],
        "tool_choice": {"type": "function", "name": "n"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
        "reasoning": {"effort": "low"},
        "include": ["message.output_text.logprobs"],
    },
    "gemini": {
        "model": "m",
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [
            {"role": "user", "parts": [{"inlineData": {"mimeType": "text/plain", "data": "aGk="}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "n", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "n", "response": {}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "n", "parameters": {"type": "OBJECT"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["n"]}},
        "generationConfig": {"responseSchema": {"items": {}}, "thinkingConfig": {"thinkingLevel": "LOW"}},
    },
    "embeddings": {"model": "m", "input": ["a", [1, 2]], "dimensions": 3},
}
WORDS = st.sampled_from(
    ["type", "text", "role", "user", "assistant", "content", "parts", "id", "index", "tool_calls", "source"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**33) | st.floats(allow_nan=False) | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(), inner, max_size=3),
    max_leaves=8,
)
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, item in inner for place in _places(item, (*path, name)))]


@st.composite
def damaged(draw: st.DrawFn, whole: dict[str, Any]) -> bytes:
    """A valid body with up to three values in it replaced, or fields added."""
    body: Any = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_places(body)))
        if not path:
            body = copy.deepcopy(whole) | draw(st.dictionaries(WORDS, VALUES, max_size=2))
            continue
        target = body
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = draw(VALUES)
    return json.dumps(body).encode()


@pytest.mark.parametrize("surface", BODIES)
@given(data=st.data())
@MANY
def test_any_body_is_refused_or_becomes_a_request(surface: str, data: st.DataObject) -> None:
    one = SURFACES[surface]
    body = data.draw(damaged(BODIES[surface]) | VALUES.map(lambda value: json.dumps(value).encode()))
    try:
        request = one.parse(body)
    except BadRequest:
        return
    one.upstream_body(request, "up", 5, Dialect())
    texts = one.counted_texts(request)
    assert all(isinstance(text, str) for text in texts)
    assert sum(len(text.encode()) for text in texts) <= request.size_bytes  # which the reservation goes by
    try:
        chat = one.to_chat(request)
    except BadRequest:
        return
    assert (chat.surface, chat.model, chat.stream) == ("chat", request.model, request.stream)
    assert (chat.output_cap, chat.choices) == (request.output_cap, request.choices)
    CHAT.parse(CHAT.upstream_body(chat, "up", 5, Dialect()))


CALLS = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | VALUES,
        "id": st.sampled_from(["a", "b"]) | VALUES,
        "function": st.fixed_dictionaries({}, optional={"name": st.text(), "arguments": st.text() | VALUES})
        | VALUES,
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.text() | VALUES,
        "reasoning_content": st.text() | VALUES,
        "refusal": st.text(max_size=2) | VALUES,
        "tool_calls": st.lists(CALLS | VALUES, max_size=2) | VALUES,
        "role": VALUES,
    },
)
FINISHES = st.sampled_from([None, "stop", "length", "tool_calls", "content_filter"]) | VALUES
CHUNKS = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"delta": DELTAS | VALUES, "finish_reason": FINISHES}) | VALUES, max_size=2
        )
    }
)


@pytest.mark.parametrize("surface", TRANSLATED)
@given(chunks=st.lists(CHUNKS | VALUES, max_size=6), thoughts=st.booleans())
@MANY
def test_any_chat_stream_becomes_a_well_formed_stream(
    surface: str, chunks: list[Any], thoughts: bool
) -> None:
    one = SURFACES[surface]
    body = BODIES[surface] | ({} if thoughts else {"thinking": None, "generationConfig": {}})
    translator = one.stream_from_chat(one.parse(json.dumps(body).encode()))
    raws = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    out = translator.take([StreamEvent(raw, pieces=1) for raw in raws])
    assert [event.pieces for event in out] == [1] * len(raws)
    out += translator.end(Usage(3, 2))
    raw = b"".join(event.raw for event in out) + one.stream_end()
    CHECKS[surface](list(json_events(raw)))
    reader = one.reader("p")
    read = reader.feed(raw)
    assert reader.failure is None  # what we write, we read, and the usage in it
    assert [event.usage for event in read if event.usage][-1] == Usage(3, 2)
    assert sum(event.finished for event in read) >= 1
    assert one.answer_text(raw) == "".join(one.answer_text(event.raw) for event in read)


def _check_messages(events: list[dict[str, Any]]) -> None:
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    open_block, blocks = None, 0
    for event in events[1:-2]:
        kind = event["type"]
        if kind == "content_block_start":
            assert open_block is None
            assert event["index"] == blocks
            open_block, blocks = event["content_block"]["type"], blocks + 1
        elif kind == "content_block_delta":
            pairs = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "tool_use"}
            assert pairs[event["delta"]["type"]] == open_block
            assert event["index"] == blocks - 1
        elif kind == "content_block_stop":
            assert open_block is not None
            open_block = None
        else:
            assert kind == "ping"
    assert open_block is None


def _check_responses(events: list[dict[str, Any]]) -> None:
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    assert last["type"] in ("response.completed", "response.incomplete")
    texts: dict[int, str] = {}
    done: dict[int, dict[str, Any]] = {}
    for event in events[2:-1]:
        kind, position = event["type"], event["output_index"]
        if kind == "response.output_item.added":
            assert position == len(texts)
            texts[position] = ""
        assert position not in done
        if kind.endswith(".delta"):
            texts[position] += event["delta"]
        if kind == "response.output_item.done":
            done[position] = event["item"]
        if kind.endswith("_text.done"):
            assert event["text"] == texts[position]
    assert [done[position] for position in range(len(texts))] == last["response"]["output"]
    assert last["response"]["output"]


def _check_gemini(events: list[dict[str, Any]]) -> None:
    assert all(candidate["content"]["parts"] for event in events for candidate in event["candidates"])
    assert all("finishReason" in candidate for candidate in events[-1]["candidates"])
    assert not any("finishReason" in one for event in events[:-1] for one in event["candidates"])


CHECKS = {"messages": _check_messages, "responses": _check_responses, "gemini": _check_gemini}


@pytest.mark.parametrize("surface", TRANSLATED)
@given(message=DELTAS | VALUES, finish=FINISHES)
@MANY
def test_any_chat_answer_becomes_an_answer(surface: str, message: Any, finish: Any) -> None:
    one = SURFACES[surface]
    request = one.parse(json.dumps(BODIES[surface]).encode())
    answer = {"choices": [{"message": message, "finish_reason": finish}, 5]}
    body = one.from_chat(request, answer, Usage(3, 2, cached_tokens=1))
    completion = one.read_answer("p", body)
    assert completion.usage == Usage(3, 2, cached_tokens=1)


@pytest.mark.parametrize("surface", BODIES)
@given(value=VALUES, kind=st.sampled_from(["", "message_start", "message_delta", "response.completed"]))
@MANY
def test_any_upstream_bytes_are_read_or_refused(surface: str, value: Any, kind: str) -> None:
    one = SURFACES[surface]
    body = json.dumps(value | {"type": kind} if isinstance(value, dict) and kind else value).encode()
    reader = one.reader("p")
    reader.feed(b"data: " + body + b"\n\n: comment\n\n")
    reader.end()
    one.answer_text(body)
    try:
        one.read_answer("p", body)
    except UpstreamProtocolError:
        return
