"""The page of providers says what the registry says."""

from __future__ import annotations

import re
from pathlib import Path

from mini_llm.providers.registry import COMPANIES
from mini_llm.request import NEEDS
from mini_llm.surfaces import SURFACES

PAGE = Path(__file__).parents[2] / "docs" / "gateway" / "providers.md"


def test_the_table_of_types_is_the_registry() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    expected = []
    for kind, company in sorted(COMPANIES.items()):
        chat = "chat" if "chat" in company.paths else "chat*"
        expected.append(
            [
                f"`{kind}`",
                f"[{company.title}]({company.source})",
                company.url or "your own",
                f"`{company.key_variable}`",
                ", ".join([chat, *sorted(set(company.paths) - {"chat"})]),
                ", ".join(sorted(company.lacks)) or "–",
            ]
        )
    assert rows == expected


def test_rows_are_sound() -> None:
    for kind, company in COMPANIES.items():
        assert (company.type, company.key_header) == (kind, company.key_header.lower())
        assert company.source.startswith("https://")
        assert company.url is None or re.fullmatch(r"https://[a-z0-9./-]+[^/]", company.url)
        assert company.paths.keys() <= SURFACES.keys()
        assert company.lacks <= NEEDS
