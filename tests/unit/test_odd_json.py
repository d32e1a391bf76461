"""Answers whose JSON is odd: half characters, byte order marks, numbers that are none."""

from __future__ import annotations

import pytest

from mini_llm.errors import UpstreamProtocolError
from mini_llm.providers.anthropic_answer import MessagesAsChat
from mini_llm.providers.google_answer import GeminiAsChat
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.base import StreamReader
from mini_llm.surfaces.chat import ChatReader
from mini_llm.surfaces.wording import arguments_object, json_or_none

HEAD, TAIL = b'data: {"choices": [{"index": 0, "delta": {"content": "', b'"}}]}\n\n'
HALVES = [HEAD + half + TAIL for half in (rb"hi \ud83d", rb"\uDe00!")]
ASKED = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "stream": true}'


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\uDE00b"', "\ufffdb"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b"\xef\xbb\xbf", None),
        (rb'{"\ud83d"', None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_half_characters_and_byte_order_marks_are_read(body: bytes, read: object) -> None:
    assert json_or_none(body) == read


def test_arguments_with_half_a_character_are_read() -> None:
    assert arguments_object(r'{"a": "\ud83d"}') == {"a": "\ufffd"}
    assert arguments_object('{"a": 1e999}') == {"malformed_arguments": '{"a": 1e999}'}


def test_half_characters_pass_as_they_are() -> None:
    reader = ChatReader("p")
    events = reader.feed(b"".join(HALVES))
    assert reader.failure is None
    assert b"".join(event.raw for event in events) == b"".join(HALVES)
    assert [(event.pieces, event.text_bytes > 3) for event in events] == [(1, True)] * 2
    assert CHAT.answer_text(b"".join(HALVES)) == "hi \ufffd\ufffd!"


@pytest.mark.parametrize("surface", ["messages", "responses", "gemini"])
def test_half_characters_are_translated(surface: str) -> None:
    translator = SURFACES[surface].stream_from_chat(CHAT.parse(ASKED))
    said = b"".join(event.raw for event in translator.take(ChatReader("p").feed(b"".join(HALVES))))
    assert "hi \ufffd" in said.decode()
    assert "\ufffd!" in said.decode()


CALLED = (
    b'data: {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1e999}}}]}}]}'
)
TOLD = b'data: {"type": "message_start", "message": {"id": 1e999}}'


@pytest.mark.parametrize(("reader", "event"), [(GeminiAsChat("p"), CALLED), (MessagesAsChat("p"), TOLD)])
def test_a_number_that_is_none_is_the_providers_failure(reader: StreamReader, event: bytes) -> None:
    assert reader.feed(event + b"\n\n") == []
    assert isinstance(reader.failure, UpstreamProtocolError)


@pytest.mark.parametrize("reader", [GeminiAsChat("p"), SURFACES["gemini"].reader("p")])
def test_a_stream_of_google_may_begin_with_a_byte_order_mark(reader: StreamReader) -> None:
    said = b'\xef\xbb\xbfid: 1\ndata: {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]}\n\n'
    (event,) = reader.feed(said)
    assert (event.pieces, event.text_bytes) == (1, 2)
    assert event.raw.startswith(b"data: ")
