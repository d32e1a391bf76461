"""Messages and content blocks of Anthropic's Messages API as chat messages.

Source: https://docs.anthropic.com/en/api/messages and the types of the package ``anthropic``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.request import Need
from mini_llm.surfaces.lenient import member
from mini_llm.surfaces.wording import data_url, json_text, kind_of, mapping, objects, text, untranslatable

BLOCKS: Final[Mapping[str, str]] = {
    "text": "said",
    "image": "said (base64 and URL; a file id is refused)",
    "document": "said (PDF in base64, text, content blocks; a URL, a file id and citations are refused)",
    "tool_use": "said",
    "tool_result": "said (an image in it goes into the user message after it; is_error as the word Error)",
    "thinking": "said in a turn that calls tools, else dropped: some models want these thoughts back",
    "redacted_thinking": "dropped: nobody but Anthropic can read it",
}
"""Kinds of content blocks and what becomes of them; any other kind is refused."""
_DROPPED_BLOCKS: Final = frozenset({"thinking", "redacted_thinking"})
_ATTRIBUTION: Final = "x-anthropic-billing-header:"
"""How the block begins. Source: https://code.claude.com/docs/en/llm-gateway-protocol"""
_MEDIA: Final = {"image": Need.IMAGES, "document": Need.FILES}


def chat_messages(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """System prompt and messages as chat messages.

    Raises:
        BadRequest: malformed, or chat cannot say it.
    """
    system = fields.get("system")
    if isinstance(system, list):
        system = [block for block in system if not _is_attribution(block)]
    if system:
        yield {"role": "system", "content": _plain(system, "system")}
    for position, message in enumerate(fields["messages"]):
        path = f"messages.{position}"
        role, content = message["role"], message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = objects(blocks, f"{path}.content")
        if role == "system":
            yield {"role": "system", "content": _plain(content, f"{path}.content")}
        elif role == "assistant":
            yield _assistant(blocks, path)
        elif role == "user":
            yield from _user(blocks, path)
        else:
            raise BadRequest(f"'{path}.role' must be user, assistant or system", f"{path}.role")


def _is_attribution(block: object) -> bool:
    """Claude Code's note to Anthropic, another one in each call: before a prompt it would keep any cache from
    knowing it again."""
    said = member(block, "text")
    return isinstance(said, str) and said.startswith(_ATTRIBUTION)


def _plain(content: object, path: str) -> str:
    """Text given as a string or as text blocks."""
    if isinstance(content, str):
        return content
    blocks = objects(content, path)
    for position, block in enumerate(blocks):
        if kind_of(block) != "text":
            raise BadRequest(f"'{path}' takes text only", f"{path}.{position}")
    return "\n\n".join(text(block.get("text"), f"{path}.text") for block in blocks)


def _assistant(blocks: list[dict[str, Any]], path: str) -> dict[str, Any]:
    said, thoughts = list[str](), list[str]()
    calls: list[dict[str, Any]] = []
    for position, block in enumerate(blocks):
        where, kind = f"{path}.content.{position}", kind_of(block)
        if kind == "text":
            said.append(text(block.get("text"), f"{where}.text"))
        elif kind == "thinking":
            thoughts.append(text(block.get("thinking"), f"{where}.thinking"))
        elif kind == "tool_use":
            function = {
                "name": text(block.get("name"), f"{where}.name"),
                "arguments": json_text(mapping(block.get("input"), f"{where}.input")),
            }
            calls.append(
                {"id": text(block.get("id"), f"{where}.id"), "type": "function", "function": function}
            )
        elif kind not in _DROPPED_BLOCKS:
            raise untranslatable(where, f"a content block of type {kind!r}")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said) or (None if calls else "")}
    if calls and any(thoughts):  # DeepSeek and Kimi refuse the results of calls without them
        message["reasoning_content"] = "".join(thoughts)
    return message | {"tool_calls": calls} if calls else message


