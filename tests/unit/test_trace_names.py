"""How tries at providers are told in traces: by the conventions' names for companies, and where they are."""

from __future__ import annotations

from typing import Any

import pytest

from mini_llm.config import ProviderConfig
from mini_llm.providers.registry import COMPANIES
from router.observe.traces import NAMES, _described

OWN = "mine"


@pytest.mark.parametrize(
    ("config", "name", "address"),
    [
        ({}, "openai", ("api.openai.com", 443)),
        ({"base_url": "https://api.openai.com/v1/"}, "openai", ("api.openai.com", 443)),
        ({"base_url": "http://127.0.0.1:8000/v1"}, OWN, ("127.0.0.1", 8000)),
        ({"type": "xai"}, "x_ai", ("api.x.ai", 443)),
        ({"type": "anthropic", "base_url": "https://proxy.example"}, OWN, ("proxy.example", 443)),
        (
            {"type": "azure", "base_url": "https://me.openai.azure.com"},
            "azure.ai.openai",
            ("me.openai.azure.com", 443),
        ),
        ({"type": "together"}, OWN, ("api.together.ai", 443)),
        ({"type": "local"}, OWN, None),
        ({"type": "plugged-in", "base_url": "https://x.example:1"}, OWN, ("x.example", 1)),
    ],
)
def test_a_company_is_known_by_its_address(
    config: dict[str, Any], name: str, address: tuple[str, int] | None
) -> None:
    told = _described(OWN, ProviderConfig.model_validate(config))
    assert (told["gen_ai.provider.name"], told["vibes.provider"]) == (name, OWN)
    assert (None if address is None else (told["server.address"], told["server.port"])) == address
    assert ("server.address" in told) == (address is not None)


def test_every_name_is_of_a_company_that_there_is() -> None:
    assert NAMES.keys() <= COMPANIES.keys()
