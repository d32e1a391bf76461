"""Quotes bound what a call can cost; the meter counts what it did."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_llm.answer import Completion, StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.metering import KEPT_BYTES, completion_usage
from mini_llm.price import Price, Usage
from mini_llm.request import Request
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.tokens import count_tokens
from router.metering import StreamMeter, most_usage, quote_call

PRICED = Deployment("p/m", "m", "p", "m", 1, Price(1_000_000, 3_000_000), 8192, 1024)
DEAR = replace(
    PRICED,
    price=Price(1_000_000, 3_000_000, cache_write_base_per_mtok=7_000_000, reasoning_base_per_mtok=9_000_000),
)
FREE = Deployment("home/m", "m", "home", "m", 0, Price(0, 0), 2**20, None)


def chat(text: object = "hello", **fields: object) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]} | fields
    return CHAT.parse(json.dumps(body).encode())


def quoted(request: Request, *deployments: Deployment) -> int:
    return quote_call(request, deployments).quote_base


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000))
def test_quote_covers_a_token_for_each_byte(text: str) -> None:
    most = most_usage(chat(text), PRICED)
    assert most.prompt_tokens >= min(len(text.encode()), PRICED.context_tokens)


def test_quote_covers_tools_and_each_message() -> None:
    bare = most_usage(chat(), PRICED).prompt_tokens
    tools = [{"type": "function", "function": {"name": "f" * 500}}]
    assert most_usage(chat(tools=tools), PRICED).prompt_tokens > bare + 500
    messages = [{"role": "user", "content": ""}] * 20
    assert most_usage(chat(messages=messages), PRICED).prompt_tokens > bare + 19 * 16


def test_prompt_is_bounded_by_the_context_and_images_may_fill_it() -> None:
    assert most_usage(chat("x" * 20_000), PRICED).prompt_tokens == 8192
    image = [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    assert most_usage(chat(image), PRICED).prompt_tokens == 8192


@pytest.mark.parametrize(
    ("fields", "completion"),
    [
        ({}, 1024),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 10**6}, 1024),
    ],
)
def test_completion_is_bounded_by_the_cap_that_goes_upstream(fields: dict[str, int], completion: int) -> None:
    most = most_usage(chat(**fields), PRICED)
    assert most.completion_tokens == completion
    assert quoted(chat(**fields), PRICED) == most.prompt_tokens + 3 * completion


def test_the_dearest_candidate_and_kind_of_token_is_reserved() -> None:
    cheap, dear = quoted(chat(), PRICED), quoted(chat(), DEAR)
    assert cheap < dear == quoted(chat(), PRICED, DEAR) == quoted(chat(), DEAR, PRICED)
    most = most_usage(chat(), DEAR)
    assert dear == 7 * most.prompt_tokens + 9 * most.completion_tokens


def test_free_models_need_no_reservation() -> None:
    assert quoted(chat(max_tokens=5), FREE) == 0
    assert quoted(chat(), FREE) == 0


def piece(text: bytes) -> StreamEvent:
    return StreamEvent(b"data: " + text + b"\n\n", pieces=1, text_bytes=len(text))


FINISH = StreamEvent(b"data: finish\n\n", finished=1)
USAGE = StreamEvent(b"data: usage\n\n", usage=Usage(5, 6), bare_usage=True)
DONE = StreamEvent(b"data: [DONE]\n\n", done=True)


async def test_the_end_of_an_answer_is_held_and_usage_hidden() -> None:
    meter = StreamMeter(CHAT, chat(stream=True), PRICED)
    assert meter.take([piece(b"a"), piece(b"b")]) == b"data: a\n\ndata: b\n\n"
    assert not meter.complete
    assert meter.take([FINISH, USAGE, DONE]) == b""
    assert meter.held == FINISH.raw
    assert meter.complete
    assert await meter.usage() == Usage(5, 6)


def test_usage_is_shown_to_a_client_that_asked() -> None:
    meter = StreamMeter(CHAT, chat(stream=True, stream_options={"include_usage": True}), PRICED)
    meter.take([piece(b"a"), FINISH, USAGE, DONE])
    assert meter.held == FINISH.raw + USAGE.raw


def test_an_answer_ends_with_its_last_choice() -> None:
    meter = StreamMeter(CHAT, chat(stream=True, n=2), PRICED)
    assert meter.take([piece(b"a"), FINISH, piece(b"b")]).endswith(b"b\n\n")
    assert not meter.complete
    assert meter.take([FINISH]) == b""
    assert meter.complete


def spoken(text: str) -> StreamEvent:
    raw = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n".encode()
    return StreamEvent(raw, pieces=1, text_bytes=len(text.encode()))


async def test_a_stream_that_nobody_counted_is_counted_by_its_text() -> None:
    meter = StreamMeter(CHAT, chat("ten words, " * 5 + " " * 7000, stream=True), PRICED)
    assert not meter.generated
    meter.take([StreamEvent(b": comment\n\n")])
    assert not meter.generated
    meter.take([spoken("several words"), spoken(" at once")])
    assert meter.generated
    read = count_tokens(["ten words, " * 5 + " " * 7000])
    assert await meter.usage() == Usage(read, count_tokens(["several words at once"]), estimated=True)


async def test_of_a_long_stream_a_part_is_kept_and_the_rest_reckoned_from_it() -> None:
    meter = StreamMeter(CHAT, chat(stream=True), PRICED)
    event = spoken(" word" * 100)
    times = 4 * KEPT_BYTES // len(event.raw)
    for _ in range(times):
        meter.take([event])
    assert sum(map(len, meter._kept)) <= KEPT_BYTES
    assert not meter.kept_all
    counted = (await meter.usage()).completion_tokens
    assert times * 100 - 100 <= counted <= times * 100 + 100


async def test_the_last_of_continuous_counts_is_taken() -> None:
    meter = StreamMeter(CHAT, chat(stream=True), PRICED)
    meter.take([StreamEvent(b"x\n\n", usage=Usage(9, n), pieces=1, text_bytes=4) for n in (1, 2, 3)])
    assert await meter.usage() == Usage(9, 3)


async def test_text_after_the_last_count_is_counted() -> None:
    """In Anthropic's format the first event counts the prompt and one token, and only the last all."""
    meter = StreamMeter(CHAT, chat(stream=True), PRICED)
    meter.take([StreamEvent(b"start\n\n", usage=Usage(900, 1, cached_tokens=800)), spoken("several words")])
    meter.take([spoken(" at once")])
    written = count_tokens(["several words at once"])
    assert await meter.usage() == Usage(900, written, estimated=True, cached_tokens=800)
    meter.take([StreamEvent(b"end\n\n", usage=Usage(900, 7, cached_tokens=800), finished=1)])
    assert await meter.usage() == Usage(900, 7, cached_tokens=800)


