"""What a model reads beside what is said: tools, schemas, calls and what they gave, written as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mini_llm.request import encode
from mini_llm.surfaces.wording import camel


def of_chat(fields: Mapping[str, Any]) -> list[str]:
    """That of a chat call."""
    shape = fields.get("response_format")
    found = [fields.get("tools"), fields.get("functions"), _member(shape, "json_schema")]
    for message in fields["messages"]:
        calls = message.get("tool_calls")
        made = [message.get("function_call"), *(calls if isinstance(calls, list) else ())]
        for call in made:
            function = _member(call, "function") or _member(call, "custom") or call
            found += [_member(function, name) for name in ("name", "arguments", "input")]
    return list(_written(found))


def of_messages(fields: Mapping[str, Any]) -> list[str]:
    """That of a call in Anthropic's format; documents of plain text too."""
    found = [fields.get("tools"), _member(fields.get("output_config"), "format")]
    for message in fields["messages"]:
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            found += [_member(block, name) for name in ("name", "input")]
            source = _member(block, "source")
            if _member(source, "type") == "text":
                found.append(_member(source, "data"))
    return list(_written(found))


def of_responses(fields: Mapping[str, Any]) -> list[str]:
    """That of a call of OpenAI's Responses API."""
    found = [fields.get("tools"), _member(_member(fields.get("text"), "format"), "schema")]
    items = fields.get("input")
    for item in items if isinstance(items, list) else ():
        found += [_member(item, name) for name in ("name", "arguments", "input")]
    return list(_written(found))


def of_gemini(
    fields: Mapping[str, Any], config: Mapping[str, Any], contents: list[dict[str, Any]]
) -> list[str]:
    """That of a call in Google's format, with its generation config and its contents."""
    found = [fields.get("tools"), config.get("responseSchema"), config.get("responseJsonSchema")]
    for content in contents:
        for given in content.get("parts") or ():
            part = camel(given) if isinstance(given, dict) else {}
            for name, said in (("functionCall", "args"), ("functionResponse", "response")):
                found += [_member(part.get(name), "name"), _member(part.get(name), said)]
    return list(_written(found))


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _written(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif value:
            yield encode(value).decode()
