"""The companies, one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mini_llm.config import ProviderConfig
from mini_llm.errors import ConfigError
from mini_llm.providers.base import Provider
from mini_llm.providers.local import USUAL_SERVERS, LocalProvider
from mini_llm.providers.openai import OpenAIProvider
from mini_llm.surfaces.base import Dialect
from mini_llm.transport import Timeouts, Transport

Factory = Callable[[str, ProviderConfig, Transport], Provider]


def openai_compatible(home_url: str, cap_field: str = "max_tokens") -> Factory:
    """A row for a company that speaks OpenAI's API at ``home_url`` and limits completions by ``cap_field``.

    Configured with a ``base_url``, it is some other server: all of those know ``max_tokens``.
    """

    def make(name: str, config: ProviderConfig, http: Transport) -> Provider:
        return OpenAIProvider(
            name,
            str(config.base_url or home_url),
            http,
            api_key=config.api_key.get_secret_value() if config.api_key else None,
            dialect=Dialect(
                cap_field=config.cap_field or ("max_tokens" if config.base_url else cap_field),
                continuous_usage=config.continuous_usage,
            ),
            timeouts=_timeouts(config),
        )

    return make


def _local(name: str, config: ProviderConfig, http: Transport) -> Provider:
    servers = [str(url) for url in config.servers] if config.servers else list(USUAL_SERVERS.values())
    return LocalProvider(name, http, servers=servers, timeouts=_timeouts(config))


def _timeouts(config: ProviderConfig) -> Timeouts:
    return Timeouts(config.connect_timeout_s, config.read_timeout_s, config.read_timeout_s)


ROWS: dict[str, Factory] = {
    "openai": openai_compatible("https://api.openai.com/v1", cap_field="max_completion_tokens"),
    "local": _local,
}


def build_providers(configs: Mapping[str, ProviderConfig], http: Transport) -> dict[str, Provider]:
    """Makes the providers of a configuration; ``http`` stays the caller's to close.

    Raises:
        ConfigError: an unknown type.
    """
    for name, provider in configs.items():
        if provider.type not in ROWS:
            raise ConfigError(
                f"providers.{name}.type", f"{provider.type!r} is unknown; there is: {', '.join(ROWS)}"
            )
    return {name: ROWS[item.type](name, item, http) for name, item in configs.items()}