async def test_text_of_no_tokens_is_counted() -> None:
    meter = StreamMeter(CHAT, chat("two words", stream=True, stream_options={"include_usage": True}), PRICED)
    nothing = StreamEvent(b"data: usage\n\n", usage=Usage(0, 0), bare_usage=True)
    assert meter.take([nothing]) == nothing.raw
    assert await meter.usage() == Usage(0, 0)
    meter.take([spoken("a b c"), FINISH, nothing, DONE])
    counted = Usage(2, 3, estimated=True)
    assert await meter.usage() == counted
    assert meter.held == FINISH.raw
    body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "a b c"}}]})
    whole = Completion(body.encode(), Usage(0, 0))
    assert await completion_usage(CHAT, chat("two words"), whole, PRICED) == counted
    empty = Completion(b'{"choices": [{"index": 0, "message": {"content": ""}}]}', Usage(0, 0))
    assert await completion_usage(CHAT, chat("two words"), empty, PRICED) == Usage(0, 0)


async def test_usage_that_nobody_told_is_told_to_a_client_that_asked() -> None:
    asked = chat("two words", stream=True, stream_options={"include_usage": True})
    for request, told in ((asked, True), (chat(stream=True), False)):
        meter = StreamMeter(CHAT, request, PRICED)
        meter.take([spoken("a b c"), FINISH])
        event = meter.untold(await meter.usage())
        assert bool(event) is told
    meter = StreamMeter(CHAT, asked, PRICED)
    first = b'data: {"id": "c7", "created": 5, "model": "up", "choices": []}\n\n'
    meter.take([StreamEvent(first, pieces=1, text_bytes=1), FINISH])
    chunk = json.loads(meter.untold(Usage(2, 3, estimated=True)).removeprefix(b"data: "))
    assert (chunk["id"], chunk["created"], chunk["model"], chunk["choices"]) == ("c7", 5, "up", [])
    assert (chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]) == (2, 3)
    assert meter.untold(Usage(2, 3)) == b""


