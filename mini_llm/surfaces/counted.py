"""What a model reads beside what is said: tools, schemas, calls and what they gave, written as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mini_llm.request import encode
from mini_llm.surfaces.lenient import at, fields_of, listed, member
from mini_llm.surfaces.wording import camel


def of_chat(fields: Mapping[str, Any]) -> list[str]:
    """That of a chat call."""
    shape = fields.get("response_format")
    found = [fields.get("tools"), fields.get("functions"), member(shape, "json_schema")]
    for message in fields["messages"]:
        made = [message.get("function_call"), *listed(message.get("tool_calls"))]
        for call in made:
            function = member(call, "function") or member(call, "custom") or call
            found += [member(function, name) for name in ("name", "arguments", "input")]
    return list(_written(found))


def of_messages(fields: Mapping[str, Any]) -> list[str]:
    """That of a call in Anthropic's format; documents of plain text too."""
    found = [fields.get("tools"), at(fields, "output_config.format")]
    for message in fields["messages"]:
        for block in listed(message.get("content")):
            found += [member(block, name) for name in ("name", "input")]
            source = member(block, "source")
            if member(source, "type") == "text":
                found.append(member(source, "data"))
    return list(_written(found))


def of_responses(fields: Mapping[str, Any]) -> list[str]:
    """That of a call of OpenAI's Responses API."""
    found = [fields.get("tools"), at(fields, "text.format.schema")]
    for item in listed(fields.get("input")):
        found += [member(item, name) for name in ("name", "arguments", "input")]
    return list(_written(found))


def of_gemini(
    fields: Mapping[str, Any], config: Mapping[str, Any], contents: list[dict[str, Any]]
) -> list[str]:
    """That of a call in Google's format, with its generation config and its contents."""
    found = [fields.get("tools"), config.get("responseSchema"), config.get("responseJsonSchema")]
    for content in contents:
        for given in content.get("parts") or ():
            part = camel(fields_of(given))
            for name, said in (("functionCall", "args"), ("functionResponse", "response")):
                found += [member(part.get(name), "name"), member(part.get(name), said)]
    return list(_written(found))


def _written(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif value:
            yield encode(value).decode()
