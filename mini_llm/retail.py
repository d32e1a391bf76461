"""The price of a deployment: what its configuration says, else its provider's retail price.

Retail prices come from the package ``genai-prices``, which is loaded only if some deployment names no price.
They are looked up when the configuration is loaded, never for a call.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

from mini_llm.config import DeploymentConfig, ProviderConfig
from mini_llm.price import Price, base_per_mtok

PARTS: Final = (
    *("cached", "cache_write", "cache_write_1h", "audio_prompt", "reasoning", "audio_completion"),
)
"""Kinds of tokens that may have a price of their own."""
_RETAIL: Final = {
    "prompt": "input_mtok",
    "completion": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_prompt": "input_audio_mtok",
    "audio_completion": "output_audio_mtok",
}


def price_of(item: DeploymentConfig, provider: ProviderConfig, vibes_per_usd: int) -> Price:
    """The price of a deployment, in base units; nothing for a model that nobody knows a price of.

    Raises:
        ValueError: a price is finer than a base unit.
    """
    kinds = ("prompt", "completion", *PARTS)
    usd = {kind: named for kind in kinds if (named := _named(item, kind)) is not None}
    if not names_price(item):
        usd = (_retail(item, provider) or {}) | usd
    base = {f"{kind}_base_per_mtok": base_per_mtok(text, vibes_per_usd) for kind, text in usd.items()}
    return Price(**{"prompt_base_per_mtok": 0, "completion_base_per_mtok": 0} | base)


def names_price(item: DeploymentConfig) -> bool:
    """The configuration says what tokens cost."""
    return item.prompt_usd_per_mtok is not None or item.completion_usd_per_mtok is not None


def has_price(item: DeploymentConfig, provider: ProviderConfig) -> bool:
    """A price is named, if only 0, or a retail price is known."""
    return names_price(item) or _retail(item, provider) is not None


def has_fee(item: DeploymentConfig, provider: ProviderConfig) -> bool:
    """The price is the retail one of tokens, and the provider bills something for each call beside them."""
    fee = getattr(_snapshot_price(item, provider), "requests_kcount", None)
    return not names_price(item) and fee is not None


def _named(item: DeploymentConfig, kind: str) -> str | None:
    text: str | None = getattr(item, f"{kind}_usd_per_mtok")
    return text


def _retail(item: DeploymentConfig, provider: ProviderConfig) -> dict[str, str] | None:
    found = _snapshot_price(item, provider)
    if found is None:
        return None
    return {
        kind: plain
        for kind, name in _RETAIL.items()
        if (plain := _plain(getattr(found, name, None), item.context_tokens)) is not None
    }


def _snapshot_price(item: DeploymentConfig, provider: ProviderConfig) -> Any:
    """The package's price of a model now, None if it knows none or is not installed."""
    model, snapshot = item.upstream_model or item.model, _snapshot()
    url = None if provider.base_url is None else str(provider.base_url)
    if snapshot is None:
        return None
    try:
        _, known = snapshot.find_provider_model(model, None, None if url else provider.type, url)
    except LookupError:
        return None
    return known.get_prices(datetime.now(UTC))


@cache
def _snapshot() -> Any:
    try:
        from genai_prices import data_snapshot
    except ImportError:
        return None
    return data_snapshot.get_snapshot()


def _plain(price: Any, context_tokens: int) -> str | None:
    """A price as a plain decimal; of one with tiers the dearest that a prompt of this context can reach."""
    if price is None:
        return None
    tiers = getattr(price, "tiers", None)
    if tiers is not None:
        reached = [tier.price for tier in tiers if tier.start < context_tokens]
        price = max([price.base, *reached])
    return f"{Decimal(price).normalize():f}"
