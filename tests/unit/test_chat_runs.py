"""Chunks like the one before pass unparsed, and mean exactly what parsing them one by one would say."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mini_llm.answer import StreamEvent
from mini_llm.surfaces.base import StreamReader
from mini_llm.surfaces.chat import ChatReader
from mini_llm.surfaces.runs import Mould

NASTY = (
    "",
    "word ",
    '"finish_reason":"stop"',
    '"usage":{',
    "data: [DONE]\n\n",
    "\\",
    "\r\n",
    "\x00",
    "é",
    "a: b",
)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "c1", "object": "chat.completion.chunk", "choices": [choice]} | more
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def text(content: str) -> bytes:
    return chunk({"content": content})


USAGE = {"prompt_tokens": 3, "completion_tokens": 5}
DONE = b"data: [DONE]\n\n"
CHUNKS = st.one_of(
    st.sampled_from(NASTY).map(text),
    st.text(max_size=8).map(text),
    st.sampled_from(
        (
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "hm"}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}),
            chunk({"content": "x"}, usage=None),
            chunk({"content": "x"}, usage=USAGE),
            chunk({}, "stop"),
            chunk({"content": "end"}, "length", usage=USAGE),
            b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n',
            b'data: {"choices": [{"delta": {"content": "spaced"}, "finish_reason": "stop"}]}\n\n',
            b'data: {"choices": [{"delta": {"content": "spaced"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"x"},"finish\\u005freason":"stop"}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"x"},"finish_reason" :"stop"}]}\n\n',
            b'data:{"choices":[{"delta":{"content":"x"},"finish_reason":null}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\r\n\r\n',
            b": comment\n\n",
            b"event: x\ndata: {}\n\n",
            DONE,
            b'data: {"error":{"message":"overloaded"}}\n\n',
            b"data: not json\n\n",
        )
    ),
)


class OneByOne(ChatReader):
    """Parses every event."""

    _events = StreamReader._events


def read(reader: StreamReader, stream: bytes, cuts: list[int]) -> list[StreamEvent]:
    events: list[StreamEvent] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        if reader.failure is None:
            events += reader.feed(stream[start:end])
    return events if reader.failure else events + reader.end()


def meaning(events: list[StreamEvent]) -> dict[str, Any]:
    return {
        "raw": b"".join(event.raw for event in events),
        "pieces": sum(event.pieces for event in events),
        "finished": [event.raw for event in events if event.finished],
        "usage": [event.usage for event in events if event.usage],
        "bare": [event.raw for event in events if event.bare_usage],
        "done": [event.raw for event in events if event.done],
    }


@given(chunks=st.lists(CHUNKS, max_size=12), cuts=st.lists(st.integers(0, 10**4), max_size=4))
def test_a_run_means_what_its_events_mean(chunks: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(chunks)
    fast, slow = ChatReader("p"), OneByOne("p")
    assert meaning(read(fast, stream, cuts)) == meaning(read(slow, stream, cuts))
    assert type(fast.failure) is type(slow.failure)


def test_a_burst_of_text_is_one_event_once_its_shape_is_known() -> None:
    reader = ChatReader("p")
    reader.feed(text("The "))
    stream = b"".join(map(text, ("quick ", "brown ", "fox")))
    (event,) = reader.feed(stream)
    assert (event.raw, event.pieces, event.text_bytes) == (stream, 3, len("quick brown fox"))


def test_what_ends_an_answer_stands_alone() -> None:
    words, end = [text("The "), text("quick "), text("fox")], chunk({}, "stop")
    events = ChatReader("p").feed(b"".join(words) + end + DONE)
    assert [(event.raw, event.finished, event.done) for event in events] == [
        (words[0], 0, False),
        (words[1] + words[2], 0, False),
        (end, 1, False),
        (DONE, 0, True),
    ]


def mould_of(raw: bytes) -> Mould | None:
    return Mould.of(ChatReader("p").event(raw))


@given(
    texts=st.lists(st.one_of(st.text(max_size=8), st.sampled_from(NASTY)), min_size=1, max_size=8),
    after=st.lists(CHUNKS, max_size=3),
)
def test_chunks_of_one_shape_mean_what_parsing_says(texts: list[str], after: list[bytes]) -> None:
    mould = mould_of(text("first"))
    assert mould is not None
    words = list(map(text, texts))
    stream = b"".join([*words, *after])
    if (run := mould.run(stream, 0)) is not None:
        assert stream.startswith(run.raw)
        assert meaning([run]) == meaning(read(OneByOne("p"), run.raw, []))
    plain = itertools.takewhile(lambda word: b'\\"' not in word, words)
    assert len(run.raw if run else b"") >= sum(map(len, plain))


def test_chunks_are_compared_with_the_last_that_was_parsed() -> None:
    mould = mould_of(text("The"))
    words, end = [text(" quick"), text(""), text(" fox\\\n")], chunk({}, "stop")
    assert mould is not None
    stream = b"".join([*words, end, text("x")])
    run = mould.run(stream, 0)
    assert run is not None
    assert (run.raw, run.pieces, run.text_bytes) == (b"".join(words), 2, len(r" quick fox\\\n"))
    rest = mould.run(stream, len(words[0]))
    assert rest is not None
    assert (rest.raw, rest.pieces) == (b"".join(words[1:]), 1)
    assert mould.run(stream, len(run.raw)) is None


@pytest.mark.parametrize(
    "other",
    [
        text('a "word"'),
        text("a").replace(b'"a"', b'"a\\"'),
        text("a").replace(b'"a"', b'"a\n"'),
        text("a")[:-9],
        text("a").replace(b'"c1"', b'"c2"'),
        chunk({}, "stop"),
        chunk({"content": "x", "refusal": "y"}),
    ],
)
def test_what_does_not_fit_the_shape_is_parsed(other: bytes) -> None:
    mould = mould_of(text("The"))
    assert mould is not None
    assert mould.run(other, 0) is None


@pytest.mark.parametrize(
    "plain_no_more",
    [
        chunk({"reasoning_content": "x"}),
        chunk({"content": "x", "refusal": "y"}),
        chunk({"content": "x\n"}),
        chunk({"content": "x"}, "stop"),
        chunk({"content": "x"}, usage=USAGE),
        chunk({"content": "x"}, note={"content": "y"}),
        DONE,
    ],
)
def test_a_shape_has_one_plain_content(plain_no_more: bytes) -> None:
    assert mould_of(plain_no_more) is None


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n", b"\\\n", b"\\\r"])
def test_a_line_end_inside_of_the_text_is_no_chunk_of_the_shape(end: bytes) -> None:
    """An event's data may come in several lines, which are joined before they are parsed."""
    mould = mould_of(text("first"))
    assert mould is not None
    fits, broken = text("second"), text("be-tween").replace(b"-", end)
    run = mould.run(fits + broken + fits, 0)
    assert run is not None
    assert run.raw == fits
    assert mould.run(broken, 0) is None