def _user(blocks: list[dict[str, Any]], path: str) -> Iterator[dict[str, Any]]:
    """Tool results first, each a message of its own, as chat wants them right after the calls."""
    parts: list[dict[str, Any]] = []
    for position, block in enumerate(blocks):
        where = f"{path}.content.{position}"
        if kind_of(block) != "tool_result":
            parts += _parts(block, where)
            continue
        result = block.get("content") or ""
        pieces = (
            [{"type": "text", "text": result}]
            if isinstance(result, str)
            else [
                part
                for i, item in enumerate(objects(result, f"{where}.content"))
                for part in _parts(item, f"{where}.content.{i}")
            ]
        )
        parts += [piece for piece in pieces if piece["type"] != "text"]
        words = "\n".join(piece["text"] for piece in pieces if piece["type"] == "text")
        yield {
            "role": "tool",
            "tool_call_id": text(block.get("tool_use_id"), f"{where}.tool_use_id"),
            "content": f"Error: {words}" if block.get("is_error") else words,
        }
    if len(parts) == 1 and parts[0]["type"] == "text":  # what the plainest servers understand
        yield {"role": "user", "content": parts[0]["text"]}
    elif parts:
        yield {"role": "user", "content": parts}


def _parts(block: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    kind = kind_of(block)
    if kind == "text":
        return [{"type": "text", "text": text(block.get("text"), f"{where}.text")}]
    if kind == "image":
        return [{"type": "image_url", "image_url": {"url": _image_url(block, where)}}]
    if kind == "document":
        return _document(block, where)
    if kind in _DROPPED_BLOCKS:
        return []
    raise untranslatable(where, f"a content block of type {kind!r}")


def _image_url(block: Mapping[str, Any], where: str) -> str:
    source = mapping(block.get("source"), f"{where}.source")
    if kind_of(source) == "url":
        return text(source.get("url"), f"{where}.source.url")
    if kind_of(source) == "base64":
        return data_url(
            text(source.get("media_type"), f"{where}.source.media_type"),
            text(source.get("data"), f"{where}.source.data"),
        )
    raise untranslatable(f"{where}.source", f"an image of source {source.get('type')!r}")


def _document(block: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    source = mapping(block.get("source"), f"{where}.source")
    citations = block.get("citations")
    if isinstance(citations, dict) and citations.get("enabled"):
        raise untranslatable(f"{where}.citations", "citing a document")
    title = text(block.get("title") or "document", f"{where}.title")
    context = [{"type": "text", "text": text(block["context"], where)}] if block.get("context") else []
    kind = kind_of(source)
    if kind == "text":
        return [*context, {"type": "text", "text": text(source.get("data"), f"{where}.source.data")}]
    if kind == "content":
        content = source.get("content")
        if isinstance(content, str):
            return [*context, {"type": "text", "text": content}]
        inner = objects(content, f"{where}.source.content")
        return context + [part for i, one in enumerate(inner) for part in _flat(one, f"{where}.{i}")]
    if kind == "base64":
        media_type = text(source.get("media_type"), f"{where}.source.media_type")
        data = data_url(media_type, text(source.get("data"), f"{where}.source.data"))
        return [*context, {"type": "file", "file": {"filename": title, "file_data": data}}]
    raise untranslatable(f"{where}.source", f"a document of source {kind!r}")


def _flat(block: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """A block inside a document: text or image, so that documents do not nest."""
    if kind_of(block) not in ("text", "image"):
        raise untranslatable(where, f"a block of type {block.get('type')!r} in a document")
    return _parts(block, where)


def content_needs(content: object) -> Iterator[str]:
    """What a message asks of a deployment; a block of an unknown kind may be anything: a file."""
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        yield Need.FILES
        return
    for block in content:
        kind = kind_of(block)
        if kind in _MEDIA:
            yield _MEDIA[kind]
        elif kind == "tool_result":
            yield from content_needs(block.get("content"))
        elif kind not in BLOCKS:
            yield Need.FILES
