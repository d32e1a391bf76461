"""Configuration of providers, deployments and routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from mini_llm.config_auto import AutoConfig
from mini_llm.config_base import ApiUrl, Count, Key, Name, Seconds, Strict, Tokens, Usd
from mini_llm.config_routing import (
    Balance,
    BreakerConfig,
    RetryConfig,
    RolloutConfig,
    RouteConfig,
    TimeoutsConfig,
)
from mini_llm.deployment import CHAT_NEEDS, HOUSE_PARTNER, MAX_PARTNER_ID
from mini_llm.request import NEEDS

__all__ = ["DeploymentConfig", "Name", "ProviderConfig", "RoutingConfig", "Strict"]


SurfaceName = Literal["chat", "responses", "embeddings", "messages"]
Capability = Annotated[str, Field(json_schema_extra={"enum": sorted(NEEDS)})]


class ProviderConfig(Strict):
    """How to reach one provider.

    Attributes:
        type: a row of ``mini_llm.providers.registry``.
        base_url: its API, up to and with ``/v1``; the row's own address if absent.
        api_key: sent as bearer token; write ``${NAME}`` to take it from the environment.
        cap_field: which request field limits the completion; follows from the row and the address if absent.
        continuous_usage: ask a stream for usage in every chunk (vLLM's ``continuous_usage_stats``).
        surfaces: formats that its server of OpenAI's format takes untouched; follows from the row if absent,
            and is ``chat`` alone for ``openai`` at another address than the company's.
        servers: for ``local``: base URLs to look at instead of the usual ports.
        connect_timeout_s: for making a connection.
        read_timeout_s: longest silence, before the answer and between its pieces.
    """

    type: str = "openai"
    base_url: ApiUrl | None = None
    api_key: Key | None = None
    cap_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    continuous_usage: bool = False
    surfaces: Annotated[tuple[SurfaceName, ...], Field(min_length=1)] | None = None
    servers: tuple[ApiUrl, ...] | None = None
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 300.0


class DeploymentConfig(Strict):
    """One model on offer; see ``mini_llm.deployment.Deployment``. Prices are decimal strings in USD."""

    id: Name | None = None
    """Its name in routes, headers and records, unique; ``provider/model`` if left out."""
    model: Name
    provider: Name
    upstream_model: Name | None = None
    partner: Annotated[int, Field(ge=HOUSE_PARTNER, le=MAX_PARTNER_ID)] = HOUSE_PARTNER
    prompt_usd_per_mtok: Usd | None = None
    completion_usd_per_mtok: Usd | None = None
    """Without it and the prompt's price: the provider's retail price, see ``mini_llm.retail``."""
    cached_usd_per_mtok: Usd | None = None
    """For prompt tokens from the provider's cache. A kind without a price costs as much as the total it
    is part of."""
    cache_write_usd_per_mtok: Usd | None = None
    cache_write_1h_usd_per_mtok: Usd | None = None
    """For tokens that Anthropic keeps in its cache for an hour; without it they cost as much as other
    cache writes."""
    audio_prompt_usd_per_mtok: Usd | None = None
    reasoning_usd_per_mtok: Usd | None = None
    audio_completion_usd_per_mtok: Usd | None = None
    context_tokens: Tokens = 8192
    max_output_tokens: Tokens = 1024
    capabilities: tuple[Capability, ...] = tuple(sorted(CHAT_NEEDS))
    """What it can do besides text; a request that needs more is not sent to it."""
    promotional: bool = False
    """Promotional credit may pay for it."""
    resale: bool = True
    """The provider's terms let a router sell its calls to others. With false it serves only callers who have
    a provider key of their own for it."""
    terms_url: ApiUrl | None = None
    """The provider's terms, which the list of models names."""
    weight: Annotated[int, Field(ge=0, le=10**6)] = 1
    """Its share of its group's calls, in proportion to the others' weights; with 0 it is only asked after
    them."""
    max_parallel: Count | None = None
    """The most calls at a time."""
    rpm: Count | None = None
    """The most requests per minute, as in the operator's contract with the provider."""
    tpm: Count | None = None
    """The most tokens per minute; counted when an answer ends."""
    timeouts: TimeoutsConfig = TimeoutsConfig()
    breaker: BreakerConfig | None = None
    """Overrides the one at the top; what it leaves out is taken from there."""
    drained: bool = False
    """It gets no new calls; those in flight end as they would."""

    @field_validator("capabilities")
    @classmethod
    def _are_needs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(value) - NEEDS:
            raise ValueError(f"{sorted(unknown)[0]!r} is unknown; there is: {', '.join(sorted(NEEDS))}")
        return value


class RoutingConfig(Strict):
    """Providers by name, and what they serve."""

    open_models: ClassVar[bool] = False
    """Models need not be configured: a name that is not may still be served."""

    providers: Mapping[Name, ProviderConfig]
    deployments: tuple[DeploymentConfig, ...] = ()
    aliases: dict[Name, Name | tuple[Name, ...]] = Field(default_factory=dict)
    """Other names for a model; with several models, each is tried when those before it fail."""
    routes: dict[Name, RouteConfig] = Field(default_factory=dict)
    """By model. A model without one is served by all its deployments, as one group."""
    rollouts: dict[Name, RolloutConfig] = Field(default_factory=dict)
    """New deployments that get a growing part of a model's traffic, by model."""
    auto: AutoConfig = AutoConfig()
    """How a model is chosen for requests that ask for `auto`."""
    balance: Balance = "weighted"
    """How a group's calls are shared out: by weight, to those that answered fastest lately, or always to the
    first that can serve."""
    latency_decay_s: Seconds = 60.0
    """Seconds over which past answers fade from a deployment's latency."""
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
