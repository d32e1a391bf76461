"""Answers of Google's Gemini API: read as they come, and made of chat answers.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mini_llm.answer import StreamEvent
from mini_llm.errors import refusal
from mini_llm.price import Usage, part, plausible
from mini_llm.request import MAX_CHOICES
from mini_llm.surfaces.base import StreamReader, StreamTranslator
from mini_llm.surfaces.lenient import at, objects_in
from mini_llm.surfaces.sse import read_event
from mini_llm.surfaces.wording import (
    CallNumbers,
    ToolCall,
    arguments_object,
    choices_of,
    content_of,
    data_event,
    index_of,
    json_events,
    json_text,
    reasoning_of,
    refusal_of,
    tool_calls_of,
)

FINISH_REASONS: Final = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "content_filter": "SAFETY",
}
"""Chat's finish reasons in Google's words."""


def usage_of(reported: object) -> Usage | None:
    """Reads ``usageMetadata``; it counts thoughts beside the candidates, tool prompts beside the prompt."""
    if not isinstance(reported, dict):
        return None
    prompt = plausible(reported.get("promptTokenCount"))
    if prompt is None:
        return None
    thoughts = part(reported, "thoughtsTokenCount")
    return Usage.split(
        prompt + part(reported, "toolUsePromptTokenCount"),
        part(reported, "candidatesTokenCount") + thoughts,
        cached_tokens=part(reported, "cachedContentTokenCount"),
        # Sound that came from the cache is counted there, and is in both details.
        audio_prompt_tokens=max(
            0, _audio(reported.get("promptTokensDetails")) - _audio(reported.get("cacheTokensDetails"))
        ),
        reasoning_tokens=thoughts,
        audio_completion_tokens=_audio(reported.get("candidatesTokensDetails")),
    )


def usage_fields(usage: Usage) -> dict[str, Any]:
    """A usage in Google's words."""
    fields = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens:
        fields["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        fields["thoughtsTokenCount"] = usage.reasoning_tokens
    return fields


def candidates_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The candidates of an answer or of a piece of one."""
    return objects_in(body.get("candidates"))


def generated(candidate: Mapping[str, Any]) -> str:
    """The generated text of a candidate, function calls included."""
    said = []
    for one in objects_in(at(candidate, "content.parts")):
        if isinstance(one.get("text"), str):
            said.append(one["text"])
        said += [json_text(one[name]) for name in ("functionCall", "executableCode") if name in one]
    return "".join(said)


def parts_of(message: Mapping[str, Any], thoughts: bool) -> Iterator[dict[str, Any]]:
    """What a chat message or delta says in words."""
    if thoughts and (thought := reasoning_of(message)):
        yield {"text": thought, "thought": True}
    if words := content_of(message) or refusal_of(message):
        yield {"text": words}


def call_part(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A function call."""
    call: dict[str, Any] = {"name": name, "args": arguments_object(arguments)}
    return {"functionCall": ({"id": call_id} if call_id else {}) | call}


def finish_reason(reason: object) -> str:
    """A chat finish reason in Google's words."""
    return FINISH_REASONS.get(reason, "OTHER") if isinstance(reason, str) else "STOP"


class GeminiReader(StreamReader):
    """Reads the pieces of an answer; each tells the usage until then."""

    def event(self, raw: bytes) -> StreamEvent:
        """See ``StreamReader.event``."""
        data, raw = read_event(raw)
        if not data:
            return StreamEvent(raw)
        body = self.object_in(data)
        if body.get("error"):
            raise refusal(self.provider, 0, body)
        candidates = candidates_of(body)
        texts = [said for one in candidates if (said := generated(one))]
        finished = sum(1 for one in candidates if one.get("finishReason"))
        if at(body, "promptFeedback.blockReason"):
            finished = MAX_CHOICES  # no candidate will come
        return StreamEvent(
            raw,
            usage=usage_of(body.get("usageMetadata")),
            pieces=len(texts),
            text_bytes=sum(len(said.encode("utf-8", "surrogatepass")) for said in texts),
            finished=finished,
        )


class GeminiTranslator(StreamTranslator):
    """Makes pieces of an answer of chat chunks. Function calls are whole at Google: they come at the end.

    common: fields that every piece has.
    thoughts: the client wants to see them.
    """

    def __init__(self, common: Mapping[str, Any], thoughts: bool) -> None:
        self._common, self._thoughts = common, thoughts
        self._candidates: dict[int, _Candidate] = {}

    def take(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """See ``StreamTranslator.take``."""
        return [replace(event, raw=self._translate(event), bare_usage=False) for event in events]

    def end(self, usage: Usage) -> list[StreamEvent]:
        """See ``StreamTranslator.end``."""
        last = [
            _candidate(index, one.call_parts(), finish_reason(one.finish))
            for index, one in sorted((self._candidates or {0: _Candidate()}).items())
        ]
        return [
            StreamEvent(
                data_event({"candidates": last, "usageMetadata": usage_fields(usage), **self._common})
            )
        ]

    def _translate(self, event: StreamEvent) -> bytes:
        out = bytearray()
        for chunk in json_events(event.raw):
            said = []
            for choice in choices_of(chunk):
                index = index_of(choice)
                candidate = self._candidates.setdefault(index, _Candidate())
                delta = choice.get("delta")
                if isinstance(delta, dict):
                    for call in tool_calls_of(delta):
                        candidate.add(call)
                    if parts := list(parts_of(delta, self._thoughts)):
                        said.append(_candidate(index, parts))
                candidate.finish = choice.get("finish_reason") or candidate.finish
            if said:
                out += data_event({"candidates": said, **self._common})
        return bytes(out)


@dataclass(slots=True)
class _Candidate:
    """What is kept of a candidate until its end."""

    finish: object = None
    numbers: CallNumbers = field(default_factory=CallNumbers)
    calls: dict[int, list[ToolCall]] = field(default_factory=dict)

    def add(self, call: ToolCall) -> None:
        self.calls.setdefault(self.numbers.number(call), []).append(call)

    def call_parts(self) -> list[dict[str, Any]]:
        return [
            call_part(pieces[0].id, pieces[0].name, "".join(piece.arguments for piece in pieces))
            for pieces in self.calls.values()
        ]


def _candidate(index: int, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"content": {"role": "model", "parts": parts or [{"text": ""}]}, "index": index}
    return made | {"finishReason": finish} if finish else made


def _audio(details: object) -> int:
    """Tokens of sound in a list of counts by modality."""
    return sum(part(one, "tokenCount") for one in objects_in(details) if one.get("modality") == "AUDIO")
