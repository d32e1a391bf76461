"""What providers of another format share to read chat requests and to build chat answers."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.errors import BadRequest
from mini_llm.price import Usage
from mini_llm.request import encode
from mini_llm.surfaces.chat import text_bytes
from mini_llm.surfaces.chat_chunks import usage_fields
from mini_llm.surfaces.lenient import at, member
from mini_llm.surfaces.wording import is_thought, refusal_of

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_MISNAMED: Final = {"image/jpg": "image/jpeg"}
"""What clients call a media type that OpenAI takes so, and others only by its name."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that a part of a message carries or points at.

    Attributes:
        media_type: such as ``image/png``.
        data: base64, None if it is to be fetched.
        url: where to fetch it, None if it is here.
    """

    media_type: str
    data: str | None
    url: str | None

    def text(self, param: str) -> str:
        """The bytes as UTF-8.

        Raises:
            BadRequest: they are none.
        """
        try:
            return base64.b64decode(self.data or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise BadRequest("a text file must be UTF-8 in base64", param) from None


def content_parts(message: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    """The parts of a message as (kind, value): text, refusal, image_url, input_audio, file. Thoughts of
    Mistral's are passed over.

    Raises:
        BadRequest: a part is malformed.
    """
    content = message.get("content")
    if content is None:
        return
    if isinstance(content, str):
        yield "text", {"text": content}
        return
    for position, part in enumerate(content if isinstance(content, list) else [content]):
        if is_thought(part):
            continue
        kind = member(part, "type")
        value = part if kind in ("text", "refusal") else member(part, str(kind))
        if not isinstance(kind, str) or not isinstance(value, dict):
            raise BadRequest("a part of the content is malformed", f"{where}.content.{position}")
        if kind in ("text", "refusal") and not isinstance(value.get(kind), str):
            raise BadRequest("a part of the content has no text", f"{where}.content.{position}")
        yield kind, value


def plain_text(message: Mapping[str, Any], where: str) -> str:
    """The text of a message that may hold nothing else, be it one with which the model refused.

    Raises:
        BadRequest: it does.
    """
    texts = []
    for kind, value in content_parts(message, where):
        if kind not in ("text", "refusal"):
            raise BadRequest(f"a {message.get('role')} message holds text only", f"{where}.content")
        texts.append(str(value[kind]))
    return "".join(texts) or refusal_of(message)


def blob(url: object, param: str, fallback: str = "image/jpeg") -> Blob:
    """Reads a ``data:`` URL or one to fetch.

    Raises:
        BadRequest: it is neither.
    """
    if isinstance(url, str) and url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        media_type, _, encoding = head.rpartition(";")
        if not comma or encoding != "base64":
            raise BadRequest("a data URL must be in base64", param)
        media_type = media_type.partition(";")[0] or fallback
        return Blob(_MISNAMED.get(media_type, media_type), data, None)
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return Blob(mimetypes.guess_type(url.partition("?")[0])[0] or fallback, None, url)
    raise BadRequest("a data URL or an http(s) URL is needed", param)


def function_of(tool: object, param: str) -> Mapping[str, Any]:
    """The function that a tool of a request declares, or a call of an answer names.

    Raises:
        BadRequest: it is no function; other kinds of tools exist at OpenAI only.
    """
    function = member(tool, "function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest("only tools of type 'function' can be translated for this provider", param)
    return function


def calls_in(message: Mapping[str, Any], where: str) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    """The calls of an earlier answer: each with its function and its place.

    Raises:
        BadRequest: they are no list of calls of functions.
    """
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise BadRequest("'tool_calls' must be a list", f"{where}.tool_calls")
    for position, call in enumerate(calls):
        param = f"{where}.tool_calls.{position}"
        yield call, function_of(call, param), param


def arguments_of(function: Mapping[str, Any], param: str) -> dict[str, Any]:
    """The arguments of an earlier call.

    Raises:
        BadRequest: they are no JSON object.
    """
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise BadRequest("'arguments' must be a JSON object in a string", param)
    return arguments


def refuse_older_functions(fields: Mapping[str, Any]) -> None:
    """Refuses the tools of before ``tools``, whose answers would have to be put in their own form too.

    Raises:
        BadRequest: the call, or an earlier answer in it, has any.
    """
    for name, newer in (("functions", "tools"), ("function_call", "tool_choice")):
        if fields.get(name):
            raise BadRequest(f"'{name}' cannot be translated for this provider: use '{newer}'", name)
    for position, message in enumerate(fields["messages"]):
        if message.get("function_call"):
            raise BadRequest(
                "'function_call' cannot be translated for this provider: use 'tool_calls'",
                f"messages.{position}.function_call",
            )


def stop_texts(fields: Mapping[str, Any]) -> list[str]:
    """The texts that end an answer."""
    stop = fields.get("stop")
    return [text for text in (stop if isinstance(stop, list) else [stop]) if isinstance(text, str) and text]


def json_schema_of(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that the answer must follow, None if there is none.

    Raises:
        BadRequest: it is malformed.
    """
    shape = fields.get("response_format")
    if not isinstance(shape, dict) or shape.get("type") != "json_schema":
        return None
    schema = at(shape, "json_schema.schema")
    if not isinstance(schema, dict):
        raise BadRequest("'json_schema' must hold a 'schema'", "response_format.json_schema")
    return schema


def whole_answer(
    head: Mapping[str, Any], choices: Sequence[tuple[dict[str, Any], str]], usage: Usage | None
) -> Completion:
    """A chat completion from messages and their finish reasons; ``head`` holds id, created and model."""
    answer = {
        **head,
        "object": "chat.completion",
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
            for index, (message, finish) in enumerate(choices)
        ],
    }
    if usage is not None:
        answer["usage"] = usage_fields(usage)
    return Completion(encode(answer), usage)


def chunk_event(
    head: Mapping[str, Any],
    choices: Sequence[tuple[int, dict[str, Any], str | None]],
    usage: Usage | None = None,
) -> StreamEvent:
    """A chunk of choices, each with its index, delta and finish reason; ``usage`` is told to us only."""
    chunk = {
        **head,
        "object": "chat.completion.chunk",
        "choices": [
            {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            for index, delta, finish in choices
        ],
    }
    lengths = [text_bytes({**delta, "thinking_blocks": None}) for _, delta, _ in choices]
    return StreamEvent(
        _event(chunk),
        usage=usage,
        pieces=sum(1 for length in lengths if length),
        text_bytes=sum(lengths),
        finished=sum(1 for _, _, finish in choices if finish),
    )


def usage_event(head: Mapping[str, Any], usage: Usage) -> StreamEvent:
    """The chunk that tells the client what was used."""
    chunk = {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage_fields(usage)}
    return StreamEvent(_event(chunk), usage=usage, bare_usage=True)


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + encode(chunk) + b"\n\n"
