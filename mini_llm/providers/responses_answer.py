"""An answer of OpenAI's Responses API as a chat answer, whole and as it streams.

Source: https://platform.openai.com/docs/api-reference/responses and the types of the package ``openai``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.errors import UpstreamProtocolError, refusal
from mini_llm.price import Usage, plausible
from mini_llm.providers.chat_shapes import chunk_event, usage_event, whole_answer
from mini_llm.surfaces.base import StreamReader
from mini_llm.surfaces.lenient import at, fields_of, listed
from mini_llm.surfaces.responses_output import usage_of
from mini_llm.surfaces.sse import event_data
from mini_llm.surfaces.wording import json_or_none, kind_of

_LAST: Final = ("response.completed", "response.incomplete")
_DELTAS: Final = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
_ARGUMENTS: Final = "response.function_call_arguments.delta"
_PARTS: Final = {"output_text": ("content", "text"), "refusal": ("refusal", "refusal")}


def chat_completion(provider: str, body: bytes) -> Completion:
    """A whole response as a chat completion.

    Raises:
        UpstreamProtocolError: it is none, or it failed.
    """
    answer = json_or_none(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), list) or answer.get("error"):
        raise UpstreamProtocolError(provider, "the body is no response that came to its end")
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls = []
    for item in answer["output"]:
        if kind_of(item) == "function_call":
            calls.append(_call(item, str(item.get("arguments") or "{}")))
        elif kind_of(item) in ("message", "reasoning"):
            for name, text in _said(item):
                message[name] = (message.get(name) or "") + text
    if calls:
        message["tool_calls"] = calls
    return whole_answer(
        _head(answer), [(message, _finish(answer, bool(calls)))], usage_of(answer.get("usage"))
    )


class ResponsesAsChat(StreamReader):
    """Reads the events of a response as chat chunks."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._head: dict[str, Any] = {}
        self._calls: dict[int | None, int] = {}  # index of an output item: index of its call of a tool
        self._usage: Usage | None = None

    def event(self, raw: bytes) -> StreamEvent:
        """See ``StreamReader.event``."""
        data = event_data(raw)
        if not data or data.strip() == b"[DONE]":
            return StreamEvent(b"")
        event = self.object_in(data)
        kind, response = kind_of(event), fields_of(event.get("response"))
        place = plausible(event.get("output_index"))
        if kind == "error" or kind == "response.failed":
            raise refusal(self.provider, 0, response or event)
        if kind == "response.created":
            self._head = _head(response)
            return self._chunk({"role": "assistant", "content": ""})
        if kind == "response.output_item.added" and kind_of(event.get("item")) == "function_call":
            number = self._calls[place] = len(self._calls)
            return self._chunk({"tool_calls": [{"index": number, **_call(event["item"], "")}]})
        if kind == _ARGUMENTS and (number := self._calls.get(place, -1)) >= 0:
            written = {"arguments": str(event.get("delta") or "")}
            return self._chunk({"tool_calls": [{"index": number, "function": written}]})
        if kind in _DELTAS and isinstance(event.get("delta"), str):
            return self._chunk({_DELTAS[kind]: event["delta"]})
        if kind in _LAST:
            self._usage = usage_of(response.get("usage"))
            finish = _finish(response, bool(self._calls))
            return chunk_event(self._head or _head(response), [(0, {}, finish)], self._usage)
        return StreamEvent(b"")

    def end(self) -> list[StreamEvent]:
        """The format has no end mark: the client's usage chunk comes when the connection ends."""
        events = super().end()
        if self._usage and self.failure is None:
            events.append(usage_event(self._head, self._usage))
        return events

    def _chunk(self, delta: dict[str, Any]) -> StreamEvent:
        return chunk_event(self._head, [(0, delta, None)])


def _head(response: Mapping[str, Any]) -> dict[str, Any]:
    head = {name: response.get(there) for name, there in (("id", "id"), ("created", "created_at"))}
    head["created"] = int(head["created"]) if isinstance(head["created"], int | float) else 0
    tier = {"service_tier": response["service_tier"]} if response.get("service_tier") else {}
    return head | {"model": response.get("model")} | tier


def _said(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an output item adds to a message: its member and the text."""
    if item["type"] == "reasoning":
        parts, names = item.get("summary"), {"summary_text": ("reasoning_content", "text")}
    else:
        parts, names = item.get("content"), _PARTS
    said = []
    for part in listed(parts):
        name, member = names.get(kind_of(part), ("", ""))
        if name and isinstance(part.get(member), str):
            said.append((name, part[member]))
    return said


def _call(item: Mapping[str, Any], arguments: str) -> dict[str, Any]:
    function = {"name": str(item.get("name")), "arguments": arguments}
    return {"id": str(item.get("call_id")), "type": "function", "function": function}


def _finish(response: Mapping[str, Any], called: bool) -> str:
    if response.get("status") == "incomplete":
        cut = at(response, "incomplete_details.reason") == "content_filter"
        return "content_filter" if cut else "length"
    return "tool_calls" if called else "stop"
