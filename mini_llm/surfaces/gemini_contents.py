"""Contents and schemas of Google's Gemini API as chat messages and JSON schemas.

Source: https://ai.google.dev/api/caching#Content, https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.surfaces.wording import camel, data_url, json_text, mapping, objects, text, untranslatable

PARTS: Final[Mapping[str, str]] = {
    "text": "said",
    "inlineData": "said (images, WAV and MP3, PDF, text; other media are refused)",
    "fileData": "said for images with an https address; other files are refused",
    "functionCall": "said",
    "functionResponse": "said (media in it are refused)",
    "thought": "said in a turn that calls tools, else dropped: some models want these thoughts back",
    "thoughtSignature": "dropped: nobody but Google can read it",
}
"""Kinds of parts and what becomes of them; any other kind is refused."""
_BESIDE: Final = frozenset({"thought", "thoughtSignature", "partMetadata", "mediaResolution"})
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
_SAME_IN_SCHEMA: Final = {
    **{name: name for name in ("description", "enum", "format", "title", "default", "pattern", "required")},
    **{name: name for name in ("minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength")},
    **{name: name for name in ("minProperties", "maxProperties", "additionalProperties", "ref", "defs")},
}
_ROLES: Final = {"user": "user", "model": "assistant", "function": "user", "tool": "user"}


def content_list(given: object, param: str = "contents") -> list[dict[str, Any]]:
    """Contents: a list of objects, or one.

    Raises:
        BadRequest: something else, or parts that are no list.
    """
    contents = [given] if isinstance(given, dict) else objects(given, param)
    for position, content in enumerate(contents):
        if not isinstance(content.get("parts") or [], list):
            raise BadRequest("'parts' must be a list", f"{param}.{position}.parts")
    return contents


def chat_messages(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """System instruction and contents as chat messages.

    Raises:
        BadRequest: malformed, or chat cannot say it.
    """
    if instruction := fields.get("systemInstruction"):
        parts = [{"text": instruction}] if isinstance(instruction, str) else None
        if parts is None:
            parts = objects(mapping(instruction, "systemInstruction").get("parts") or [], "systemInstruction")
        told = [text(part.get("text"), "systemInstruction.parts") for part in parts]
        yield {"role": "system", "content": "\n\n".join(told)}
    calls = _Calls()
    for position, content in enumerate(content_list(fields.get("contents"))):
        path, role = f"contents.{position}", content.get("role") or "user"
        if not isinstance(role, str) or role not in _ROLES:
            raise BadRequest(f"'{path}.role' must be user or model", f"{path}.role")
        parts = objects(content.get("parts") or [], f"{path}.parts")
        if _ROLES[role] == "assistant":
            yield _assistant(parts, f"{path}.parts", calls)
        else:
            yield from _user(parts, f"{path}.parts", calls)


def schema(given: object, path: str) -> dict[str, Any]:
    """Google's schema, which follows OpenAPI, as JSON schema.

    Raises:
        BadRequest: it is no object.
    """
    fields = camel(mapping(given, path))
    made = {name: fields[name] for name in _SAME_IN_SCHEMA if fields.get(name) is not None}
    for keyword in ("ref", "defs"):
        if keyword in made:
            made[f"${keyword}"] = made.pop(keyword)
    kind = fields.get("type")
    if isinstance(kind, str) and kind != "TYPE_UNSPECIFIED":
        made["type"] = [kind.lower(), "null"] if fields.get("nullable") else kind.lower()
    elif isinstance(kind, list):
        made["type"] = kind
    if fields.get("items") is not None:
        made["items"] = schema(fields["items"], f"{path}.items")
    if fields.get("anyOf") is not None:
        made["anyOf"] = [schema(one, f"{path}.anyOf") for one in objects(fields["anyOf"], f"{path}.anyOf")]
    if fields.get("properties") is not None:
        named = mapping(fields["properties"], f"{path}.properties")
        made["properties"] = {name: schema(one, f"{path}.properties.{name}") for name, one in named.items()}
    return made


class _Calls:
    """Ids of function calls: Google may leave them out and match by name and order."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[str, str, bool]] = []  # name, id, and whether the client gave that

    def begin(self, name: str, given: object) -> str:
        """The id of a call, made up if none is given."""
        known = isinstance(given, str) and bool(given)
        call_id = str(given) if known else f"call_{self._count}"
        self._count += 1
        self._open.append((name, call_id, known))
        return call_id

    def answer(self, name: str, given: object, path: str) -> str:
        """The id of the call that a response answers.

        Raises:
            BadRequest: there is no such call before it.
        """
        ids = [call_id if known else None for _, call_id, known in self._open]
        if given and given in ids:
            return self._open.pop(ids.index(given))[1]
        for position, (called, call_id, known) in enumerate(self._open):
            if called == name and not (given and known):
                del self._open[position]
                return call_id
        raise BadRequest(f"there is no open call of the function {name!r} before this response", path)


