"""docs/gateway/surfaces.md lists what each translation says, drops and refuses, field by field."""

from __future__ import annotations

from pathlib import Path

import pytest

from mini_llm.surfaces import (
    gemini_contents,
    gemini_embeddings,
    gemini_request,
    messages_content,
    messages_request,
    responses_items,
    responses_request,
)
from mini_llm.surfaces.wording import Wording

PAGE = Path(__file__).parents[2] / "docs" / "gateway" / "surfaces.md"
WORDINGS = {
    "messages": {"": messages_request.FIELDS, "tools.": messages_request.TOOL},
    "responses": {"": responses_request.FIELDS, "reasoning.": responses_request.REASONING},
    "gemini": {
        "": gemini_request.FIELDS,
        "generationConfig.": gemini_request.CONFIG,
        "functionDeclarations.": gemini_request.FUNCTION,
    },
    "gemini embeddings": {"": gemini_embeddings.FIELDS},
}
KINDS = {
    "messages": {"content block": messages_content.BLOCKS},
    "responses": {"input item": responses_items.ITEMS, "content part": responses_items.PARTS},
    "gemini": {"part": gemini_contents.PARTS},
}


def rows_of(wording: Wording, prefix: str) -> list[str]:
    lost = {**dict.fromkeys(wording.dropped, "dropped"), **dict.fromkeys(wording.refused, "refused")}
    reasons = {**wording.dropped, **wording.refused}
    return [f"| `{prefix}{name}` | {lost[name]} | {reasons[name]} |" for name in sorted(lost)]


def table(surface: str) -> list[str]:
    """The lines that the page must have for a surface."""
    lines = ["| what | becomes | because |", "|---|---|---|"]
    for prefix, wording in WORDINGS[surface].items():
        lines += rows_of(wording, prefix)
    for what, kinds in KINDS.get(surface, {}).items():
        for name, fate in kinds.items():
            becomes, _, because = fate.partition(": ")
            lines.append(f"| {what} `{name}` | {becomes} | {because} |")
    return lines


@pytest.mark.parametrize("surface", WORDINGS)
def test_the_page_tells_every_loss(surface: str) -> None:
    page = PAGE.read_text()
    assert "\n".join(table(surface)) in page, "\n".join(["write into the page:", *table(surface)])


@pytest.mark.parametrize("surface", WORDINGS)
def test_no_field_has_two_fates(surface: str) -> None:
    for wording in WORDINGS[surface].values():
        fates = [*wording.said, *wording.dropped, *wording.refused]
        assert len(fates) == len(set(fates))
