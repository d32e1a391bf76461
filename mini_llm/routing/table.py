"""Everything that one configuration offers, ready for look-ups. A new configuration makes a new table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from mini_llm.config import DeploymentConfig, RoutingConfig
from mini_llm.config_routing import Balance, HedgeConfig, RetryConfig
from mini_llm.deployment import Deployment
from mini_llm.providers.base import Provider
from mini_llm.request import EMBEDS_ONLY
from mini_llm.routing.build import deployment_id, limits_of, make_deployment, overlaid
from mini_llm.routing.health import Health, Limits
from mini_llm.routing.plan import Candidate
from mini_llm.routing.rollout import Rollout

ANY: Final = "*"
"""Ends the beginning of names."""


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates that share a model's calls; ``rollout`` may send some of them to a new one instead."""

    members: tuple[Candidate, ...]
    balance: Balance
    rollout: Rollout | None = None


@dataclass(frozen=True)
class Route:
    """Who serves a model or alias, group after group."""

    groups: tuple[Group, ...]
    retry: RetryConfig
    hedge: HedgeConfig | None = None

    @cached_property
    def several(self) -> bool:
        """There is more than one candidate."""
        return sum(len(group.members) for group in self.groups) > 1


@dataclass(frozen=True)
class Table:
    """What is on offer.

    Attributes:
        config: what it was made from.
        providers: by name.
        found: deployments that providers found by themselves.
        candidates: by id of the deployment.
        rollouts: by model.
        routes: by model and alias.
        choosable: those among whom a call may choose that names no model.
    """

    config: RoutingConfig
    providers: Mapping[str, Provider] = field(default_factory=dict)
    found: tuple[Deployment, ...] = ()
    candidates: Mapping[str, Candidate] = field(default_factory=dict)
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    choosable: tuple[Group, ...] = ()


EMPTY = Table(RoutingConfig(providers={}))


def make_table(
    config: RoutingConfig,
    providers: Mapping[str, Provider],
    found: tuple[Deployment, ...],
    vibes_per_usd: int,
    before: Table,
    now_s: float,
) -> Table:
    """The table of a configuration. What is known about its deployments and rollouts is taken over from
    ``before`` where they are the same: same names, at a provider that has not changed."""
    candidates: dict[str, Candidate] = {}
    for item in config.deployments:
        deployment = make_deployment(item, config, vibes_per_usd)
        candidates[deployment.id] = _candidate(deployment, item, config, providers, before)
    configured = {candidate.deployment.model for candidate in candidates.values()}
    for deployment in found:
        if deployment.model not in configured and deployment.id not in candidates:
            candidates[deployment.id] = _candidate(deployment, None, config, providers, before)
    by_model: dict[str, list[Candidate]] = {}
    for candidate in candidates.values():
        by_model.setdefault(candidate.deployment.model, []).append(candidate)
    rollouts, routes = dict[str, Rollout](), dict[str, Route]()
    for model in {**by_model, **config.routes}:
        named = config.routes.get(model)
        groups = (
            [[candidates[name] for name in group if name in candidates] for group in named.groups]
            if named
            else [by_model[model]]
        )
        rollout = _rollout(model, groups, candidates, config, before, now_s)
        if rollout is not None:
            rollouts[model] = rollout
        if any(groups):
            routes[model] = _route(model, [group for group in groups if group], rollout, config)
    for alias, target in config.aliases.items():
        models = (target,) if isinstance(target, str) else target
        if served := [routes[model] for model in models if model in routes]:
            all_groups = tuple(group for route in served for group in route.groups)
            routes[alias] = Route(all_groups, served[0].retry, served[0].hedge)
    choosable = tuple(group for model in by_model if model in routes and takes_part(model, config)
                      for group in of_one_model(model, routes[model]))  # fmt: skip
    return Table(config, providers, found, candidates, rollouts, routes, choosable)


def takes_part(model: str, config: RoutingConfig) -> bool:
    """The model may be chosen for a call that names none."""
    return any(
        model.startswith(name[:-1]) if name.endswith(ANY) else model == name for name in config.auto.models
    )


def of_one_model(model: str, route: Route) -> Iterator[Group]:
    """The groups of a model's route that write, without other models that are there for when it fails."""
    for group in route.groups:
        members = tuple(
            one
            for one in group.members
            if one.deployment.model == model and one.deployment.capabilities != EMBEDS_ONLY
        )
        if members:
            yield replace(group, members=members)


def _candidate(
    deployment: Deployment,
    item: DeploymentConfig | None,
    config: RoutingConfig,
    providers: Mapping[str, Provider],
    before: Table,
) -> Candidate:
    provider = providers[deployment.provider]
    settings = overlaid(config.breaker, item.breaker if item else None)
    limits = limits_of(item) if item else Limits()
    known = before.candidates.get(deployment.id)
    if (
        known is not None
        and known.provider is provider
        and known.deployment.upstream_model == deployment.upstream_model
    ):
        health = known.health
        health.settle(settings, limits, config.latency_decay_s)
    else:
        health = Health(settings, limits, config.latency_decay_s)
    drained = item.drained if item else False
    if drained != _was_drained(before.config, deployment.id):  # what an operator said since then stays
        health.drained = drained
    return Candidate(deployment, provider, health)


def _was_drained(config: RoutingConfig, deployment: str) -> bool:
    return any(item.drained for item in config.deployments if deployment_id(item) == deployment)


def _rollout(
    model: str,
    groups: Sequence[list[Candidate]],
    candidates: Mapping[str, Candidate],
    config: RoutingConfig,
    before: Table,
    now_s: float,
) -> Rollout | None:
    """The model's rollout; its new deployment is taken out of the groups."""
    settings = config.rollouts.get(model)
    if settings is None:
        return None
    known = before.rollouts.get(model)
    rollout = known if known and known.settings == settings else Rollout(model, settings, now_s)
    new = candidates[settings.to]
    for group in groups:
        group[:] = [one for one in group if one is not new]
    rollout.attach(new, [one for group in groups for one in group])
    return rollout


def _route(
    model: str, groups: Sequence[Sequence[Candidate]], rollout: Rollout | None, config: RoutingConfig
) -> Route:
    named = config.routes.get(model)
    balance = (named.balance if named else None) or config.balance
    made = tuple(
        Group(tuple(group), balance, rollout if number == 0 else None) for number, group in enumerate(groups)
    )
    return Route(made, overlaid(config.retry, named.retry if named else None), named.hedge if named else None)
