"""A conversation on its way to Anthropic: what other providers put into it, and Anthropic refuses."""

from __future__ import annotations

import re
from typing import Any, Final
from zlib import crc32

from mini_llm.surfaces.wording import kind_of

_KNOWN_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_IDS: Final = {"tool_use": "id", "tool_result": "tool_use_id"}


def without_foreign(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages without thoughts that lack Anthropic's signature, and with ids that it takes.

    A turn that held nothing but such thoughts is left out.
    """
    sent = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            blocks = [_named(block) for block in content if not _is_foreign_thought(block)]
            if content and not blocks:
                continue
            message = message | {"content": blocks}
        sent.append(message)
    return sent


def known_id(given: object) -> object:
    """An id of a tool call in the letters that Anthropic takes: the same for the call and its result."""
    if not isinstance(given, str) or _KNOWN_ID.fullmatch(given):
        return given
    return f"{re.sub('[^A-Za-z0-9_-]', '_', given)}_{crc32(given.encode()):08x}"


def _is_foreign_thought(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "thinking" and not block.get("signature")


def _named(block: Any) -> Any:
    """A block with an id that Anthropic takes."""
    member = _IDS.get(kind_of(block))
    return block | {member: known_id(block[member])} if member and member in block else block
