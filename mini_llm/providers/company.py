"""A company's API as data: what a row of the registry says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mini_llm.config import ProviderConfig
from mini_llm.errors import ConfigError
from mini_llm.providers import dialects
from mini_llm.providers.base import Provider
from mini_llm.providers.counting import Counting
from mini_llm.providers.limits import OPENAI_LIMITS, LimitHeaders
from mini_llm.providers.openai import CHAT_PATHS, PLAIN, SERVED_PATHS, OpenAIProvider
from mini_llm.providers.wire import Endpoint
from mini_llm.surfaces.base import Dialect
from mini_llm.surfaces.turns import FOREIGN
from mini_llm.transport import Timeouts, Transport

Factory = Callable[[str, ProviderConfig, Transport], Provider]
"""Makes the provider of a configured name; a ``Company`` is one."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a provider is made from.

    Attributes:
        company: its row.
        name: as configured.
        base_url: its address, without a slash at the end.
        headers: key and fixed headers of every call.
        paths: the row's formats and their paths, unless the configuration says otherwise.
        dialect: the row's, with what the configuration says otherwise.
        timeouts: of every call.
        http: what it speaks through; stays its maker's to close.
    """

    company: Company
    name: str
    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    paths: Mapping[str, str]
    dialect: Dialect
    timeouts: Timeouts
    http: Transport

    def endpoint(self) -> Endpoint:
        """What calls go through, with the limits and ids of the company's headers."""
        company = self.company
        return Endpoint(
            self.name,
            self.http,
            self.headers,
            self.timeouts,
            limits=company.limits,
            id_header=company.id_header,
        )


def openai_wire(wiring: Wiring) -> Provider:
    """A provider that speaks OpenAI's format."""
    company = wiring.company
    return OpenAIProvider(
        wiring.name,
        wiring.base_url,
        wiring.http,
        headers=wiring.headers,
        paths=wiring.paths,
        query=company.query,
        dialect=wiring.dialect,
        counting=company.counting,
        limits=company.limits,
        id_header=company.id_header,
        timeouts=wiring.timeouts,
    )


@dataclass(frozen=True, slots=True)
class Company:
    """One row of the registry.

    Attributes:
        type: what ``type`` in the configuration says.
        title: the company's own name.
        source: the documentation that the row was made from.
        url: its API, None if each customer has an address of their own, which ``base_url`` must then name.
        key_variable: environment variable that holds its key, as its documentation or SDK names it.
        key_header: header that carries the key, lower case.
        key_prefix: what stands before the key.
        headers: fixed headers.
        paths: formats that it takes untouched, and their paths after ``url``; ``{model}`` is filled in.
        query: query string of every call.
        dialect: how its chat differs in what it is sent.
        counting: how its token counts differ, None if they do not.
        limits: headers that tell its rate limits.
        id_header: header that names the call for its support.
        lacks: needs (``mini_llm.request.Need``) that no model of it serves over this API.
        models: patterns of the names of its models, for callers that name no provider.
        wire: makes the provider; another than OpenAI's format has a class of its own.
    """

    type: str
    title: str
    source: str
    url: str | None
    key_variable: str | None
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    headers: tuple[tuple[str, str], ...] = ()
    paths: Mapping[str, str] = field(default_factory=lambda: CHAT_PATHS)
    query: str = ""
    dialect: Dialect = PLAIN
    counting: Counting | None = None
    limits: tuple[LimitHeaders, ...] = OPENAI_LIMITS
    id_header: str = "x-request-id"
    lacks: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    wire: Callable[[Wiring], Provider] = openai_wire

    def __call__(self, name: str, config: ProviderConfig, http: Transport) -> Provider:
        """Makes the provider that a configuration names.

        Raises:
            ConfigError: there is no address, no key for the company's own one, or a choice of surfaces for a
                company that has its own format.
        """
        if config.base_url is None and self.url is None:
            raise ConfigError(
                f"providers.{name}.base_url", f"is missing: each customer of {self.title} has an own address"
            )
        if config.base_url is None and self.key_variable and config.api_key is None:
            raise ConfigError(
                f"providers.{name}.api_key", f"is missing: write one or export {self.key_variable}=…"
            )
        headers = dict(self.headers)
        if config.api_key:
            headers[self.key_header] = self.key_prefix + config.api_key.get_secret_value()
        return self.wire(
            Wiring(
                company=self,
                name=name,
                base_url=str(config.base_url or self.url).rstrip("/"),
                headers=headers,
                paths=self._paths(name, config),
                dialect=self._dialect(config),
                timeouts=timeouts(config),
                http=http,
            )
        )

    def _paths(self, name: str, config: ProviderConfig) -> Mapping[str, str]:
        """The formats that the configuration names; else the row's, of some other server chat only."""
        if config.surfaces is None:
            return CHAT_PATHS if self._is_other_server(config) else self.paths
        if self.wire is not openai_wire:
            raise ConfigError(
                f"providers.{name}.surfaces", f"is not for {self.title}, which has its own format"
            )
        known = {**SERVED_PATHS, **self.paths}
        return {surface: known[surface] for surface in config.surfaces}

    def _dialect(self, config: ProviderConfig) -> Dialect:
        """The row's, or that of any other server, with what the configuration says."""
        own = replace(self.dialect, turn_drops=self.dialect.turn_drops | FOREIGN)
        told = dialects.OTHER if self._is_other_server(config) else own
        cap_field = config.cap_field or told.cap_field
        return replace(told, cap_field=cap_field, continuous_usage=config.continuous_usage)

    def _is_other_server(self, config: ProviderConfig) -> bool:
        """``openai`` at another address than the company's: some server that speaks its format."""
        elsewhere = config.base_url is not None and str(config.base_url).rstrip("/") != self.url
        return self.type == "openai" and elsewhere


def timeouts(config: ProviderConfig) -> Timeouts:
    """The configured limits of each stage of a call."""
    return Timeouts(config.connect_timeout_s, config.read_timeout_s, config.read_timeout_s)
