"""From a configuration to deployments, and what a configuration may not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import TypeVar

from mini_llm.config import DeploymentConfig, ProviderConfig, RoutingConfig
from mini_llm.config_base import Strict
from mini_llm.config_file import Problem
from mini_llm.config_origin import told
from mini_llm.config_routing import BreakerConfig, TimeoutsConfig
from mini_llm.deployment import Deployment
from mini_llm.errors import ConfigError
from mini_llm.providers.registry import NO_ENVIRONMENT, build_provider, lacks
from mini_llm.request import Need
from mini_llm.retail import price_of
from mini_llm.routing.health import Limits
from mini_llm.transport import Timeouts, Transport, TransportFailure, UpstreamResponse

LOCAL = "local"
EMBEDDINGS = Need.EMBEDDINGS

Settings = TypeVar("Settings", bound=Strict)


def check(config: RoutingConfig, vibes_per_usd: int, environ: Mapping[str, str] = NO_ENVIRONMENT) -> None:
    """Looks at how the parts of a configuration fit together.

    Raises:
        ConfigErrors: they do not.
    """
    if found := list(routing_problems(config, vibes_per_usd, environ)):
        raise told(config, found)


def routing_problems(
    config: RoutingConfig, vibes_per_usd: int, environ: Mapping[str, str] = NO_ENVIRONMENT
) -> Iterator[Problem]:
    """What does not fit together: providers that cannot be made, unknown names, ids that two share, prices
    that are no whole number of base units."""
    taken: dict[str, frozenset[str]] = {}
    for name, provider in config.providers.items():
        try:
            taken[name] = build_provider(name, provider, _Nowhere(), environ).surfaces
        except ConfigError as error:
            rest = error.where.removeprefix(f"providers.{name}").strip(".")
            yield ("providers", name, *([rest] if rest else [])), error.problem
    for position, item in enumerate(config.deployments):
        for field, problem in _deployment_problems(config, item, vibes_per_usd):
            yield ("deployments", position, *field), problem
        if set(item.capabilities) == {EMBEDDINGS} and EMBEDDINGS not in taken.get(
            item.provider, {EMBEDDINGS}
        ):
            problem = f"{item.provider!r} is not known to take embeddings: name them in its 'surfaces'"
            yield ("deployments", position, "capabilities"), problem
    twice = [found for found, count in Counter(map(deployment_id, config.deployments)).items() if count > 1]
    for position, item in enumerate(config.deployments):
        if deployment_id(item) in twice:
            problem = f"{deployment_id(item)!r} is offered twice: give each an id of its own"
            yield ("deployments", position, "id" if item.id else "model"), problem
    yield from _breaker_problems(config)
    yield from _route_problems(config)
    yield from _rollout_problems(config)
    yield from _alias_problems(config)


def deployment_id(item: DeploymentConfig) -> str:
    """The id of a configured deployment."""
    return item.id or f"{item.provider}/{item.model}"


def limits_of(item: DeploymentConfig) -> Limits:
    """The operator's limits for it."""
    return Limits(item.max_parallel, item.rpm, item.tpm)


def overlaid(base: Settings, over: Settings | None) -> Settings:
    """The base with what ``over`` says explicitly in its place."""
    if over is None:
        return base
    return base.model_copy(update={name: getattr(over, name) for name in over.model_fields_set})


def make_deployment(item: DeploymentConfig, config: RoutingConfig, vibes_per_usd: int) -> Deployment:
    """A configured deployment.

    Raises:
        ValueError: its price is finer than a base unit.
    """
    return Deployment(
        id=deployment_id(item),
        model=item.model,
        provider=item.provider,
        upstream_model=item.upstream_model or item.model,
        partner_id=item.partner,
        price=price_of(item, config.providers[item.provider], vibes_per_usd),
        context_tokens=item.context_tokens,
        max_output_tokens=item.max_output_tokens,
        capabilities=_capabilities(item, config.providers[item.provider].type),
        promotional=item.promotional,
        resale=item.resale,
        vibes_per_usd=vibes_per_usd,
        terms_url=None if item.terms_url is None else str(item.terms_url),
        weight=item.weight,
        timeouts=provider_timeouts(item.timeouts, config.providers[item.provider], config.timeouts),
    )


def _capabilities(item: DeploymentConfig, provider_type: str) -> frozenset[str]:
    """What the configuration says, else what the company's rows of the registry leave of the default."""
    if "capabilities" in item.model_fields_set:
        return frozenset(item.capabilities)
    return frozenset(item.capabilities) - lacks(provider_type)


