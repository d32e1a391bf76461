"""Answers as apps read them."""

from __future__ import annotations

import json

from mini_llm.price import Usage
from mini_llm.records import Chunk, Result
from mini_llm.replies import KeptAnswer

THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


def test_the_text_of_an_answer_in_parts_is_what_they_say() -> None:
    """So Mistral answers whose model thought."""
    content = [THOUGHT, {"type": "text", "text": "hi "}, {"type": "text", "text": "you"}]
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]}
    answer = KeptAnswer(json.dumps(body).encode(), Usage(1, 1), None, None, None, 1, None, None, ())  # type: ignore[arg-type]
    assert Result(answer).text == "hi you"
    assert Chunk({"choices": [{"index": 0, "delta": {"content": content}}]}).text == "hi you"
    assert Chunk({"choices": [{"index": 0, "delta": {"content": [THOUGHT]}}]}).text == ""
    assert Chunk({"choices": [{"index": 0, "delta": {"content": None}}]}).text == ""
