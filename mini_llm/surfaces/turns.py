"""Earlier turns of a chat, for a provider that refuses what others take in them."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final

THOUGHTS: Final = frozenset({"reasoning_content"})
"""What was thought: some companies want it back with a tool's result, others refuse it."""
FOREIGN: Final = frozenset({"thinking_blocks", "extra_content"})
"""What chat answers of Anthropic and Google carry here for the next turn, in the message or its tool calls:
no company of OpenAI's own format reads it, and some refuse it."""
OPENAI_TURN: Final = frozenset({"refusal", "annotations", "audio"})
"""What OpenAI's answers carry beside the usual, which some of those who speak its format refuse."""

_SHORT_ID_LETTERS: Final = 9
_SHORT_ID: Final = re.compile(rf"[A-Za-z0-9]{{{_SHORT_ID_LETTERS}}}")


def with_short_ids(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose tool calls have ids of nine letters and digits, each the same as its result's."""
    short = []
    for message in messages:
        if isinstance(calls := message.get("tool_calls"), list):
            message = message | {"tool_calls": [_with_short(call, "id") for call in calls]}
        short.append(_with_short(message, "tool_call_id"))
    return short


def _with_short(holder: Any, name: str) -> Any:
    given = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(given, str) or _SHORT_ID.fullmatch(given):
        return holder
    return holder | {name: sha256(given.encode()).hexdigest()[:_SHORT_ID_LETTERS]}


def without(messages: list[dict[str, Any]], names: frozenset[str]) -> list[dict[str, Any]]:
    """Messages that have none of the members named, nor have the tool calls in them.

    A refusal that would go becomes the text of its turn, if that has none. Results of tools stay as they are:
    who refuses the ``name`` of a user takes a tool's.
    """
    return [one if one["role"] == "tool" else _bare(one, names) for one in messages]


def _bare(turn: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    bare: dict[str, Any] = _shorn(turn, names)
    if isinstance(calls := turn.get("tool_calls"), list):
        bare = bare | {"tool_calls": [_shorn(call, names) for call in calls]}
    if "refusal" in names and turn.get("refusal") and not turn.get("content"):
        bare = bare | {"content": turn["refusal"]}
    return bare


def _shorn(holder: Any, names: frozenset[str]) -> Any:
    if not isinstance(holder, dict) or names.isdisjoint(holder):
        return holder
    return {name: holder[name] for name in holder if name not in names}
