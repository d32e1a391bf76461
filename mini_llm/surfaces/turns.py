"""Turns of a chat, for a provider that refuses what others take in them."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final

from mini_llm.surfaces.base import Dialect
from mini_llm.surfaces.lenient import member
from mini_llm.surfaces.wording import is_thought, reasoning_of

THOUGHTS: Final = frozenset({"reasoning_content", "reasoning_details"})
"""What was thought: some companies want it back with a tool's result, others refuse it."""
FOREIGN: Final = frozenset({"thinking_blocks", "extra_content"})
"""What chat answers of Anthropic and Google carry here for the next turn, in the message or its tool calls:
no company of OpenAI's own format reads it, and some refuse it."""
OPENAI_TURN: Final = frozenset({"refusal", "annotations", "audio"})
"""What OpenAI's answers carry beside the usual, which some of those who speak its format refuse."""
_SAYS: Final = ("content", "tool_calls", "function_call", "refusal", "audio")
_UNKNOWN: Final = " "
"""What a company gets for thoughts that nobody kept and that it insists on; an empty text is none to it."""
_MARK: Final = frozenset({"cache_control"})
_NAME: Final = frozenset({"name"})

_SHORT_ID_LETTERS: Final = 9
_SHORT_ID: Final = re.compile(rf"[A-Za-z0-9]{{{_SHORT_ID_LETTERS}}}")


def in_dialect(messages: list[dict[str, Any]], dialect: Dialect) -> list[dict[str, Any]]:
    """Messages as a provider takes them.

    An answer that says nothing, perhaps cut in its thoughts, is left out, since some refuse it. A refusal
    that would go becomes the text of its turn, if that has none. An id of a tool call that is replaced is so
    in its result too. Results of tools keep what only other turns may not have.
    """
    told = [_turn(one, dialect) for one in messages]
    return [one for one in told if one["role"] != "assistant" or any(map(one.get, _SAYS))]


def without_marks(given: Any) -> Any:
    """Tools, or the content of a message, without Anthropic's marks of what to cache."""
    return [_shorn(one, _MARK) for one in given] if isinstance(given, list) else given


def _turn(turn: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    role = turn["role"]
    if len(turn) == 2 and role != "developer" and isinstance(turn.get("content"), str):
        return turn  # as most are
    drops = frozenset() if role == "tool" else dialect.turn_drops
    named = dialect.named is None or role in dialect.named
    told: dict[str, Any] = _shorn(turn, drops if named else drops | _NAME)
    if not dialect.cache_marks:
        told = _shorn(told, _MARK)
    if isinstance(content := told.get("content"), list):
        told = told | {"content": _content(content, dialect)}
    if role == "developer" and not dialect.openai:
        told = told | {"role": "system"}
    if "refusal" in drops and turn.get("refusal") and not turn.get("content"):
        told = told | {"content": turn["refusal"]}
    if isinstance(calls := turn.get("tool_calls"), list):
        told = told | {"tool_calls": [_call(call, drops, dialect) for call in calls]}
        if dialect.needs_thoughts and not turn.get("reasoning_content"):
            told["reasoning_content"] = reasoning_of(turn) or _UNKNOWN
    return _with_short(told, "tool_call_id") if dialect.short_ids else told


def _content(parts: list[Any], dialect: Dialect) -> list[Any] | None:
    kept = [part for part in parts if dialect.thinks_in_parts or not is_thought(part)]
    return (kept if dialect.cache_marks else without_marks(kept)) or None


def _call(call: Any, drops: frozenset[str], dialect: Dialect) -> Any:
    return _with_short(_shorn(call, drops), "id") if dialect.short_ids else _shorn(call, drops)


def _with_short(holder: Any, name: str) -> Any:
    given = member(holder, name)
    if not isinstance(given, str) or _SHORT_ID.fullmatch(given):
        return holder
    return holder | {name: sha256(given.encode()).hexdigest()[:_SHORT_ID_LETTERS]}


def _shorn(holder: Any, names: frozenset[str]) -> Any:
    if not isinstance(holder, dict) or names.isdisjoint(holder):
        return holder
    return {name: holder[name] for name in holder if name not in names}
