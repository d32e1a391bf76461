"""What calls cost the user, looked up when somebody asks and never on a call's way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from mini_llm.answer import Billed
from mini_llm.config import DeploymentConfig
from mini_llm.config_base import MAX_CONTEXT_TOKENS
from mini_llm.config_sdk import VIBES_PER_USD, OpenProviderConfig, Settings
from mini_llm.deployment import Deployment
from mini_llm.price import Price, Usage
from mini_llm.retail import has_price, price_of
from mini_llm.routing.build import LOCAL, deployment_id
from mini_llm.wallet.limits import BASE_PER_USD

STEP_TOKENS: Final = 1000
"""Prices that depend on the length of the prompt change at multiples of this."""
FREE: Final = Price(0, 0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call costs.

    Attributes:
        base: base units, 10^-8 US dollars at par.
        billed: the wallet was charged this; otherwise it is the provider's price times the tokens.
    """

    base: int
    billed: bool = False

    @property
    def usd(self) -> str:
        """US dollars as a plain decimal, exactly."""
        whole, rest = divmod(self.base, BASE_PER_USD)
        return f"{whole}.{rest:08d}".rstrip("0").rstrip(".")


class Costs:
    """The prices that settings name, and those that are known for the rest."""

    def __init__(self, settings: Settings) -> None:
        self._providers = settings.providers
        self._listed = {deployment_id(item): item for item in settings.deployments}
        self._price = lru_cache(maxsize=4096)(self._looked_up)

    def cost(self, deployment: Deployment, usage: Usage | None, billed: Billed | None) -> Cost | None:
        """The cost of a call; None if no price is known, 0 for the servers of this machine."""
        if billed is not None:
            return Cost(billed.charge_base, billed=True)
        if usage is None:
            return None
        price = self.price(deployment, usage.prompt_tokens)
        return None if price is None else Cost(price.cost_base(usage))

    def price(self, deployment: Deployment, prompt_tokens: int = 1) -> Price | None:
        """What a deployment takes for a prompt of this length; None if no price is known."""
        return self._price(deployment.id, deployment.provider, deployment.upstream_model,
                           -(-max(prompt_tokens, 1) // STEP_TOKENS))  # fmt: skip

    def _looked_up(self, name: str, provider_name: str, model: str, prompt_steps: int) -> Price | None:
        provider = self._providers.get(provider_name)
        if provider is None:  # the wallet, which tells its charges itself
            return None
        if provider.type == LOCAL:
            return FREE
        item = self._listed.get(name)
        if item is None:
            context_tokens = min(prompt_steps * STEP_TOKENS, MAX_CONTEXT_TOKENS)
            item = DeploymentConfig(model=model, provider=provider_name, context_tokens=context_tokens)
        try:
            if has_price(item, provider):
                return price_of(item, provider, VIBES_PER_USD)
        except ValueError:  # finer than a base unit
            return None
        return FREE if _is_here(provider) else None


def _is_here(provider: OpenProviderConfig) -> bool:
    """The provider is a server of this machine."""
    host = urlsplit(str(provider.base_url or "")).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
