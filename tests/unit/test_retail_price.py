"""Prices of deployments: named ones as they are, else the provider's retail price."""

from __future__ import annotations

from typing import Any

import pytest

from mini_llm import retail
from mini_llm.config import DeploymentConfig, ProviderConfig
from mini_llm.config_file import Problem
from mini_llm.price import Price, Usage
from mini_llm.retail import price_of
from router.config import RouterConfig, price_problems

OPENAI = ProviderConfig(type="openai")


def priced(model: str, provider: ProviderConfig = OPENAI, **more: Any) -> Price:
    return price_of(DeploymentConfig(model=model, provider="p", **more), provider, 100)


def test_a_model_without_a_price_has_its_retail_price() -> None:
    price = priced("gpt-4o")
    assert price.completion_base_per_mtok == 4 * price.prompt_base_per_mtok > 0
    assert price.cached_base_per_mtok is not None
    assert price.cached_base_per_mtok < price.prompt_base_per_mtok
    google = ProviderConfig(base_url="https://generativelanguage.googleapis.com/v1beta/openai")  # type: ignore[arg-type]
    short = priced("gemini-2.5-pro", google, context_tokens=8_192)
    long = priced("gemini-2.5-pro", google, context_tokens=1_000_000)
    assert long.prompt_base_per_mtok > short.prompt_base_per_mtok, "a long prompt reaches the dearer tier"


def test_what_anthropic_keeps_for_an_hour_has_its_retail_price() -> None:
    price = priced("claude-sonnet-4-5", ProviderConfig(type="anthropic"))
    assert price.cache_write_1h_base_per_mtok == 2 * price.prompt_base_per_mtok
    assert price.cache_write_base_per_mtok is not None
    assert price.prompt_base_per_mtok < price.cache_write_base_per_mtok < 2 * price.prompt_base_per_mtok


def test_a_named_price_is_the_price() -> None:
    named = {"prompt_usd_per_mtok": "1", "completion_usd_per_mtok": "2", "cached_usd_per_mtok": "0.1"}
    price = priced("gpt-4o", **named, reasoning_usd_per_mtok="3")
    expected = Price(100_000_000, 200_000_000, 10_000_000)
    assert price == Price(*(100_000_000, 200_000_000, 10_000_000), reasoning_base_per_mtok=300_000_000)
    usage = Usage(10**6, 10**6, cached_tokens=10**6, reasoning_tokens=10**6)
    assert price.cost_base(usage) == 310_000_000
    assert expected.cost_base(usage) == 210_000_000
    assert priced("gpt-4o", prompt_usd_per_mtok="0").free, "one of the two named: the other is 0"


@pytest.mark.parametrize("named", [{}, {"completion_usd_per_mtok": "9"}])
def test_a_retail_price_of_tokens_does_not_pay_for_a_fee_of_each_call(named: dict[str, str]) -> None:
    offer = {"model": "sonar", "provider": "p"} | named
    providers = {"p": {"type": "perplexity", "api_key": "k"}}
    found = list(
        price_problems(RouterConfig.model_validate({"providers": providers, "deployments": [offer]}))
    )
    assert [place for place, _ in found] == ([] if named else [("deployments", 0, "model")])
    assert all("bills a fee for each call of 'sonar'" in problem for _, problem in found)


def test_a_model_that_nobody_knows_needs_a_price_to_be_sold(monkeypatch: pytest.MonkeyPatch) -> None:
    def problems(model: str, **more: Any) -> list[Problem]:
        offer = {"model": model, "provider": "p"} | more
        config = RouterConfig.model_validate({"providers": {"p": {}}, "deployments": [offer]})
        return list(price_problems(config))

    assert not problems("gpt-4o")
    assert not problems("pithy-1", prompt_usd_per_mtok="0")
    [(place, problem)] = problems("pithy-1")
    assert place == ("deployments", 0, "model")
    assert "'pithy-1' is known: write prompt_usd_per_mtok" in problem
    assert priced("pithy-1").free, "the library alone sells nothing"
    monkeypatch.setattr(retail, "_snapshot", lambda: None)
    assert problems("gpt-4o")
