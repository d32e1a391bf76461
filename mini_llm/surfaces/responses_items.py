"""Input items of OpenAI's Responses API as chat messages.

Source: https://platform.openai.com/docs/api-reference/responses and the types of the package ``openai``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.request import Need
from mini_llm.surfaces.lenient import listed
from mini_llm.surfaces.wording import content_of, kind_of, mapping, objects, text, untranslatable

ITEMS: Final[Mapping[str, str]] = {
    "message": "said",
    "function_call": "said",
    "function_call_output": "said (an image, file or sound in it goes into a user message after it)",
    "reasoning": "said in a turn that calls tools, else dropped: some models want these thoughts back",
}
"""Kinds of input items and what becomes of them; any other kind is refused."""
PARTS: Final[Mapping[str, str]] = {
    "input_text": "said",
    "output_text": "said",
    "refusal": "said as text",
    "input_image": "said (a URL; a file id is refused)",
    "input_file": "said (file data; a file id and a URL are refused)",
    "input_audio": "said",
}
"""Kinds of content parts and what becomes of them; any other kind is refused."""
_MEDIA: Final = {"input_image": Need.IMAGES, "input_file": Need.FILES, "input_audio": Need.AUDIO}


def input_items(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The input as items.

    Raises:
        BadRequest: it is neither text nor a list of items.
    """
    given = fields.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return objects(given, "input")


def item_needs(items: list[dict[str, Any]]) -> Iterator[str]:
    """What the items ask of a deployment; one of a kind that nobody knows may hold anything: a file."""
    for item in items:
        if kind_of(item) == "reasoning":
            continue
        for content in (item.get("content"), item.get("output")):
            for part in listed(content):
                kind = kind_of(part)
                if kind not in PARTS:
                    yield Need.FILES
                elif kind in _MEDIA:
                    yield _MEDIA[kind]
        if kind_of(item, "message") not in ITEMS:
            yield Need.FILES