async def test_whole_answers_that_nobody_counted_are_counted_by_their_text() -> None:
    body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "a b c"}}]})
    uncounted = Completion(body.encode(), None)
    assert await completion_usage(CHAT, chat("two words"), uncounted, PRICED) == Usage(2, 3, estimated=True)
    counted = Completion(body.encode(), Usage(1, 2))
    assert await completion_usage(CHAT, chat(), counted, PRICED) == Usage(1, 2)


WORDS = "word " * 3000
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "description": WORDS}}}
ASKS = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "responses": {"input": [{"role": "user", "content": "hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
LONG: list[tuple[str, dict[str, object]]] = [
    ("chat", {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]}),
    ("chat", {"functions": [{"name": "f", "parameters": SCHEMA}]}),
    ("chat", {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
    (
        "chat",
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": WORDS}}]}
            ]
        },
    ),
    (
        "chat",
        {"messages": [{"role": "assistant", "tool_calls": [{"custom": {"name": "f", "input": WORDS}}]}]},
    ),
    ("chat", {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": WORDS}}]}),
    ("messages", {"tools": [{"name": "f", "input_schema": SCHEMA}]}),
    ("messages", {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    (
        "messages",
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {"a": WORDS}}]}
            ]
        },
    ),
    (
        "messages",
        {
            "messages": [
                {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": WORDS}}]}
            ]
        },
    ),
    ("responses", {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]}),
    ("responses", {"text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}}}),
    ("responses", {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": WORDS}]}),
    ("gemini", {"tools": [{"function_declarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}]}),
    ("gemini", {"generation_config": {"response_schema": SCHEMA}}),
    (
        "gemini",
        {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": WORDS}}}]}]},
    ),
    (
        "gemini",
        {
            "contents": [
                {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"a": WORDS}}}]}
            ]
        },
    ),
]


@pytest.mark.parametrize(("surface", "fields"), LONG)
async def test_tools_and_calls_are_counted_within_what_is_reserved(
    surface: str, fields: dict[str, object]
) -> None:
    one = SURFACES[surface]
    request = one.parse(json.dumps({"model": "m"} | ASKS[surface] | fields).encode())
    wide = replace(PRICED, context_tokens=10**6)
    usage = await completion_usage(one, request, Completion(b"{}", None), wide)
    assert 3000 <= usage.prompt_tokens <= 3100
    assert usage.prompt_tokens <= most_usage(request, wide).prompt_tokens


CALLED = {"name": "f", "arguments": '{"a": "one two three"}'}
ANSWERS: dict[str, tuple[dict[str, object], list[dict[str, object]]]] = {
    "chat": (
        {"choices": [{"message": {"tool_calls": [{"id": "c", "function": CALLED}]}}]},
        [{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": CALLED}]}}]}],
    ),
    "messages": (
        {"type": "message", "content": [{"type": "tool_use", "name": "f", "input": {"a": "one two three"}}]},
        [
            {
                "type": "content_block_delta",
                "delta": {"type": "input_json_delta", "partial_json": CALLED["arguments"]},
            }
        ],
    ),
    "responses": (
        {"object": "response", "output": [{"type": "function_call", "call_id": "c", **CALLED}]},
        [{"type": "response.function_call_arguments.delta", "delta": CALLED["arguments"]}],
    ),
    "gemini": (
        {
            "candidates": [
                {"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": "one two three"}}}]}}
            ]
        },
        [
            {
                "candidates": [
                    {"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": "one two three"}}}]}}
                ]
            }
        ],
    ),
}


@pytest.mark.parametrize("surface", ANSWERS)
def test_what_a_model_calls_is_counted(surface: str) -> None:
    whole, streamed = ANSWERS[surface]
    events = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in streamed)
    for raw in (json.dumps(whole).encode(), events):
        assert count_tokens([SURFACES[surface].answer_text(raw)]) >= 5
