"""A ``generateContent`` answer as a chat answer, whole and as it streams.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from secrets import token_hex
from typing import Any, Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.errors import UpstreamProtocolError, refusal
from mini_llm.price import Usage, plausible
from mini_llm.providers.chat_shapes import chunk_event, usage_event, whole_answer
from mini_llm.request import encode
from mini_llm.surfaces.base import StreamReader
from mini_llm.surfaces.gemini_stream import candidates_of, usage_of
from mini_llm.surfaces.lenient import at, objects_in
from mini_llm.surfaces.sse import read_event
from mini_llm.surfaces.wording import json_or_none

_BLOCKED: Final = (
    *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE"),
    *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"),
    *("MISSING_THOUGHT_SIGNATURE", "ESCALATION", "PUP_LIMITED_DISABLED", "OTHER"),
)
"""Finish reasons of an answer that was withheld: for what it says, or since Google could not use it."""
_FINISH: Final = {
    **dict.fromkeys(("MAX_TOKENS", "CONTINUATION"), "length"),
    **dict.fromkeys(_BLOCKED, "content_filter"),
}


def chat_completion(provider: str, body: bytes) -> Completion:
    """A whole answer as a chat completion; a prompt that was blocked is an empty, filtered answer.

    Raises:
        UpstreamProtocolError: it is none.
    """
    answer = json_or_none(body)
    if not isinstance(answer, dict) or not ("candidates" in answer or _blocked_prompt(answer)):
        raise UpstreamProtocolError(provider, "the body has no 'candidates'")
    choices = []
    for candidate in candidates_of(answer):
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        calls = []
        for delta in _deltas(candidate):
            calls += delta.pop("tool_calls", ())
            for name, text in delta.items():
                message[name] = (message.get(name) or "") + text
        if calls:
            message["tool_calls"] = calls
        choices.append((message, _finish(candidate.get("finishReason"), bool(calls))))
    if not choices:
        choices.append(({"role": "assistant", "content": None, "refusal": None}, "content_filter"))
    return whole_answer(_head(answer), choices, usage_of(answer.get("usageMetadata")))


class GeminiAsChat(StreamReader):
    """Reads the events of a ``streamGenerateContent`` stream as chat chunks."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._head: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._calls: dict[int, int] = {}  # index of a candidate: how many tools it called
        self._begun: set[int] = set()
        self._finished = 0

    def event(self, raw: bytes) -> StreamEvent:
        """See ``StreamReader.event``."""
        data, _ = read_event(raw)
        if not data:
            return StreamEvent(b"")
        answer = json_or_none(data)
        if isinstance(answer, list) and len(answer) == 1:
            (answer,) = answer
        if not isinstance(answer, dict):
            raise UpstreamProtocolError(self.provider, "an event of the stream is no JSON object")
        if answer.get("error"):
            raise refusal(self.provider, 0, answer)
        self._head = self._head or _head(answer)
        self._usage = usage_of(answer.get("usageMetadata")) or self._usage
        choices = [self._choice(candidate) for candidate in candidates_of(answer)]
        if not choices and _blocked_prompt(answer):
            choices = [(0, {"role": "assistant"}, "content_filter")]
        self._finished += sum(1 for _, _, finish in choices if finish)
        if not choices:
            return StreamEvent(b"", usage=self._usage)
        return chunk_event(self._head, choices, self._usage)

    def end(self) -> list[StreamEvent]:
        """The format has no end mark: the client's usage chunk comes when the connection ends."""
        events = super().end()
        if self._usage and self._finished and self.failure is None:
            events.append(usage_event(self._head, self._usage))
        return events

    def _choice(self, candidate: Mapping[str, Any]) -> tuple[int, dict[str, Any], str | None]:
        index = plausible(candidate.get("index")) or 0
        merged: dict[str, Any] = {} if index in self._begun else {"role": "assistant"}
        self._begun.add(index)
        for delta in _deltas(candidate):
            for call in delta.pop("tool_calls", ()):
                position = self._calls[index] = self._calls.get(index, -1) + 1
                merged.setdefault("tool_calls", []).append({"index": position, **call})
            for name, text in delta.items():
                merged[name] = merged.get(name, "") + text
        reason = candidate.get("finishReason")
        return index, merged, _finish(reason, index in self._calls) if reason else None


def _deltas(candidate: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What each part of a candidate adds to a message."""
    for part in objects_in(at(candidate, "content.parts")):
        if isinstance(part.get("functionCall"), dict):
            yield {"tool_calls": [_call(part["functionCall"], part.get("thoughtSignature"))]}
        elif isinstance(part.get("text"), str):
            yield {"reasoning_content" if part.get("thought") else "content": part["text"]}


def _call(function: Mapping[str, Any], signature: object) -> dict[str, Any]:
    call: dict[str, Any] = {
        "id": function.get("id") or f"call_{token_hex(12)}",
        "type": "function",
        "function": {
            "name": str(function.get("name")),
            "arguments": encode(function.get("args") or {}).decode(),
        },
    }
    if isinstance(signature, str):
        call["extra_content"] = {"google": {"thought_signature": signature}}
    return call


def _finish(reason: object, called: bool) -> str:
    return _FINISH.get(str(reason)) or ("tool_calls" if called else "stop")


def _blocked_prompt(answer: Mapping[str, Any]) -> bool:
    return bool(at(answer, "promptFeedback.blockReason"))


def _head(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": answer.get("responseId") or f"chatcmpl-{token_hex(12)}",
        "created": int(time.time()),
        "model": answer.get("modelVersion"),
    }
