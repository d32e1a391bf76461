"""What the pages about the library say is what it does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mini_llm.config_sdk import Settings
from mini_llm.schema import schema_text
from mini_llm.settings import PROJECT_FILE

DOCS = Path(__file__).parents[2] / "docs"


def test_the_published_schema_is_the_present_one() -> None:
    expected = schema_text(Settings, PROJECT_FILE)
    assert (DOCS / "mini-llm.schema.json").read_text() == expected, "write what schema_text returns there"


@pytest.mark.parametrize("page", ["mini-llm.md", "mini-llm/configuration.md", "mini-llm/cookbook.md"])
def test_configurations_in_the_pages_are_valid(page: str) -> None:
    blocks = re.findall(r"```json\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    for block in blocks:
        fields = json.loads(block)
        fields.pop("$schema", None)
        Settings.model_validate(fields)


@pytest.mark.parametrize("page", ["mini-llm.md", "mini-llm/configuration.md", "mini-llm/cookbook.md"])
def test_python_in_the_pages_compiles(page: str) -> None:
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        compile(block, page, "exec")
