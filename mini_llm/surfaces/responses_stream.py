"""Streams of OpenAI's Responses API: read as they come, and made of chat streams.

Source: https://platform.openai.com/docs/api-reference/responses-streaming and the types of the package
``openai``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mini_llm.answer import StreamEvent
from mini_llm.errors import refusal
from mini_llm.price import Usage
from mini_llm.request import Request
from mini_llm.surfaces import responses_output as output
from mini_llm.surfaces.base import StreamReader, StreamTranslator
from mini_llm.surfaces.lenient import fields_of
from mini_llm.surfaces.sse import read_event
from mini_llm.surfaces.wording import (
    CallNumbers,
    ToolCall,
    choices_of,
    content_of,
    index_of,
    json_events,
    kind_of,
    reasoning_of,
    refusal_of,
    tool_calls_of,
    typed_event,
)

_LAST: Final = frozenset({"response.completed", "response.incomplete"})


class ResponsesReader(StreamReader):
    """Reads the events; only the last one tells usage, and the response as a whole."""

    def event(self, raw: bytes) -> StreamEvent:
        """See ``StreamReader.event``."""
        data, raw = read_event(raw)
        if not data:
            return StreamEvent(raw)
        if data.strip() == b"[DONE]":
            return StreamEvent(raw, done=True)
        body = self.object_in(data)
        kind, response = kind_of(body), fields_of(body.get("response"))
        if kind == "error":
            raise refusal(self.provider, 0, body)
        if kind == "response.failed":
            raise refusal(self.provider, 0, response)
        if kind in _LAST:
            return StreamEvent(raw, usage=output.usage_of(response.get("usage")), finished=1)
        delta = body.get("delta")
        if kind.endswith(".delta") and isinstance(delta, str) and delta:
            return StreamEvent(raw, pieces=1, text_bytes=len(delta.encode("utf-8", "surrogatepass")))
        return StreamEvent(raw)


class ResponsesTranslator(StreamTranslator):
    """Makes this API's events of chat chunks, with gapless sequence numbers.

    Thoughts and words follow one another, each an item that is done when the other begins; tool calls, whose
    pieces may come in turns, are done at the end.
    """

    def __init__(self, request: Request) -> None:
        self._response = output.new_response(request)
        self._sequence = 0
        self._begun = False
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._numbers = CallNumbers()
        self._items: list[dict[str, Any] | None] = []
        self._finish: object = None
        self._out = bytearray()

    def take(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """See ``StreamTranslator.take``."""
        return [replace(event, raw=self._translate(event), bare_usage=False) for event in events]

    def end(self, usage: Usage) -> list[StreamEvent]:
        """See ``StreamTranslator.end``."""
        self._begin()
        if not self._items:
            self._into("output_text")
        self._close()
        for call in self._calls.values():
            self._done(call)
        self._response["output"] = self._items
        kind = output.finish(self._response, self._finish, usage)
        self._say(kind, response=self._response)
        return [StreamEvent(self._taken())]

    def _translate(self, event: StreamEvent) -> bytes:
        for chunk in json_events(event.raw):
            self._begin()
            for choice in choices_of(chunk):
                delta = choice.get("delta")
                if index_of(choice) == 0 and isinstance(delta, dict):
                    self._delta(delta, output.logprobs_of(choice))
                self._finish = choice.get("finish_reason") or self._finish
        return self._taken()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._say("response.created", response=self._response)
            self._say("response.in_progress", response=self._response)

    def _delta(self, delta: Mapping[str, Any], logprobs: list[Any]) -> None:
        if thought := reasoning_of(delta):
            item = self._into("summary_text")
            item.text += thought
            self._of(item, "response.reasoning_summary_text.delta", summary_index=0, delta=thought)
        if words := content_of(delta):
            item = self._into("output_text")
            item.text += words
            item.logprobs += logprobs
            self._of(item, "response.output_text.delta", content_index=0, delta=words, logprobs=logprobs)
        if refused := refusal_of(delta):
            item = self._into("refusal")
            item.text += refused
            self._of(item, "response.refusal.delta", content_index=0, delta=refused)
        for call in tool_calls_of(delta):
            self._call(call)

    def _call(self, call: ToolCall) -> None:
        number = self._numbers.number(call)
        item = self._calls.get(number)
        if item is None:
            self._close()
            item = self._calls[number] = self._new("function_call", "fc")
            item.call_id, item.name = call.id or output.new_id("call"), call.name
            self._added(item)
        if call.arguments:
            item.text += call.arguments
            self._of(item, "response.function_call_arguments.delta", delta=call.arguments)

    def _into(self, kind: str) -> _Item:
        """The open item of this kind; what else is open is done first."""
        if self._open is not None and self._open.kind == kind:
            return self._open
        self._close()
        item = self._open = self._new(kind, "rs" if kind == "summary_text" else "msg")
        self._added(item)
        if kind == "summary_text":
            self._of(item, "response.reasoning_summary_part.added", summary_index=0, part=item.part())
        else:
            self._of(item, "response.content_part.added", content_index=0, part=item.part())
        return item

    def _new(self, kind: str, prefix: str) -> _Item:
        self._items.append(None)
        return _Item(kind, output.new_id(prefix), len(self._items) - 1)

    def _close(self) -> None:
        if self._open is not None:
            self._done(self._open)
            self._open = None

    def _done(self, item: _Item) -> None:
        part, text = item.part(), item.text
        if item.kind == "summary_text":
            self._of(item, "response.reasoning_summary_text.done", summary_index=0, text=text)
            self._of(item, "response.reasoning_summary_part.done", summary_index=0, part=part)
        elif item.kind == "output_text":
            logprobs = item.logprobs
            self._of(item, "response.output_text.done", content_index=0, text=text, logprobs=logprobs)
            self._of(item, "response.content_part.done", content_index=0, part=part)
        elif item.kind == "refusal":
            self._of(item, "response.refusal.done", content_index=0, refusal=text)
            self._of(item, "response.content_part.done", content_index=0, part=part)
        else:
            arguments = item.fields("completed")["arguments"]
            self._of(item, "response.function_call_arguments.done", name=item.name, arguments=arguments)
        whole = self._items[item.position] = item.fields("completed")
        self._say("response.output_item.done", output_index=item.position, item=whole)

    def _of(self, item: _Item, kind: str, **fields: Any) -> None:
        self._say(kind, item_id=item.id, output_index=item.position, **fields)

    def _added(self, item: _Item) -> None:
        fields = item.fields("in_progress", empty=True)
        self._say("response.output_item.added", output_index=item.position, item=fields)

    def _say(self, kind: str, **fields: Any) -> None:
        self._out += typed_event({"type": kind, "sequence_number": self._sequence, **fields})
        self._sequence += 1

    def _taken(self) -> bytes:
        taken = bytes(self._out)
        self._out.clear()
        return taken


class _Item:
    """An output item that is being written."""

    def __init__(self, kind: str, item_id: str, position: int) -> None:
        self.kind, self.id, self.position = kind, item_id, position
        self.text = self.name = self.call_id = ""
        self.logprobs: list[Any] = []

    def part(self) -> dict[str, Any]:
        """Its one part as it is now."""
        if self.kind == "output_text":
            return output.text_part(self.text, self.logprobs)
        name = "refusal" if self.kind == "refusal" else "text"
        return {"type": self.kind, name: self.text}

    def fields(self, status: str, empty: bool = False) -> dict[str, Any]:
        """The item as it is now, or before its part was added."""
        if self.kind == "function_call":
            return output.call_item(self.id, self.call_id, self.name, self.text, status)
        if self.kind == "summary_text":
            return output.reasoning_item(self.id, self.text) | ({"summary": []} if empty else {})
        return output.message_item(self.id, [] if empty else [self.part()], status)
