"""Which answers are JSON where a schema was asked for, and of which that cannot be told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mini_llm.surfaces import SURFACES
from router.mirror.format import is_json

JSON, WORDS = '{"a": 1}', 'Here you are: {"a": 1}'
CALL = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def judged(*messages: dict[str, Any], finish: str = "stop", **asked: Any) -> bool | None:
    """A whole answer, or the events of a stream if one was asked for."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]} | asked
    request = SURFACES["chat"].parse(json.dumps(body).encode())
    name = "delta" if request.stream else "message"
    bodies = [{"choices": [{"index": 0, name: one, "finish_reason": finish}]} for one in messages]
    raw = [json.dumps(one).encode() for one in bodies]
    return is_json(request, b"".join(b"data: " + one + b"\n\n" for one in raw) if request.stream else raw[0])


@pytest.mark.parametrize("thoughts", [{}, {"reasoning_content": "Let me see."}, {"reasoning": "Well {"}])
def test_what_is_said_counts_and_not_what_is_thought(thoughts: dict[str, str]) -> None:
    for message in (thoughts | {"content": JSON}, {"content": JSON} | thoughts):
        assert judged(message) is True
    assert judged(thoughts | {"content": WORDS}) is False
    assert judged(thoughts, {"content": JSON[:4]}, {"content": JSON[4:]}, stream=True) is True
    assert judged(thoughts, {"content": WORDS}, stream=True) is False


def test_of_others_it_tells_nothing() -> None:
    assert judged({"content": None, "tool_calls": CALL}) is None
    assert judged({"content": "I call it.", "tool_calls": CALL}) is None
    assert judged({"content": None, "refusal": "No."}) is None
    assert judged({"content": JSON[:4]}, finish="length") is None
    assert judged({"content": JSON}, n=2) is None
    assert judged({"content": JSON[:4]}, stream=True, max_tokens=3) is None
    assert judged({"content": JSON[:4]}, max_tokens=3) is False  # it ended by itself
    request = SURFACES["responses"].parse(b'{"model": "auto", "input": "hi"}')
    assert is_json(request, json.dumps({"object": "response", "output": []}).encode()) is None
    assert judged({}) is None