def chat_messages(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Instructions and items as chat messages: what an assistant says and calls in one turn is one message,
    and the results of its calls follow it, wherever they stood.

    Raises:
        BadRequest: malformed, or chat cannot say it.
    """
    if fields.get("instructions"):
        yield {"role": "system", "content": text(fields["instructions"], "instructions")}
    items = input_items(fields)
    results = _Results(items)
    turn: dict[str, Any] | None = None  # the assistant's, as long as it goes on
    thoughts = ""  # in it, or before it
    for position, item in enumerate(items):
        path, kind = f"input.{position}", kind_of(item, "message")
        if kind == "reasoning":
            thoughts += _thought(item)
            continue
        if kind == "function_call" or (kind == "message" and item.get("role") == "assistant"):
            turn = turn or {"role": "assistant", "content": None}
            _add(turn, item, path, calls=kind == "function_call")
            continue
        if turn is not None:
            yield from _with_results(turn, thoughts, results)
        turn, thoughts = None, ""
        if kind == "function_call_output":
            yield from results.at(position)
        elif kind == "message":
            yield _message(item, path)
        else:
            raise untranslatable(f"{path}.type", f"an input item of type {kind!r}")
    if turn is not None:
        yield from _with_results(turn, thoughts, results)


def _thought(item: Mapping[str, Any]) -> str:
    """What a model thought, or its summary where the rest is kept or sealed."""
    return content_of({"content": item.get("content") or item.get("summary")})


def _add(turn: dict[str, Any], item: Mapping[str, Any], path: str, *, calls: bool) -> None:
    """Adds to an assistant's turn what an item says or calls."""
    if calls:
        function = {
            "name": text(item.get("name"), f"{path}.name"),
            "arguments": text(item.get("arguments"), f"{path}.arguments"),
        }
        call = {"id": text(item.get("call_id"), path), "type": "function", "function": function}
        turn["tool_calls"] = [*turn.get("tool_calls", ()), call]
        return
    said = _message(item, path)["content"]
    turn["content"] = f"{turn['content']}\n\n{said}" if turn["content"] and said else said or turn["content"]


def _with_results(turn: dict[str, Any], thoughts: str, results: _Results) -> Iterator[dict[str, Any]]:
    calls = turn.get("tool_calls", [])
    if calls and thoughts:  # DeepSeek and Kimi refuse the results of calls without them
        turn["reasoning_content"] = thoughts
    yield turn if calls else turn | {"content": turn["content"] or ""}
    yield from results.of([call["id"] for call in calls])


class _Results:
    """Outputs of calls, each said once: after its call, or where it stands if there is none before it."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items = items
        self._open: dict[object, list[int]] = {}  # by the call's id: positions of what it gave
        for position, item in enumerate(items):
            if kind_of(item, "message") == "function_call_output" and isinstance(item.get("call_id"), str):
                self._open.setdefault(item["call_id"], []).append(position)

    def of(self, call_ids: list[str]) -> Iterator[dict[str, Any]]:
        """The outputs of calls, and then a user message with the media in them."""
        given = [self._open[one].pop(0) for one in call_ids if self._open.get(one)]
        yield from self._said(given)

    def at(self, position: int) -> Iterator[dict[str, Any]]:
        """The output at a position, unless it has been said."""
        call_id = text(self._items[position].get("call_id"), f"input.{position}.call_id")
        if position in self._open.get(call_id, ()):
            self._open[call_id].remove(position)
            yield from self._said([position])

    def _said(self, positions: list[int]) -> Iterator[dict[str, Any]]:
        media: list[dict[str, Any]] = []
        for position in positions:
            item, path = self._items[position], f"input.{position}.output"
            output = item.get("output")
            if not isinstance(output, str):
                parts = [_part(part, path) for part in objects(output, path)]
                media += [part for part in parts if part["type"] != "text"]
                output = "".join(part["text"] for part in parts if part["type"] == "text")
            yield {"role": "tool", "tool_call_id": item["call_id"], "content": output}
        if media:  # chat's results of tools are text
            yield {"role": "user", "content": media}


def _message(item: Mapping[str, Any], path: str) -> dict[str, Any]:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        raise BadRequest(f"'{path}.role' must be user, assistant, system or developer", f"{path}.role")
    role = "system" if role == "developer" else role  # the word that every server knows
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = [_part(part, f"{path}.content.{i}") for i, part in enumerate(objects(content, f"{path}.content"))]
    if role == "assistant" or (all(part["type"] == "text" for part in parts) and len(parts) == 1):
        return {"role": role, "content": _joined(parts, f"{path}.content")}
    return {"role": role, "content": parts}


def _joined(parts: list[dict[str, Any]], path: str) -> str:
    """Text parts as one text; chat's assistants have nothing else."""
    if any(part["type"] != "text" for part in parts):
        raise untranslatable(path, "anything but text here")
    return "".join(part["text"] for part in parts)


def _part(part: Mapping[str, Any], path: str) -> dict[str, Any]:
    kind = kind_of(part)
    if kind in ("input_text", "output_text"):
        return {"type": "text", "text": text(part.get("text"), f"{path}.text")}
    if kind == "refusal":
        return {"type": "text", "text": text(part.get("refusal"), f"{path}.refusal")}
    if kind == "input_image" and part.get("image_url") is not None:
        image = {"url": text(part["image_url"], f"{path}.image_url")}
        detail = part.get("detail")
        return {
            "type": "image_url",
            "image_url": image | ({"detail": detail} if detail in ("low", "high", "auto") else {}),
        }
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": mapping(part.get("input_audio"), path)}
    if kind == "input_file" and part.get("file_data") is not None:
        file = {name: text(part[name], path) for name in ("filename", "file_data") if part.get(name)}
        return {"type": "file", "file": file}
    raise untranslatable(path, f"a part of type {kind!r} like this")
