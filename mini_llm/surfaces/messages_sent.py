"""A conversation on its way to Anthropic: what other providers put into it, and Anthropic refuses."""

from __future__ import annotations

import re
from typing import Any, Final
from zlib import crc32

_KNOWN_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


def without_foreign(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages without thoughts that lack Anthropic's signature, and with ids that it takes.

    A turn that held nothing but such thoughts is left out.
    """
    return [bare for message in messages if (bare := _bare(message))]


def known_id(given: object) -> object:
    """An id of a tool call in the letters that Anthropic takes: the same for the call and its result."""
    if not isinstance(given, str) or _KNOWN_ID.fullmatch(given):
        return given
    return f"{re.sub('[^A-Za-z0-9_-]', '_', given)}_{crc32(given.encode()):08x}"


def _bare(message: dict[str, Any]) -> dict[str, Any] | None:
    content = message.get("content")
    if not isinstance(content, list) or not any(map(_is_foreign, content)):
        return message
    blocks = [_named(block) for block in content if not _is_foreign_thought(block)]
    return message | {"content": blocks} if blocks else None


def _is_foreign(block: object) -> bool:
    return isinstance(block, dict) and (_is_foreign_thought(block) or _named(block) is not block)


def _is_foreign_thought(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "thinking" and not block.get("signature")


def _named(block: Any) -> Any:
    """A block with an id that Anthropic takes."""
    member = {"tool_use": "id", "tool_result": "tool_use_id"}.get(block["type"]) if _has_kind(block) else None
    if member is None or (known := known_id(block.get(member))) is block.get(member):
        return block
    return block | {member: known}


def _has_kind(block: object) -> bool:
    return isinstance(block, dict) and isinstance(block.get("type"), str)