def _assistant(parts: list[dict[str, Any]], path: str, calls: _Calls) -> dict[str, Any]:
    said, thoughts = list[str](), list[str]()
    made: list[dict[str, Any]] = []
    for position, given in enumerate(parts):
        where, part = f"{path}.{position}", camel(given)
        if part.get("functionCall") is not None:
            call = mapping(part["functionCall"], f"{where}.functionCall")
            name = text(call.get("name"), f"{where}.functionCall.name")
            arguments = json_text(mapping(call.get("args") or {}, f"{where}.functionCall.args"))
            function = {"name": name, "arguments": arguments}
            made.append({"id": calls.begin(name, call.get("id")), "type": "function", "function": function})
        elif isinstance(part.get("text"), str):
            (thoughts if part.get("thought") else said).append(part["text"])
        elif not part.keys() <= _BESIDE:
            raise untranslatable(where, "a part of this kind in a model's turn")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said) or (None if made else "")}
    if made and any(thoughts):  # DeepSeek and Kimi refuse the results of calls without them
        message["reasoning_content"] = "".join(thoughts)
    return message | {"tool_calls": made} if made else message


def _user(parts: list[dict[str, Any]], path: str, calls: _Calls) -> Iterator[dict[str, Any]]:
    """Function responses first, each a message of its own, as chat wants them right after the calls."""
    rest: list[dict[str, Any]] = []
    for position, given in enumerate(parts):
        where, part = f"{path}.{position}", camel(given)
        if part.get("functionResponse") is None:
            rest.append(_part(part, where))
            continue
        answer = camel(mapping(part["functionResponse"], f"{where}.functionResponse"))
        if answer.get("parts"):
            raise untranslatable(f"{where}.functionResponse.parts", "media in a function's response")
        name = text(answer.get("name"), f"{where}.functionResponse.name")
        yield {
            "role": "tool",
            "tool_call_id": calls.answer(name, answer.get("id"), where),
            "content": json_text(answer.get("response") or {}),
        }
    if len(rest) == 1 and rest[0]["type"] == "text":  # what the plainest servers understand
        yield {"role": "user", "content": rest[0]["text"]}
    elif rest:
        yield {"role": "user", "content": rest}


def _part(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    if isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if part.get("inlineData") is not None:
        return _inline(camel(mapping(part["inlineData"], f"{where}.inlineData")), f"{where}.inlineData")
    if part.get("fileData") is not None:
        file = camel(mapping(part["fileData"], f"{where}.fileData"))
        uri, kind = file.get("fileUri"), file.get("mimeType") or "image/"
        if isinstance(uri, str) and uri.startswith("https://") and str(kind).startswith("image/"):
            return {"type": "image_url", "image_url": {"url": uri}}
    raise untranslatable(where, "a part of this kind")


def _inline(blob: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = text(blob.get("mimeType"), f"{where}.mimeType").lower()
    data = text(blob.get("data"), f"{where}.data").replace("-", "+").replace("_", "/")  # Google takes both
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": data_url(kind, data)}}
    if kind in _AUDIO:
        return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[kind]}}
    if kind == "application/pdf":
        name = blob.get("displayName") or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": data_url(kind, data)}}
    if kind.startswith("text/"):
        try:
            return {"type": "text", "text": base64.b64decode(data, validate=True).decode()}
        except ValueError:
            raise BadRequest(f"'{where}.data' must be base64 of text in UTF-8", f"{where}.data") from None
    raise untranslatable(f"{where}.mimeType", f"data of type {kind!r}")
