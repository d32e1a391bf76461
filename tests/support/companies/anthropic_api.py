"""Anthropic's Messages API, checked against the types of its own SDK."""

from __future__ import annotations

import json
import re
from typing import Any

from aiohttp import web
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase
from pydantic import TypeAdapter

from support.companies.server import stream

KEY = "sk-ant-test"
REQUEST_ID = "req_011"
SIGNATURE = "c2lnbmVk"
STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
OLDER_FIELDS = frozenset({"temperature", "top_p", "top_k"})
"""Fields that older models take and the SDK no longer lists."""
ONE_SAMPLER = ("claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5")
USAGE: dict[str, Any] = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
    "cache_read_input_tokens": 8,
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 4},
}
LIMITED = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:00Z",
    "retry-after": "7",
}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    529: "overloaded_error",
}


def complaint_of(body: dict[str, Any]) -> str:
    """What the company would say about messages, tools and thinking; empty if nothing."""
    turns = body["messages"]
    if not turns:
        return "messages: at least one message is required"
    if turns[0]["role"] != "user":
        return "messages: first message must use the user role"
    for turn in turns:
        if not turn["content"]:
            return "messages: all messages must have non-empty content"
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        said = blocks + [
            one for block in blocks if isinstance(block.get("content"), list) for one in block["content"]
        ]
        for block in said:
            if block["type"] == "text" and not block["text"].strip():
                return "messages: text content blocks must contain non-whitespace text"
            if block["type"] == "thinking" and not block["signature"]:
                return "messages: Invalid `signature` in `thinking` block"
            call_id = block.get("tool_use_id", block.get("id", "x"))
            if not isinstance(call_id, str) or not re.fullmatch(r"[a-zA-Z0-9_-]+", call_id):
                return "messages: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    if {"temperature", "top_p"} <= body.keys() and body["model"].startswith(ONE_SAMPLER):
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    last = turns[-1]["content"][-1] if isinstance(turns[-1]["content"], list) else {}
    if turns[-1]["role"] == "assistant" and str(last.get("text", "")) != str(last.get("text", "")).rstrip():
        return "messages: final assistant content cannot end with trailing whitespace"
    if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        if body.get("tool_choice", {}).get("type") in ("any", "tool"):
            return "Thinking may not be enabled when tool_choice forces tool use."
        if body["model"].startswith("claude-3-haiku"):
            return "thinking: this model does not support thinking"
    return ""


class Anthropic:
    """Answers ``refuse 429``, ``cut``, ``overload`` and anything else as the company does."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.stop_reason = "end_turn"

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        keys = (request.headers.get("x-api-key"), request.headers.get("authorization"))
        if not {KEY, f"Bearer {KEY}"} & set(keys) or "anthropic-version" not in request.headers:
            return self._refuse(401, "invalid x-api-key")
        if request.path == "/v1/messages/count_tokens":
            return self._checked(body, MessageCountTokensParams) or web.json_response({"input_tokens": 25})
        if request.path != "/v1/messages":
            return self._refuse(404, "Not Found")
        if refused := self._checked(body, MessageCreateParamsBase):
            return refused
        last = self._last_text(body)
        if last.startswith("refuse "):
            return self._refuse(int(last.split()[1]), "words of the company")
        if body.get("stream"):
            return await self._stream(request, body, last)
        return web.json_response(self._message(body), headers={"request-id": REQUEST_ID})

    def _checked(self, body: dict[str, Any], shape: Any) -> web.Response | None:
        """The refusal of a body that the SDK's types do not describe."""
        unknown = body.keys() - shape.__annotations__.keys() - OLDER_FIELDS - {"stream"}
        if unknown:
            return self._refuse(400, f"{sorted(unknown)[0]}: Extra inputs are not permitted")
        if complaint := complaint_of(body):
            return self._refuse(400, complaint)
        if not all(text.strip() for text in body.get("stop_sequences", ())):
            return self._refuse(400, "stop_sequences: each stop sequence must contain non-whitespace")
        thinking = body.get("thinking", {})
        if thinking.get("type") == "enabled" and thinking["budget_tokens"] >= body["max_tokens"]:
            return self._refuse(400, "`max_tokens` must be greater than `thinking.budget_tokens`")
        return None

    def _last_text(self, body: dict[str, Any]) -> str:
        content = body["messages"][-1]["content"]
        return content if isinstance(content, str) else str(content[-1].get("text"))

    def _refuse(self, status: int, message: str) -> web.Response:
        error = {"type": KINDS[status], "message": message}
        body = {"type": "error", "error": error, "request_id": REQUEST_ID}
        headers = {"request-id": REQUEST_ID} | (LIMITED if status == 429 else {})
        return web.json_response(body, status=status, headers=headers)

    def _blocks(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
            blocks.append({"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE})
        blocks.append({"type": "text", "text": "Hello, wörld"})
        for number, tool in enumerate(body.get("tools", ())):
            called = {
                "type": "tool_use",
                "id": f"toolu_{number}",
                "name": tool["name"],
                "input": {"word": "x"},
            }
            blocks.append(called)
        return blocks

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": self._blocks(body),
            "stop_reason": "tool_use" if body.get("tools") else self.stop_reason,
            "stop_sequence": None,
            "usage": USAGE,
        }
        Message.model_validate(message, strict=True)
        return message

    async def _stream(self, request: web.Request, body: dict[str, Any], last: str) -> web.StreamResponse:
        started = self._message(body) | {
            "content": [],
            "stop_reason": None,
            "usage": USAGE | {"output_tokens": 1},
        }
        events: list[dict[str, Any]] = [{"type": "message_start", "message": started}]
        for index, block in enumerate(self._blocks(body)):
            events += self._block_events(index, block)
        if last == "overload":
            events = events[:3]
            events.append({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        else:
            delta = {"stop_reason": self._message(body)["stop_reason"], "stop_sequence": None}
            told = {name: value for name, value in USAGE.items() if name != "cache_creation"}
            events.append({"type": "message_delta", "delta": delta, "usage": told})
            events.append({"type": "message_stop"})
        for event in events:
            if event["type"] != "error":
                STREAM_EVENT.validate_python(event)
        wire = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
        wire.insert(1, 'event: ping\ndata: {"type": "ping"}\n\n')
        cut = last == "cut"
        return await stream(request, wire[:4] if cut else wire, {"request-id": REQUEST_ID}, cut=cut)

    def _block_events(self, index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
        kind = block["type"]
        if kind == "thinking":
            empty = {"type": kind, "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": "Let me "},
                {"type": "thinking_delta", "thinking": "see."},
                {"type": "signature_delta", "signature": SIGNATURE},
            ]
        elif kind == "tool_use":
            empty = block | {"input": {}}
            parts = ("", '{"wo', 'rd": "x"}')
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
        else:
            empty = {"type": kind, "text": ""}
            deltas = [{"type": "text_delta", "text": part} for part in ("Hel", "lo, ", "wörld")]
        told = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        start = {"type": "content_block_start", "index": index, "content_block": empty}
        return [start, *told, {"type": "content_block_stop", "index": index}]
