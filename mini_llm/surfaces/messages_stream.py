"""Streams of Anthropic's Messages API: read as they come, and made of chat streams.

Source: https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from mini_llm.answer import StreamEvent
from mini_llm.errors import refusal
from mini_llm.price import Usage, part, plausible
from mini_llm.surfaces.base import StreamReader, StreamTranslator
from mini_llm.surfaces.lenient import at, fields_of, objects_in
from mini_llm.surfaces.sse import read_event
from mini_llm.surfaces.wording import (
    CallNumbers,
    choices_of,
    content_of,
    index_of,
    json_events,
    json_text,
    reasoning_of,
    refusal_of,
    tool_calls_of,
    typed_event,
)

_Key = tuple[str, int]
_GENERATED: Final = ("text", "thinking", "partial_json")


def usage_of(reported: object) -> Usage | None:
    """Reads Anthropic's ``usage``, whose ``input_tokens`` leave out what touched the cache."""
    if not isinstance(reported, dict):
        return None
    fresh = plausible(reported.get("input_tokens", 0))
    written = plausible(reported.get("output_tokens", 0))
    if fresh is None or written is None:
        return None
    cached = part(reported, "cache_read_input_tokens")
    stored = part(reported, "cache_creation_input_tokens")
    return Usage.split(
        fresh + cached + stored,
        written,
        cached_tokens=cached,
        cache_write_tokens=stored,
        cache_write_1h_tokens=part(reported.get("cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning_tokens=part(reported.get("output_tokens_details"), "thinking_tokens"),
    )


def usage_fields(usage: Usage) -> dict[str, Any]:
    """A usage in Anthropic's words."""
    fields: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return fields


def generated(body: Mapping[str, Any]) -> str:
    """The generated text in an event or in a whole message."""
    delta, content = body.get("delta"), body.get("content")
    if isinstance(delta, dict):
        return "".join(delta[name] for name in _GENERATED if isinstance(delta.get(name), str))
    said = []
    for block in objects_in(content):
        said += [block[name] for name in ("thinking", "text") if isinstance(block.get(name), str)]
        if "input" in block:
            said.append(json_text(block["input"]))
    return "".join(said)


class MessagesReader(StreamReader):
    """Reads Anthropic's events. Usage is told in parts: the prompt first, the completion as it grows."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._reported: dict[str, Any] = {}

    def event(self, raw: bytes) -> StreamEvent:
        """See ``StreamReader.event``."""
        data, raw = read_event(raw)
        if not data:
            return StreamEvent(raw)
        body = self.object_in(data)
        kind = body.get("type")
        if kind == "error":
            raise refusal(self.provider, 0, body)
        if kind == "content_block_delta":
            length = len(generated(body).encode("utf-8", "surrogatepass"))
            return StreamEvent(raw, pieces=1 if length else 0, text_bytes=length)
        if kind == "message_start":
            return StreamEvent(raw, usage=self._usage(fields_of(body.get("message"))))
        if kind == "message_delta":
            ends = at(body, "delta.stop_reason") is not None
            return StreamEvent(raw, usage=self._usage(body), finished=1 if ends else 0)
        return StreamEvent(raw, done=kind == "message_stop")

    def _usage(self, body: Mapping[str, Any]) -> Usage | None:
        """The running total: later counts replace earlier ones."""
        told = body.get("usage")
        if isinstance(told, dict):
            self._reported |= {name: value for name, value in told.items() if value is not None}
        return usage_of(self._reported or None)


class MessagesTranslator(StreamTranslator):
    """Makes Anthropic's events of chat chunks: one block is open at a time, blocks are numbered from 0.

    Pieces of chat's tool calls may come in turns, Anthropic's blocks may not: while a call is open, what
    belongs elsewhere is kept until the end.

    start: the message as ``message_start`` carries it.
    thoughts: the client wants to see them.
    stop_reason: what a chat finish reason is called, given whether tools were called.
    """

    def __init__(
        self, start: Mapping[str, Any], thoughts: bool, stop_reason: Callable[[object, bool], str]
    ) -> None:
        self._start: Mapping[str, Any] | None = start
        self._thoughts, self._stop_reason = thoughts, stop_reason
        self._open: _Key | None = None
        self._blocks = 0
        self._calls = CallNumbers()
        self._later: dict[_Key, tuple[Mapping[str, Any], list[dict[str, Any]]]] = {}
        self._called_tools = False
        self._finish: object = None
        self._out = bytearray()

    def take(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """See ``StreamTranslator.take``."""
        return [replace(event, raw=self._translate(event), bare_usage=False) for event in events]

    def end(self, usage: Usage) -> list[StreamEvent]:
        """See ``StreamTranslator.end``."""
        self._begin()
        self._close()
        for key, (block, deltas) in self._later.items():
            for delta in deltas:
                self._add(key, block, delta)
            self._close()
        self._say(
            {
                "type": "message_delta",
                "delta": {
                    "stop_reason": self._stop_reason(self._finish, self._called_tools),
                    "stop_sequence": None,
                },
                "usage": usage_fields(usage),
            }
        )
        return [StreamEvent(self._taken())]

    def _translate(self, event: StreamEvent) -> bytes:
        for chunk in json_events(event.raw):
            self._begin()
            for choice in choices_of(chunk):
                delta = choice.get("delta")
                if index_of(choice) == 0 and isinstance(delta, dict):
                    self._delta(delta)
                self._finish = choice.get("finish_reason") or self._finish
        return self._taken()

    def _begin(self) -> None:
        if self._start is not None:
            self._say({"type": "message_start", "message": self._start})
            self._say({"type": "ping"})
            self._start = None

    def _delta(self, delta: Mapping[str, Any]) -> None:
        if self._thoughts and (thought := reasoning_of(delta)):
            block = {"type": "thinking", "thinking": "", "signature": ""}
            self._add(("thinking", 0), block, {"type": "thinking_delta", "thinking": thought})
        if words := content_of(delta) or refusal_of(delta):
            self._add(("text", 0), {"type": "text", "text": ""}, {"type": "text_delta", "text": words})
        for call in tool_calls_of(delta):
            self._called_tools = True
            call_id = call.id or f"toolu_{secrets.token_hex(12)}"
            started: dict[str, Any] = {"type": "tool_use", "id": call_id, "name": call.name, "input": {}}
            piece = {"type": "input_json_delta", "partial_json": call.arguments}
            self._add(("tool_use", self._calls.number(call)), started, piece)

    def _add(self, key: _Key, block: Mapping[str, Any], delta: dict[str, Any]) -> None:
        """Adds to the block of this key, which begins with ``block`` if it is new."""
        if self._open is not None and self._open[0] == "tool_use" and self._open != key:
            self._later.setdefault(key, (block, []))[1].append(delta)
            return
        if self._open != key:
            self._close()
            self._open = key
            self._say({"type": "content_block_start", "index": self._blocks, "content_block": block})
        if delta.get("partial_json") != "":
            self._say({"type": "content_block_delta", "index": self._blocks, "delta": delta})

    def _close(self) -> None:
        if self._open is not None:
            self._say({"type": "content_block_stop", "index": self._blocks})
            self._blocks += 1
            self._open = None

    def _say(self, fields: Mapping[str, Any]) -> None:
        self._out += typed_event(fields)

    def _taken(self) -> bytes:
        taken = bytes(self._out)
        self._out.clear()
        return taken
