"""What a conversation begins with: the same in each of its calls, in every surface's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

from mini_llm.surfaces.wording import texts_in

_INSTRUCTIONS: Final = ("system", "instructions", "systemInstruction")
_TURNS: Final = ("messages", "input", "contents")


def opening(fields: Mapping[str, Any]) -> str:
    """What all calls of a conversation have in common.

    Args:
        fields: of a request, as its surface has them.

    Returns:
        Its ``prompt_cache_key`` if the caller gives one, else the texts up to the user's first turn. Marks
        of what to cache are left out, since clients move them from turn to turn.
    """
    named = fields.get("prompt_cache_key")
    if isinstance(named, str) and named:
        return named
    instructions = [fields.get(name) for name in _INSTRUCTIONS]
    turns = next((fields[name] for name in _TURNS if fields.get(name)), ())
    return "\0".join([*chain.from_iterable(map(_texts, instructions)), *_to_the_user(turns)])


def _to_the_user(turns: object) -> Iterator[str]:
    for turn in turns if isinstance(turns, list | tuple) else (turns,):
        yield from _texts(turn)
        if not isinstance(turn, dict) or turn.get("role", "user") == "user":
            return


def _texts(turn: object) -> list[str]:
    return texts_in(turn.get("content", turn.get("parts")) if isinstance(turn, dict) else turn)
