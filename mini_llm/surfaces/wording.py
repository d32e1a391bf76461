"""What of a surface can be put as chat: said in other words, dropped as harmless, or refused by name."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from mini_llm.errors import BadRequest
from mini_llm.request import encode
from mini_llm.surfaces.lenient import fields_of, listed, objects_in
from mini_llm.surfaces.sse import event_data, split_events

_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""Escapes of JSON; in the group half a surrogate pair without the other."""
_UNDERSCORE: Final = re.compile(r"(?<=[a-z0-9])_([a-z])")


@dataclass(frozen=True, slots=True)
class Wording:
    """The fields of one object of a surface. A field that is in none of the three is refused like those.

    Attributes:
        said: chat says the same.
        dropped: left out, since the answer means the same without; by field, why.
        refused: chat cannot say it and the answer would mean something else; by field, why.
    """

    said: frozenset[str]
    dropped: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def check(self, fields: Mapping[str, Any], path: str = "") -> None:
        """Refuses what would get lost; fields that are null are absent.

        Raises:
            BadRequest: naming the first such field.
        """
        for name, value in fields.items():
            if value is None or name in self.said or name in self.dropped:
                continue
            why = self.refused.get(name, "it is not known here")
            raise BadRequest(
                f"'{path}{name}' works only with a provider that speaks this API itself, "
                f"and the one of this model does not: {why}",
                f"{path}{name}",
            )


def untranslatable(param: str, what: str) -> BadRequest:
    """The refusal of a value that chat cannot say."""
    return BadRequest(
        f"{what} works only with a provider that speaks this API itself, and the one of this model does not",
        param,
    )


def objects(value: object, param: str) -> list[dict[str, Any]]:
    """A list of JSON objects.

    Raises:
        BadRequest: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"'{param}' must be a list of objects", param)
    return value


def messages_of(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ``messages`` of a request, at least one, each with a role.

    Raises:
        BadRequest: they are something else.
    """
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list with at least one message", "messages")
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest("each message must be an object with a 'role'", f"messages.{position}")
    return messages


def text(value: object, param: str) -> str:
    """A string.

    Raises:
        BadRequest: it is something else.
    """
    if not isinstance(value, str):
        raise BadRequest(f"'{param}' must be a string", param)
    return value


