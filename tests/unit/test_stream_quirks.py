"""Habits of streams that belong to no company: line ends, comments, missing marks, hidden errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from mini_llm.answer import StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.errors import ProviderError, UpstreamProtocolError, UpstreamRefused
from mini_llm.price import Price, Usage
from mini_llm.providers.openai import OpenAIProvider
from mini_llm.surfaces import CHAT
from mini_llm.transport import Timeouts, Transport, UpstreamResponse

UPSTREAM = Deployment("p/m", "m", "p", "up", 0, Price(1, 1), 8_192, 64)
REQUEST = CHAT.parse(b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true}')
EVENTS = "text/event-stream"


class Answer(UpstreamResponse):
    def __init__(self, body: bytes, content_type: str, step: int, status: int = 200) -> None:
        self.status, self._body, self._step = status, body, step
        self._headers = {"content-type": content_type}
        self.closed = self._read = 0

    def header(self, name: str) -> str | None:
        return self._headers.get(name)

    async def next_piece(self) -> bytes:
        piece = self._body[self._read : self._read + self._step]
        self._read += len(piece)
        return piece

    def rewind(self) -> None:
        self._read = 0

    async def aclose(self) -> None:
        self.closed += 1


class Wire(Transport):
    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> UpstreamResponse:
        return self.answer

    async def aclose(self) -> None:
        pass


async def stream(body: bytes, step: int = 10**6, content_type: str = EVENTS) -> list[StreamEvent]:
    provider = OpenAIProvider("p", "http://x/v1", Wire(Answer(body, content_type, step)))
    opened = await provider.open_stream(REQUEST, UPSTREAM)
    return [event async for batch in opened.batches() for event in batch]


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]} | more, ensure_ascii=False).encode()


USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
LINES = (
    b": keep-alive",
    b"event: chunk\nid: 7\nretry: 100\n" + chunk({"role": "assistant", "content": None}),
    chunk({"content": "Hel", "tool_calls": None, "reasoning": None}),
    chunk(None),
    chunk({"content": "lö"}),
    chunk({}, "stop"),
    b'data: {"choices": [], "usage": ' + json.dumps(USAGE).encode() + b"}",
)

LINE_ENDS = {b"\n\n": b"\n", b"\r\n\r\n": b"\r\n", b"\r\r": b"\r", b"\n\r\n": b"\n"}
"""By the end of an event that of its lines."""


@pytest.mark.parametrize("step", [1, 2, 3, 7, 10**6])
@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("mark", [b"data: [DONE]", b"data:[DONE]", b""])
async def test_streams_are_read_however_they_are_cut(step: int, end: bytes, mark: bytes) -> None:
    lines = [line.replace(b"\n", LINE_ENDS[end]) for line in (*LINES, mark) if line]
    events = await stream(end.join(lines), step)  # the last blank line is missing, too
    assert CHAT.answer_text(b"".join(event.raw for event in events)) == "Hellö"
    assert [event.usage for event in events if event.usage] == [Usage(3, 2)]
    assert (sum(event.finished for event in events), any(event.done for event in events)) == (1, bool(mark))
    told = b"".join(event.raw for event in events).rstrip()
    passed = [re.sub(rb"(id|retry): \d+[\r\n]+", b"", line) for line in lines]
    assert told == end.join(passed).rstrip()


@pytest.mark.parametrize(
    ("broken", "detail"),
    [
        (b'data: {"error": {"message": "overloaded", "code": 503}}', "overloaded"),
        (b'event: error\ndata: {"error": "overloaded"}', "overloaded"),
        (b'data: {"object": "error", "message": "overloaded", "code": 400}', "overloaded"),
        (
            b'data: {"choices": [{"finish_reason": "error"}], "error": {"message": "overloaded"}}',
            "overloaded",
        ),
        (b'data: {"choices": [{"error": {"message": "overloaded", "code": 502}}]}', "overloaded"),
        (b'data: {"choices": [{"delta": {}, "finish_reason": "error"}]}', ""),
        (b"data: {broken", None),
        (b"data: [1]", None),
    ],
)
async def test_an_error_in_a_stream_comes_after_what_came_before_it(
    broken: bytes, detail: str | None
) -> None:
    body = b"\n\n".join((LINES[2], broken, LINES[4])) + b"\n\n"
    provider = OpenAIProvider("p", "http://x/v1", Wire(Answer(body, EVENTS, 10**6)))
    opened = await provider.open_stream(REQUEST, UPSTREAM)
    batches = opened.batches()
    before = await anext(batches)
    assert CHAT.answer_text(b"".join(event.raw for event in before)) == "Hel"
    with pytest.raises(ProviderError) as failed:
        await anext(batches)
    error = failed.value
    assert isinstance(error, UpstreamProtocolError if detail is None else UpstreamRefused)
    assert detail is None or getattr(error, "detail", None) == detail


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error": {"code": 429, "message": "slow down"}}', 429),
        (b'{"error": {"code": "busy", "message": "slow down"}}', 502),
        (b'{"error": "slow down"}', 502),
        (b'{"choices": [{"error": {"code": 429, "message": "slow down"}}]}', 429),
        (b'{"choices": [{"finish_reason": "error", "message": {}, "error": "slow down"}]}', 502),
    ],
)
async def test_an_error_with_status_200_is_one(body: bytes, status: int) -> None:
    answer = Answer(body, "application/json", 10**6)
    provider = OpenAIProvider("p", "http://x/v1", Wire(answer))
    for call in (provider.open_stream, provider.complete):
        answer.rewind()
        with pytest.raises(UpstreamRefused) as refused:
            await call(REQUEST, UPSTREAM)
        assert (refused.value.status, refused.value.detail) == (status, "slow down")
    assert answer.closed == 2


async def test_a_page_instead_of_an_error_body_is_a_refusal_all_the_same() -> None:
    answer = Answer(b"<html>" + b"x" * 100_000, "text/html", 1000, 502)
    with pytest.raises(UpstreamRefused) as refused:
        await OpenAIProvider("p", "http://x/v1", Wire(answer)).complete(REQUEST, UPSTREAM)
    assert (refused.value.status, refused.value.detail, answer.closed) == (502, "", 1)


@pytest.mark.parametrize("step", [1, 10**6])
@pytest.mark.parametrize(
    "body", [b'{"choices": []}', b"<html>", b"", b"data", b'{"choices": [{"index": 1e999}]}']
)
async def test_something_else_than_a_stream_is_refused(body: bytes, step: int) -> None:
    with pytest.raises(UpstreamProtocolError):
        await stream(body, step, "application/json")


@pytest.mark.parametrize("step", [1, 5, 10**6])
@pytest.mark.parametrize("begins", [b"", b"\xef\xbb\xbf", b"\n: welcome\n\n", b"id: 1\n"])
@pytest.mark.parametrize("content_type", ["Text/Event-Stream; charset=UTF-8", "", "text/plain"])
async def test_a_stream_is_one_whatever_it_is_called(content_type: str, begins: bytes, step: int) -> None:
    events = await stream(begins + b"\n\n".join(LINES[2:]), step, content_type)
    assert CHAT.answer_text(b"".join(event.raw for event in events)) == "Hellö"
    assert [event.usage for event in events if event.usage] == [Usage(3, 2)]


async def test_who_leaves_before_it_is_clear_what_comes_hangs_up() -> None:
    answer = Answer(b"", "text/plain", 1)
    answer.next_piece = asyncio.Event().wait  # type: ignore[assignment,method-assign]
    provider = OpenAIProvider("p", "http://x/v1", Wire(answer))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await provider.open_stream(REQUEST, UPSTREAM)
    assert answer.closed == 1


@pytest.mark.parametrize("step", [1, 10**6])
async def test_a_whole_answer_to_a_stream_is_told_as_one(step: int) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hellö", "tool_calls": [call]}
    answer = {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}],
        "usage": USAGE,
    }
    body = b"\n" + json.dumps(answer).encode()
    events = await stream(body, step, "application/json")
    assert [(event.finished, event.usage, event.bare_usage, event.done) for event in events] == [
        (1, None, False, False),
        (0, Usage(3, 2), True, False),
        (0, None, False, True),
    ]
    chunk = json.loads(events[0].raw.removeprefix(b"data: "))
    assert (chunk["id"], chunk["object"]) == ("x", "chat.completion.chunk")
    assert chunk["choices"] == [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": None,
            "delta": message | {"tool_calls": [{"index": 0} | call]},
        }
    ]
    del answer["usage"]
    assert len(await stream(json.dumps(answer).encode(), step, "application/json")) == 2


async def test_a_byte_order_mark_is_no_part_of_an_answer() -> None:
    body = b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}'
    provider = OpenAIProvider("p", "http://x/v1", Wire(Answer(b"\xef\xbb\xbf" + body, "", 10**6)))
    completion = await provider.complete(REQUEST, UPSTREAM)
    assert (completion.body, completion.usage) == (body, Usage(3, 2))