def provider_timeouts(own: TimeoutsConfig, provider: ProviderConfig, general: TimeoutsConfig) -> Timeouts:
    """The deployment's own, else those that its provider sets, else the general ones, else the defaults."""
    given = provider.model_fields_set
    connect_s = provider.connect_timeout_s if "connect_timeout_s" in given else None
    read_s = provider.read_timeout_s if "read_timeout_s" in given else None
    return Timeouts(
        connect_s=own.connect_s or connect_s or general.connect_s or provider.connect_timeout_s,
        first_byte_s=own.first_byte_s or read_s or general.first_byte_s or provider.read_timeout_s,
        idle_s=own.idle_s or read_s or general.idle_s or provider.read_timeout_s,
        total_s=own.total_s or general.total_s,
    )


def _deployment_problems(
    config: RoutingConfig, item: DeploymentConfig, vibes_per_usd: int
) -> Iterator[Problem]:
    provider = config.providers.get(item.provider)
    if provider is None:
        known = ", ".join(config.providers) or "none"
        yield ("provider",), f"{item.provider!r} is not configured; there is: {known}"
        return
    if provider.type == LOCAL:
        yield (
            ("provider",),
            "a local provider finds its models itself, for free; to price one, "
            'name its server as {"type": "openai", "base_url": "http://127.0.0.1:11434/v1"}',
        )
    try:
        make_deployment(item, config, vibes_per_usd)
    except ValueError as error:
        yield (), str(error)


def _finds(config: RoutingConfig) -> bool:
    """Local servers are looked for, or models need not be configured: any name may still turn up."""
    return config.open_models or any(provider.type == LOCAL for provider in config.providers.values())


def _breaker_problems(config: RoutingConfig) -> Iterator[Problem]:
    """Times that are written, and would be cut to ``max_open_s``."""
    general = config.breaker
    yield from ((("breaker", field), problem) for field, problem in _cut(general, general.model_fields_set))
    for position, item in enumerate(config.deployments):
        if item.breaker is None:
            continue
        own = item.breaker.model_fields_set
        written = own | (general.model_fields_set if "max_open_s" in own else set())
        for field, problem in _cut(overlaid(general, item.breaker), written):
            yield ("deployments", position, "breaker", field if field in own else "max_open_s"), problem


def _cut(breaker: BreakerConfig, written: Container[str]) -> Iterator[tuple[str, str]]:
    for field in ("open_s", "refused_key_s"):
        seconds = getattr(breaker, field)
        if field in written and seconds > breaker.max_open_s:
            yield field, f"{field} is {seconds:g}, above max_open_s ({breaker.max_open_s:g})"


def _route_problems(config: RoutingConfig) -> Iterator[Problem]:
    ids = [deployment_id(item) for item in config.deployments]
    for model, route in config.routes.items():
        for number, group in enumerate(route.groups):
            for position, name in enumerate(group):
                place = ("routes", model, "groups", number, position)
                if name not in ids and not _finds(config):
                    yield place, f"{name!r} is no deployment; there is: {', '.join(ids) or 'none'}"
                elif name in group[:position]:
                    yield place, f"{name!r} is in this group already; a 'weight' gives it more of the calls"


def _rollout_problems(config: RoutingConfig) -> Iterator[Problem]:
    models = {deployment_id(item): item.model for item in config.deployments}
    for model, rollout in config.rollouts.items():
        named = config.routes.get(model)
        others = (
            {name for group in named.groups for name in group}
            if named
            else {name for name, served in models.items() if served == model}
        )
        if model in config.aliases:
            yield ("rollouts", model), "is an alias: a rollout is of a model"
        elif model not in models.values() and named is None:
            known = ", ".join(sorted({*models.values(), *config.routes})) or "none"
            yield ("rollouts", model), f"{model!r} is no model that is configured; there is: {known}"
        elif rollout.to not in models:
            yield ("rollouts", model, "to"), f"{rollout.to!r} is no deployment"
        elif not others - {rollout.to}:
            yield ("rollouts", model), "there is no other deployment to go back to"


def _alias_problems(config: RoutingConfig) -> Iterator[Problem]:
    models = {item.model for item in config.deployments} | set(config.routes)
    for alias, target in config.aliases.items():
        if alias in models:
            yield ("aliases", alias), "is the name of a model already"
        if not target:
            yield ("aliases", alias), "names no model"
        for name in (target,) if isinstance(target, str) else target:
            if name in config.aliases and not config.open_models:  # there a name is a provider's model
                yield ("aliases", alias), f"{name!r} is an alias: name its models"
            elif name not in models and not _finds(config):
                known = ", ".join(sorted(models)) or "none"
                yield ("aliases", alias), f"{name!r} is no model; there is: {known}"


class _Nowhere(Transport):
    """What providers are made with that are only looked at."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> UpstreamResponse:
        """Sends nothing."""
        raise TransportFailure("no transport")

    async def aclose(self) -> None:
        """Nothing is open."""
