"""The companies, one row each, and the catalogue of what is on offer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from mini_llm.config import DeploymentConfig, ProviderConfig, RoutingConfig
from mini_llm.deployment import Deployment
from mini_llm.errors import ConfigError, UnknownModel
from mini_llm.price import Price
from mini_llm.providers.base import Provider
from mini_llm.providers.local import USUAL_SERVERS, LocalProvider
from mini_llm.providers.openai import OpenAIProvider

DISCOVERY_INTERVAL_S = 10.0
"""Local servers are looked for again at most this often."""

Factory = Callable[[str, ProviderConfig, httpx.AsyncClient], Provider]


def openai_compatible(home_url: str, cap_field: str = "max_tokens") -> Factory:
    """A row for a company that speaks OpenAI's API at ``home_url`` and limits completions by ``cap_field``.

    Configured with a ``base_url``, it is some other server: all of those know ``max_tokens``.
    """

    def make(name: str, config: ProviderConfig, http: httpx.AsyncClient) -> Provider:
        return OpenAIProvider(
            name,
            str(config.base_url or home_url),
            http,
            api_key=config.api_key.get_secret_value() if config.api_key else None,
            cap_field=config.cap_field or ("max_tokens" if config.base_url else cap_field),
            continuous_usage=config.continuous_usage,
            timeout=_timeout(config),
        )

    return make


def _local(name: str, config: ProviderConfig, http: httpx.AsyncClient) -> Provider:
    servers = [str(url) for url in config.servers] if config.servers else list(USUAL_SERVERS.values())
    return LocalProvider(name, http, servers=servers, timeout=_timeout(config))


def _timeout(config: ProviderConfig) -> httpx.Timeout:
    return httpx.Timeout(config.read_timeout_s, connect=config.connect_timeout_s)


ROWS: dict[str, Factory] = {
    "openai": openai_compatible("https://api.openai.com/v1", cap_field="max_completion_tokens"),
    "local": _local,
}


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


def build_catalog(config: RoutingConfig, vibes_per_usd: int, http: httpx.AsyncClient) -> Catalog:
    """Makes the providers and deployments of a configuration; ``http`` stays the caller's to close.

    Raises:
        ConfigError: an unknown provider or type, a model named twice, a price that is no whole number.
    """
    for name, provider in config.providers.items():
        if provider.type not in ROWS:
            raise ConfigError(
                f"providers.{name}.type", f"{provider.type!r} is unknown; there is: {', '.join(ROWS)}"
            )
    deployments: dict[str, Deployment] = {}
    for position, item in enumerate(config.deployments):
        where = f"deployments.{position}"
        if item.model in deployments:
            raise ConfigError(f"{where}.model", f"{item.model!r} is offered twice")
        deployments[item.model] = _deployment(item, config.providers, vibes_per_usd, where)
    providers = {name: ROWS[item.type](name, item, http) for name, item in config.providers.items()}
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
        model=item.model,
        provider=item.provider,
        upstream_model=item.upstream_model or item.model,
        partner_id=item.partner,
        price=price,
        context_tokens=item.context_tokens,
        max_output_tokens=item.max_output_tokens,
    )
