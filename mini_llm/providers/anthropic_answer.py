"""A Messages answer as a chat answer, whole and as it streams.

Thoughts become ``reasoning_content``; with their signatures they are in ``thinking_blocks`` too, which a
client sends back so that the model may go on from them after a tool call.

Source: https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.errors import UpstreamProtocolError, refusal
from mini_llm.providers.chat_shapes import chunk_event, usage_event, whole_answer
from mini_llm.request import encode
from mini_llm.surfaces.base import StreamReader
from mini_llm.surfaces.lenient import fields_of, member, objects_in
from mini_llm.surfaces.messages_stream import usage_of
from mini_llm.surfaces.sse import event_data
from mini_llm.surfaces.wording import index_of, json_or_none

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_THOUGHTS: Final = ("thinking", "redacted_thinking")


def chat_completion(provider: str, body: bytes) -> Completion:
    """A whole Messages answer as a chat completion.

    Raises:
        UpstreamProtocolError: it is none.
    """
    answer = json_or_none(body)
    if not isinstance(member(answer, "content"), list):
        raise UpstreamProtocolError(provider, "the body has no 'content'")
    blocks = objects_in(answer["content"])
    message: dict[str, Any] = {"role": "assistant", "content": _join(blocks, "text"), "refusal": None}
    if thoughts := [block for block in blocks if block.get("type") in _THOUGHTS]:
        message |= {"reasoning_content": _join(thoughts, "thinking"), "thinking_blocks": thoughts}
    calls = [
        _call(str(block.get("id")), str(block.get("name")), encode(block.get("input") or {}).decode())
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    if calls:
        message["tool_calls"] = calls
    head = {"id": answer.get("id"), "created": int(time.time()), "model": answer.get("model")}
    return whole_answer(head, [(message, _finish(answer.get("stop_reason")))], usage_of(answer.get("usage")))


class MessagesAsChat(StreamReader):
    """Reads the events of a Messages stream as chat chunks."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._head: dict[str, Any] = {}
        self._reported: dict[str, Any] = {}
        self._calls: dict[int, int] = {}  # index of a content block: index of its tool call
        self._inputs: dict[int, dict[str, Any]] = {}  # arguments that came whole, unless they come in pieces
        self._thoughts: dict[int, dict[str, Any]] = {}
        self._thought = 0

    def event(self, raw: bytes) -> StreamEvent:
        """See ``StreamReader.event``."""
        data = event_data(raw)
        if not data:
            return StreamEvent(b"")
        event = self.object_in(data)
        kind = event.get("type")
        if kind == "error" or "error" in event:
            raise refusal(self.provider, 0, event)
        if kind == "message_start":
            return self._start(fields_of(event.get("message")))
        if kind == "content_block_start":
            return self._block(index_of(event), fields_of(event.get("content_block")))
        if kind == "content_block_delta":
            return self._delta(index_of(event), fields_of(event.get("delta")))
        if kind == "content_block_stop":
            return self._stop(index_of(event))
        if kind == "message_delta":
            return self._finish(event)
        usage = usage_of(self._reported) if kind == "message_stop" else None
        return usage_event(self._head, usage) if usage else StreamEvent(b"")  # a ping, or news to come

    def _start(self, message: dict[str, Any]) -> StreamEvent:
        self._head = {
            "id": message.get("id"),
            "created": int(time.time()),
            "model": message.get("model"),
        }
        self._reported = dict(fields_of(message.get("usage")))
        return self._chunk({"role": "assistant", "content": ""})

    def _block(self, index: int, block: Mapping[str, Any]) -> StreamEvent:
        kind = block.get("type")
        if kind in _THOUGHTS:
            self._thoughts[index] = dict(block)
        if kind == "tool_use":
            position = self._calls[index] = len(self._calls)
            self._inputs[index] = fields_of(block.get("input"))
            call = _call(str(block.get("id")), str(block.get("name")), "")
            return self._chunk({"tool_calls": [{"index": position, **call}]})
        if kind == "text" and block.get("text"):
            return self._chunk({"content": block["text"]})
        return StreamEvent(b"")

    def _delta(self, index: int, delta: Mapping[str, Any]) -> StreamEvent:
        kind = delta.get("type")
        if kind == "text_delta":
            return self._chunk({"content": str(delta.get("text") or "")})
        if kind == "thinking_delta":
            thought = str(delta.get("thinking") or "")
            kept = self._thoughts.get(index)
            if kept is not None:
                kept["thinking"] = str(kept.get("thinking") or "") + thought
            return self._chunk({"reasoning_content": thought})
        if kind == "signature_delta" and index in self._thoughts:
            self._thoughts[index]["signature"] = delta.get("signature")
        if kind == "input_json_delta" and index in self._calls:
            if written := str(delta.get("partial_json") or ""):
                self._inputs.pop(index, None)
            return self._arguments(index, written)
        return StreamEvent(b"")

    def _arguments(self, index: int, written: str) -> StreamEvent:
        call = {"index": self._calls[index], "function": {"arguments": written}}
        return self._chunk({"tool_calls": [call]})

    def _stop(self, index: int) -> StreamEvent:
        """A thought is whole: the client gets it with its signature, to send back with a tool's result. It is
        numbered, as OpenAI's client wants lists to be in whose pieces it puts together.

        So is a call, whose arguments some servers say at its start only.
        """
        if whole := self._inputs.pop(index, None):
            return self._arguments(index, encode(whole).decode())
        thought = self._thoughts.pop(index, None)
        if not thought:
            return StreamEvent(b"")
        number, self._thought = self._thought, self._thought + 1
        return self._chunk({"thinking_blocks": [{"index": number, **thought}]})

    def _finish(self, event: Mapping[str, Any]) -> StreamEvent:
        """The end of the answer; its counts are of the whole call, and replace those of its start."""
        told = fields_of(event.get("usage"))
        self._reported |= {name: value for name, value in told.items() if value is not None}
        reason = fields_of(event.get("delta")).get("stop_reason")
        finish = _finish(reason) if reason else None
        return chunk_event(self._head, [(0, {}, finish)], usage_of(self._reported))

    def _chunk(self, delta: dict[str, Any]) -> StreamEvent:
        return chunk_event(self._head, [(0, delta, None)])


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _join(blocks: list[dict[str, Any]], name: str) -> str | None:
    texts = [block[name] for block in blocks if isinstance(block.get(name), str)]
    return "".join(texts) if texts else None


def _finish(reason: object) -> str:
    return FINISH.get(reason, "stop") if isinstance(reason, str) else "stop"
