"""A chat request as one of OpenAI's Responses API, for models that think beside tools only there.

Source: https://platform.openai.com/docs/guides/migrate-to-responses and the types of the package ``openai``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.providers.chat_shapes import calls_in, content_parts, function_of, plain_text
from mini_llm.request import Request
from mini_llm.surfaces.wording import kind_of, mapping

_MODELS: Final = re.compile(r"gpt-(5\.[2-9]|[6-9]\b)")
"""Models that refuse tools in chat unless ``reasoning_effort`` is ``none``: some if it is given, later ones
without it too."""
_SAME: Final = (
    *("stream", "temperature", "top_p", "parallel_tool_calls", "user", "metadata", "service_tier"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"),
)
_SAID: Final = frozenset(
    {
        *(*_SAME, "model", "messages", "tools", "tool_choice", "response_format", "reasoning_effort", "n"),
        *("verbosity", "max_tokens", "max_completion_tokens", "stream_options", "store", "seed", "top_k"),
        "cache_control",
    }
)
"""Fields that can be said so, or are but a wish. With any other that says something a call stays chat."""


def is_for_responses(request: Request, model: str) -> bool:
    """A model would refuse this chat call, and takes it as a response without losing anything."""
    fields = request.fields
    if not fields.get("tools") or fields.get("reasoning_effort") == "none" or not _MODELS.match(model):
        return False
    told = {name for name, value in fields.items() if value not in (None, 0, [], {})}
    named = any("name" in message for message in fields["messages"] if message["role"] != "tool")
    chosen, tools = fields.get("tool_choice"), fields["tools"]
    plain = not isinstance(chosen, dict) or kind_of(chosen) == "function"
    functions = isinstance(tools, list) and all(kind_of(tool) == "function" for tool in tools)
    return told <= _SAID and request.choices == 1 and not named and plain and functions


def as_response(request: Request) -> Request:
    """The same call in the Responses API; its answer is to be read as chat.

    Raises:
        BadRequest: it is malformed.
    """
    fields = request.fields
    told: dict[str, Any] = {name: fields[name] for name in _SAME if fields.get(name) is not None}
    told["store"] = bool(fields.get("store"))  # which is the default here, and not in chat
    messages = enumerate(fields["messages"])
    told["input"] = [item for at, one in messages for item in _items(one, f"messages.{at}")]
    told["tools"] = [_tool(function_of(tool, f"tools.{at}")) for at, tool in enumerate(fields["tools"])]
    if isinstance(chosen := fields.get("tool_choice"), dict):
        told["tool_choice"] = {"type": "function", "name": function_of(chosen, "tool_choice")["name"]}
    elif chosen is not None:
        told["tool_choice"] = chosen
    if fields.get("reasoning_effort") is not None:
        told["reasoning"] = {"effort": fields["reasoning_effort"]}
    if text := _text(fields):
        told["text"] = text
    return request._replace(surface="responses", fields=told)


def _items(message: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    role = message["role"]
    if role == "tool":
        said = plain_text(message, where)
        yield {"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": said}
        return
    if role != "assistant":
        parts = [_part(kind, value, where) for kind, value in content_parts(message, where)]
        yield {"type": "message", "role": role, "content": parts}
        return
    if said := plain_text(message, where):
        yield {"type": "message", "role": role, "content": said}
    for call, function, _ in calls_in(message, where):
        named = {"name": function["name"], "arguments": function.get("arguments") or "{}"}
        yield {"type": "function_call", "call_id": call.get("id"), **named}


def _part(kind: str, value: Mapping[str, Any], where: str) -> dict[str, Any]:
    if kind == "text":
        same = {name: value[name] for name in ("text", "prompt_cache_breakpoint") if name in value}
        return {"type": "input_text", **same}
    if kind == "image_url":
        detail = {"detail": value["detail"]} if value.get("detail") else {}
        return {"type": "input_image", "image_url": value.get("url"), **detail}
    if kind == "file":
        return {"type": "input_file", **value}
    raise BadRequest(f"content of type {kind!r} cannot go to this model beside tools", where)


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function as it stands here; it is strict unless it says no."""
    same = {name: function[name] for name in ("name", "description", "parameters") if name in function}
    return {"type": "function", "parameters": {}, **same, "strict": bool(function.get("strict"))}


def _text(fields: Mapping[str, Any]) -> dict[str, Any]:
    text = {} if fields.get("verbosity") is None else {"verbosity": fields["verbosity"]}
    shape = fields.get("response_format")
    if isinstance(shape, dict):
        named = mapping(shape.get("json_schema") or {}, "response_format.json_schema")
        text["format"] = {"type": shape.get("type"), **named}
    return text
