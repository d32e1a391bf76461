"""What a chat call asks of a deployment beside text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from mini_llm.request import Need, Request, billed_beside_tokens
from mini_llm.surfaces.lenient import member, objects_in
from mini_llm.surfaces.wording import kind_of

MEDIUM_BUDGET_TOKENS: Final = 4096
HIGH_BUDGET_TOKENS: Final = 16_384
_TEXT_PARTS: Final = frozenset({"text", "refusal"})
_OWN_TOOLS: Final = (None, "function", "custom")
_ASKS: Final = {
    **dict.fromkeys(("tools", "functions"), Need.TOOLS),
    **dict.fromkeys(("reasoning_effort", "reasoning"), Need.REASONING),
    "logprobs": Need.LOGPROBS,
    "audio": Need.AUDIO,
}
"""Fields that ask for something by holding anything."""
_NO_EFFORT: Final = "none"
_BILLED: Final = frozenset({"web_search_options", "search_parameters", "enable_search", "deferred"})
"""Searches of OpenAI, xAI and Alibaba; an answer of xAI that is fetched later, so that none tells tokens."""
_MEDIA_PARTS: Final = {"image_url": Need.IMAGES, "input_audio": Need.AUDIO, "file": Need.FILES}


def field_needs(fields: Mapping[str, Any], choices: int) -> set[str]:
    """What the fields of a call ask of a deployment, its messages aside."""
    needs = {
        _ASKS[name] for name in fields.keys() & _ASKS.keys() if fields[name] and fields[name] != _NO_EFFORT
    }
    if member(fields.get("response_format"), "type") == "json_schema":
        needs.add(Need.JSON_SCHEMA)
    spoken = fields.get("modalities")
    if spoken and (not isinstance(spoken, list) or "audio" in spoken):
        needs.add(Need.AUDIO)
    if choices > 1:
        needs.add(Need.MANY)
    kinds = [tool.get("type") for tool in objects_in(fields.get("tools"))]
    if billed_beside_tokens(fields, [kind for kind in kinds if kind not in _OWN_TOOLS], _BILLED):
        needs.add(Need.HOSTED)
    return needs


def with_effort_for(request: Request, abilities: Collection[str]) -> Request:
    """The request as a model with these abilities takes it: one that does not think refuses to be told so."""
    fields = request.fields
    if fields.get("reasoning_effort") != _NO_EFFORT or Need.REASONING in abilities:
        return request
    kept = {name: value for name, value in fields.items() if name != "reasoning_effort"}
    return request._replace(fields=kept)


def effort_of(budget_tokens: int) -> str:
    """A budget for thoughts, as other formats have one, in chat's words."""
    if budget_tokens >= HIGH_BUDGET_TOKENS:
        return "high"
    return "medium" if budget_tokens >= MEDIUM_BUDGET_TOKENS else "low"


def content_needs(content: object) -> Iterator[str]:
    """Needs of a message that is not text alone; a part of a kind that nobody knows may hold anything, so it
    counts as a file."""
    if not isinstance(content, list):
        yield Need.FILES
        return
    for part in content:
        kind = kind_of(part)
        if kind not in _TEXT_PARTS:
            yield _MEDIA_PARTS.get(kind, Need.FILES)
