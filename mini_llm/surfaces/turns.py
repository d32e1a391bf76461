"""Earlier turns of a chat, for a provider that refuses what others take in them."""

from __future__ import annotations

from typing import Any, Final

THOUGHTS: Final = frozenset({"reasoning_content"})
"""What was thought: some companies want it back with a tool's result, others refuse it."""
FOREIGN: Final = frozenset({"thinking_blocks", "extra_content"})
"""What chat answers of Anthropic and Google carry here for the next turn, in the message or its tool calls:
no company of OpenAI's own format reads it, and some refuse it."""
OPENAI_TURN: Final = frozenset({"refusal", "annotations", "audio"})
"""What OpenAI's answers carry beside the usual, which some of those who speak its format refuse."""


def without(messages: list[dict[str, Any]], names: frozenset[str]) -> list[dict[str, Any]]:
    """Messages that have none of the members named, nor have the tool calls in them.

    A refusal that would go becomes the text of its turn, if that has none. Results of tools stay as they are:
    who refuses the ``name`` of a user takes a tool's.
    """
    return [one if one["role"] == "tool" else _bare(one, names) for one in messages]


def _bare(turn: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    bare = turn if names.isdisjoint(turn) else {name: turn[name] for name in turn if name not in names}
    if isinstance(calls := turn.get("tool_calls"), list):
        shorn = [_shorn(call, names) for call in calls]
        if any(one is not call for one, call in zip(shorn, calls, strict=True)):
            bare = bare | {"tool_calls": shorn}
    if "refusal" in names and turn.get("refusal") and not turn.get("content"):
        bare["content"] = turn["refusal"]
    return bare


def _shorn(call: Any, names: frozenset[str]) -> Any:
    if not isinstance(call, dict) or names.isdisjoint(call):
        return call
    return {name: call[name] for name in call if name not in names}