def mapping(value: object, param: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadRequest: it is something else.
    """
    if not isinstance(value, dict):
        raise BadRequest(f"'{param}' must be an object", param)
    return value


def camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its names in camel case; the inner objects stay as they are."""
    return {_UNDERSCORE.sub(lambda found: found[1].upper(), name): value for name, value in fields.items()}


def kind_of(value: object, default: str = "") -> str:
    """The ``type`` of a JSON object, ``default`` if it has none, "?" if that is no name or it no object."""
    kind = value.get("type", default) if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else "?"


def data_url(media_type: str, data: str) -> str:
    """Base64 data as a URL, as chat takes images and files."""
    return f"data:{media_type};base64,{data}"


def arguments_object(arguments: object) -> dict[str, Any]:
    """A tool call's arguments as the object that they encode; what is none is kept under its own name."""
    if isinstance(arguments, dict):
        return arguments
    written = arguments if isinstance(arguments, str) else ""
    if not written.strip():
        return {}
    try:
        decoded = json_or_none(written.encode())
        encode(decoded)
    except ValueError:
        decoded = None
    return decoded if isinstance(decoded, dict) else {"malformed_arguments": written}


def json_text(value: object) -> str:
    """A value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def choices_of(body: object) -> list[dict[str, Any]]:
    """The choices of a chat completion or chunk."""
    choices = body.get("choices") if isinstance(body, dict) else None
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def index_of(part: Mapping[str, Any]) -> int:
    """The ``index`` of a choice or tool call, 0 if it has none."""
    index = part.get("index")
    return index if type(index) is int and index >= 0 else 0


def content_of(part: Mapping[str, Any]) -> str:
    """The text of a chat message or delta, whichever way the server writes it."""
    content = part.get("content")
    return content if isinstance(content, str) else "".join(texts_in(content))


def texts_in(content: object) -> list[str]:
    """The texts of a content, given as a string or in parts."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in objects_in(content) if isinstance(part.get("text"), str)]


def reasoning_of(part: Mapping[str, Any]) -> str:
    """The reasoning in a chat message or delta: DeepSeek's field, OpenRouter's, or Mistral's parts."""
    for name in ("reasoning_content", "reasoning"):
        value = part.get(name)
        if isinstance(value, str) and value:
            return value
    content = part.get("content")
    thoughts = filter(is_thought, listed(content))
    return "".join(content_of({"content": thought.get("thinking")}) for thought in thoughts)


def is_thought(part: object) -> bool:
    """A part of a message in which Mistral tells what its model thought."""
    return kind_of(part) == "thinking"


def refusal_of(part: Mapping[str, Any]) -> str:
    """The model's refusal in a chat message or delta."""
    value = part.get("refusal")
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call, or what a chunk adds to one; ``id`` and ``name`` are empty in all but its first chunk."""

    index: int
    id: str
    name: str
    arguments: str


def tool_calls_of(part: Mapping[str, Any]) -> list[ToolCall]:
    """The tool calls of a chat message or delta."""
    found = []
    for position, call in enumerate(listed(part.get("tool_calls"))):
        if not isinstance(call, dict):
            continue
        function = fields_of(call.get("function"))
        arguments = function.get("arguments")
        index = call.get("index")
        found.append(
            ToolCall(
                index if type(index) is int else position,
                call["id"] if isinstance(call.get("id"), str) else "",
                function["name"] if isinstance(function.get("name"), str) else "",
                arguments if isinstance(arguments, str) else json_text(arguments) if arguments else "",
            )
        )
    return found


class CallNumbers:
    """Tells which calls the pieces of a stream belong to, numbered from 0 in the order of their beginning.

    Some servers number every call 0, others repeat the id in every piece: a new id is a new call.
    """

    def __init__(self) -> None:
        self._current: dict[int, tuple[str, int]] = {}
        self._count = 0

    def number(self, call: ToolCall) -> int:
        """The number of the call that this piece belongs to."""
        known = self._current.get(call.index)
        if known is not None and (not call.id or call.id == known[0]):
            return known[1]
        self._current[call.index] = (call.id, self._count)
        self._count += 1
        return self._count - 1


def json_events(raw: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects in server-sent events; a body that is no event stream counts as one object."""
    found = False
    for event in split_events(raw):
        if not (data := event_data(event)):
            continue
        found = True
        if isinstance(body := json_or_none(data), dict):
            yield body
    if not found and isinstance(body := json_or_none(raw), dict):
        yield body


def json_or_none(data: bytes) -> Any:
    """A body as JSON, None if it is none.

    Half a surrogate pair, as servers write it that cut text by UTF-16 units, is read as U+FFFD: UTF-8, and so
    all that is made of it here, could not hold it. A byte order mark is passed over.
    """
    try:
        return from_json(data, cache_strings="keys")  # what a model writes does not come again
    except ValueError:
        pass
    mended = _ESCAPES.sub(lambda found: rb"\ufffd" if found[1] else found[0], data.removeprefix(BOM_UTF8))
    try:
        return None if mended == data else from_json(mended)
    except ValueError:
        return None


def failed_choice(body: object) -> dict[str, Any] | None:
    """The first choice of a chat completion or chunk that ended with an error, None if there is none.

    So OpenRouter tells that a company behind it failed.
    """
    for choice in choices_of(body):
        if choice.get("error") or choice.get("finish_reason") == "error":
            return choice
    return None


def typed_event(fields: Mapping[str, Any]) -> bytes:
    """A server-sent event that is named after the ``type`` of its data."""
    kind: str = fields["type"]
    return b"event: " + kind.encode() + b"\ndata: " + encode(fields) + b"\n\n"


def data_event(fields: Mapping[str, Any]) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + encode(fields) + b"\n\n"
