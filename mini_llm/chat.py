"""A chat request in OpenAI's wire format, read only as far as routing and price need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from mini_llm.errors import BadRequest

MAX_CHOICES = 128
"""Most answers (``n``) that one request may ask for, as at OpenAI."""
MAX_MODEL_NAME = 200
_MAX_OUTPUT_TOKENS = 2**31
_CAP_FIELDS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat call as its client sent it. Fields that this class does not know pass through untouched.

    Attributes:
        fields: the whole request.
        size_bytes: length of the request as compact JSON in UTF-8: no part of it holds more bytes of text.
        model: the model asked for.
        stream: answer as server-sent events.
        choices: how many answers (``n``).
        output_cap: most completion tokens per choice, None if the client named none.
        wants_usage: a streaming client asked for the usage chunk.
        text_only: no image, audio or file, whose tokens do not follow from the request's size.
    """

    fields: Mapping[str, Any]
    size_bytes: int
    model: str
    stream: bool
    choices: int
    output_cap: int | None
    wants_usage: bool
    text_only: bool

    @classmethod
    def parse(cls, body: bytes) -> ChatRequest:
        """Reads a request body.

        Raises:
            BadRequest: not JSON in UTF-8, or a field that routing or price rests on is missing or malformed.
        """
        fields, size_bytes = _read_json(body)
        model = fields.get("model")
        if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_NAME:
            raise BadRequest("'model' must be the name of a model", "model")
        messages = fields.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadRequest("'messages' must be a list with at least one message", "messages")
        for position, message in enumerate(messages):
            if not isinstance(message, dict) or not isinstance(message.get("role"), str):
                raise BadRequest("each message must be an object with a 'role'", f"messages.{position}")
        options = fields.get("stream_options")
        if options is not None and not isinstance(options, dict):
            raise BadRequest("'stream_options' must be an object", "stream_options")
        caps = [_integer(fields, name, _MAX_OUTPUT_TOKENS) for name in _CAP_FIELDS]
        return cls(
            fields=fields,
            size_bytes=size_bytes,
            model=model,
            stream=_flag(fields, "stream"),
            choices=_integer(fields, "n", MAX_CHOICES) or 1,
            output_cap=min((cap for cap in caps if cap is not None), default=None),
            wants_usage=_flag(options or {}, "include_usage"),
            text_only=all(_is_text(message.get("content")) for message in messages),
        )

    def upstream_fields(self, upstream_model: str, output_cap: int | None, cap_field: str) -> dict[str, Any]:
        """The request as a provider gets it: its name for the model, and the limit that the quote rests on.

        A stream is asked to report usage, whether or not the client wants to see it.
        """
        fields = {name: value for name, value in self.fields.items() if name not in _CAP_FIELDS}
        fields["model"] = upstream_model
        if output_cap is not None:
            fields[cap_field] = output_cap
        if self.stream:
            fields["stream_options"] = {**(self.fields.get("stream_options") or {}), "include_usage": True}
        return fields


def _read_json(body: bytes) -> tuple[dict[str, Any], int]:
    # pydantic's parser bounds nesting by itself; the standard library's rests on the interpreter's recursion
    # limit, which other packages raise, and then deep nesting crashes the process.
    try:
        fields = from_json(body, allow_inf_nan=False)
        # Encoding again refuses what JSON cannot say, such as the infinity that 1e999 was read as.
        size_bytes = len(
            json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        )
    except ValueError:
        raise BadRequest("the body is not valid JSON in UTF-8") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    return fields, size_bytes


def _integer(fields: Mapping[str, Any], name: str, most: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= most:  # bool is an int, and True is no count
        raise BadRequest(f"'{name}' must be an integer from 1 to {most}", name)
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"'{name}' must be true or false", name)
    return bool(value)


def _is_text(content: object) -> bool:
    if isinstance(content, list):
        return all(isinstance(part, dict) and part.get("type") in ("text", "refusal") for part in content)
    return content is None or isinstance(content, str)
