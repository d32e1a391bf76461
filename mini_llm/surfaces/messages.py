"""Anthropic's Messages API.

Source: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.answer import Completion
from mini_llm.errors import UpstreamProtocolError
from mini_llm.price import Usage
from mini_llm.request import Request, encode, flag, integer, model_name, read_object
from mini_llm.surfaces import counted
from mini_llm.surfaces.base import Dialect, StreamReader, StreamTranslator, Surface, WireError
from mini_llm.surfaces.chat import chat_request
from mini_llm.surfaces.lenient import fields_of, objects_in
from mini_llm.surfaces.messages_request import asks_thoughts, chat_fields, needs_of
from mini_llm.surfaces.messages_sent import without_foreign
from mini_llm.surfaces.messages_stream import (
    MessagesReader,
    MessagesTranslator,
    generated,
    usage_fields,
    usage_of,
)
from mini_llm.surfaces.wording import (
    arguments_object,
    choices_of,
    content_of,
    json_events,
    json_or_none,
    messages_of,
    reasoning_of,
    refusal_of,
    tool_calls_of,
    typed_event,
)

STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""Chat's finish reasons in Anthropic's words; chat does not tell a stop sequence from a natural end."""
_ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesSurface(Surface):
    """`POST /v1/messages`."""

    name = "messages"
    headers = ("anthropic-beta", "anthropic-version")

    def parse(self, body: bytes, model: str | None = None, stream: bool | None = None) -> Request:
        """See ``Surface.parse``."""
        fields, size_bytes = read_object(body)
        messages = messages_of(fields)
        return Request(
            surface=self.name,
            fields=fields,
            size_bytes=size_bytes,
            parts=len(messages) + 1,
            model=model_name(fields.get("model")),
            stream=flag(fields, "stream"),
            choices=1,
            output_cap=integer(fields, "max_tokens"),
            wants_usage=True,
            needs=needs_of(fields),
        )

    def upstream_body(
        self, request: Request, upstream_model: str, output_cap: int | None, dialect: Dialect
    ) -> bytes:
        """See ``Surface.upstream_body``."""
        fields = dict(request.fields) | {"model": upstream_model}
        if output_cap is not None:
            fields["max_tokens"] = output_cap
        fields["messages"] = without_foreign(fields["messages"])
        return encode(fields)

    def to_chat(self, request: Request) -> Request:
        """See ``Surface.to_chat``."""
        fields = chat_fields(request.fields)
        return chat_request(fields, len(encode(fields)))

    def from_chat(self, request: Request, answer: Mapping[str, Any], usage: Usage) -> bytes:
        """See ``Surface.from_chat``."""
        choice = next(iter(choices_of(answer)), {})
        message = fields_of(choice.get("message"))
        content = list(_blocks(message, asks_thoughts(request.fields)))
        reason = choice.get("finish_reason")
        return encode(
            {
                "id": new_id(),
                "type": "message",
                "role": "assistant",
                "model": request.model,
                "content": content,
                "stop_reason": stop_reason(reason, any(block["type"] == "tool_use" for block in content)),
                "stop_sequence": None,
                "usage": usage_fields(usage),
            }
        )

    def stream_from_chat(self, request: Request) -> StreamTranslator:
        """See ``Surface.stream_from_chat``."""
        return MessagesTranslator(
            {
                "id": new_id(),
                "type": "message",
                "role": "assistant",
                "model": request.model,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 0, "output_tokens": 0},
            },
            asks_thoughts(request.fields),
            stop_reason,
        )

    def read_answer(self, provider: str, body: bytes) -> Completion:
        """See ``Surface.read_answer``."""
        answer = json_or_none(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("content"), list):
            raise UpstreamProtocolError(provider, "the body has no 'content'")
        return Completion(body, usage_of(answer.get("usage")))

    def reader(self, provider: str) -> StreamReader:
        """See ``Surface.reader``."""
        return MessagesReader(provider)

    def prompt_texts(self, request: Request) -> list[str]:
        """See ``Surface.prompt_texts``."""
        said = (request.fields.get("system"), *(one.get("content") for one in request.fields["messages"]))
        return [text for content in said for text in _texts(content)]

    def unsaid_texts(self, request: Request) -> list[str]:
        """See ``Surface.unsaid_texts``."""
        return counted.of_messages(request.fields)

    def answer_text(self, raw: bytes) -> str:
        """See ``Surface.answer_text``."""
        return "".join(generated(body) for body in json_events(raw))

    def error_body(self, error: WireError) -> bytes:
        """See ``Surface.error_body``."""
        fallback = "api_error" if error.status >= 500 else "invalid_request_error"
        shape: dict[str, Any] = {
            "type": _ERROR_TYPES.get(error.status, fallback),
            "message": error.message,
            "code": error.code,
        }
        if error.param:
            shape["param"] = error.param
        return encode({"type": "error", "error": shape | dict(error.values)})

    def error_event(self, error: WireError) -> bytes:
        """See ``Surface.error_event``."""
        return b"event: error\ndata: " + self.error_body(error) + b"\n\n"

    def stream_end(self) -> bytes:
        """See ``Surface.stream_end``."""
        return typed_event({"type": "message_stop"})


def stop_reason(finish: object, called_tools: bool) -> str:
    """Chat's finish reason in Anthropic's words; some servers say ``stop`` after tool calls."""
    reason = STOP_REASONS.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"
    return "tool_use" if called_tools and reason == "end_turn" else reason


def new_id() -> str:
    """An id for a message, as Anthropic's begin."""
    return f"msg_{secrets.token_hex(12)}"


def _blocks(message: Mapping[str, Any], thoughts: bool) -> Iterator[dict[str, Any]]:
    if thoughts and (reasoning := reasoning_of(message)):
        yield {"type": "thinking", "thinking": reasoning, "signature": ""}
    if text := content_of(message) or refusal_of(message):
        yield {"type": "text", "text": text}
    for call in tool_calls_of(message):
        yield {
            "type": "tool_use",
            "id": call.id or f"toolu_{secrets.token_hex(12)}",
            "name": call.name,
            "input": arguments_object(call.arguments),
        }


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for block in objects_in(content):
        if isinstance(block.get("text"), str):
            yield block["text"]
        yield from _texts(block.get("content"))
