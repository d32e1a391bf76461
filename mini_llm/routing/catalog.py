"""What is on offer: the configured deployments, and those that providers find by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from mini_llm.config import DeploymentConfig, ProviderConfig, RoutingConfig
from mini_llm.deployment import Deployment
from mini_llm.errors import ConfigError, UnknownModel
from mini_llm.price import Price
from mini_llm.providers.base import Provider
from mini_llm.providers.registry import build_providers
from mini_llm.transport import Transport

DISCOVERY_INTERVAL_S = 10.0
"""Local servers are looked for again at most this often."""


class Catalog:
    """Which model is served by which provider."""

    def __init__(self, providers: Mapping[str, Provider], configured: Sequence[Deployment]) -> None:
        self._providers = providers
        self._configured = {deployment.model: deployment for deployment in configured}
        self._on_offer = dict(self._configured)
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    async def find(self, model: str) -> tuple[Deployment, Provider]:
        """The deployment of a model and its provider.

        Raises:
            UnknownModel: nobody serves it, newly started local servers included.
        """
        if model not in self._on_offer:
            await self._discover()
        try:
            deployment = self._on_offer[model]
        except KeyError:
            raise UnknownModel(model, tuple(sorted(self._on_offer))) from None
        return deployment, self._providers[deployment.provider]

    async def deployments(self) -> list[Deployment]:
        """All that is on offer now, by model name."""
        await self._discover()
        return [self._on_offer[model] for model in sorted(self._on_offer)]

    async def _discover(self) -> None:
        """Asks providers what they found, if the last answer is old. Configured models hide found ones."""
        async with self._looking:
            now = time.monotonic()
            if self._looked_at is not None and now - self._looked_at < DISCOVERY_INTERVAL_S:
                return
            found = await asyncio.gather(*(provider.discover() for provider in self._providers.values()))
            local = {deployment.model: deployment for group in found for deployment in group}
            self._on_offer = local | self._configured
            self._looked_at = now


def build_catalog(config: RoutingConfig, vibes_per_usd: int, http: Transport) -> Catalog:
    """Makes the providers and deployments of a configuration; ``http`` stays the caller's to close.

    Raises:
        ConfigError: an unknown provider or type, a model named twice, a price that is no whole number.
    """
    providers = build_providers(config.providers, http)
    deployments: dict[str, Deployment] = {}
    for position, item in enumerate(config.deployments):
        where = f"deployments.{position}"
        if item.model in deployments:
            raise ConfigError(f"{where}.model", f"{item.model!r} is offered twice")
        deployments[item.model] = _deployment(item, config.providers, vibes_per_usd, where)
    return Catalog(providers, list(deployments.values()))


def _deployment(
    item: DeploymentConfig, providers: Mapping[str, ProviderConfig], vibes_per_usd: int, where: str
) -> Deployment:
    provider = providers.get(item.provider)
    if provider is None:
        known = ", ".join(providers) or "none"
        raise ConfigError(f"{where}.provider", f"{item.provider!r} is not configured; there is: {known}")
    if provider.type == "local":
        raise ConfigError(
            f"{where}.provider",
            "a local provider finds its models itself, for free; to price one, "
            'name its server as {"type": "openai", "base_url": "http://127.0.0.1:11434/v1"}',
        )
    try:
        price = Price.from_usd(item.prompt_usd_per_mtok, item.completion_usd_per_mtok, vibes_per_usd)
    except ValueError as error:
        raise ConfigError(where, str(error)) from None
    return Deployment(
        id=f"{item.provider}/{item.model}",
        model=item.model,
        provider=item.provider,
        upstream_model=item.upstream_model or item.model,
        partner_id=item.partner,
        price=price,
        context_tokens=item.context_tokens,
        max_output_tokens=item.max_output_tokens,
    )
