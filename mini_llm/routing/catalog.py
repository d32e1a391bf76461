"""What is on offer now: the configured deployments, and those that providers find by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from mini_llm.config import RoutingConfig
from mini_llm.config_auto import Level
from mini_llm.deployment import HOUSE_PARTNER, Deployment
from mini_llm.errors import UnknownModel
from mini_llm.loops import PerLoop
from mini_llm.providers.base import Provider
from mini_llm.providers.registry import NO_ENVIRONMENT, build_providers
from mini_llm.routing.asked import AUTO, NAMES
from mini_llm.routing.build import LOCAL, check
from mini_llm.routing.plan import Candidate
from mini_llm.routing.table import EMPTY, Group, Route, Table, make_table
from mini_llm.transport import Transport

DISCOVERY_INTERVAL_S = 10.0
"""Local servers are looked for again at most this often."""


class Catalog:
    """Which model is served by whom. A new table takes the place of the old one at once.

    Attributes:
        table: what is on offer now; look-ups need no lock, since a table never changes.
    """

    def __init__(
        self,
        vibes_per_usd: int,
        http: Transport,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._http, self._environ, self._clock = http, environ, clock
        self._vibes_per_usd = vibes_per_usd
        self._looked_at: float | None = None
        self._looking = PerLoop(asyncio.Lock)
        self.table: Table = EMPTY

    def adopt(self, config: RoutingConfig, vibes_per_usd: int | None = None) -> None:
        """Offers what a new configuration says from now on, at a new rate if one is given; calls in flight
        keep their plans.

        A provider that is configured as before stays, with its connections; so do the breaker, the latency
        and the counts of a deployment that has the same names there, and an unchanged rollout.

        Raises:
            ConfigErrors: it does not fit together; nothing is changed.
        """
        rate = self._vibes_per_usd if vibes_per_usd is None else vibes_per_usd
        check(config, rate, self._environ)
        before = self.table
        known = before.config.providers
        changed = {name: item for name, item in config.providers.items() if known.get(name) != item}
        made = build_providers(changed, self._http, self._environ)
        providers = {
            name: made[name] if name in made else before.providers[name] for name in config.providers
        }
        found = tuple(one for one in before.found if one.provider in providers and one.provider not in made)
        self._vibes_per_usd = rate
        self.table = self._make(config, providers, found)
        if any(item.type == LOCAL for item in changed.values()):
            self._looked_at = None

    async def route(self, model: str) -> Route:
        """Who serves a model or alias.

        Raises:
            UnknownModel: nobody, newly started local servers included.
        """
        route = self.table.routes.get(model)
        if route is None:
            await self._discover()
            route = self.table.routes.get(model)
        if route is None:
            raise UnknownModel(model, tuple(sorted(self.table.routes)))
        return route

    async def choosable(self) -> tuple[Group, ...]:
        """Those among whom a call may choose that names no model, each group of one model."""
        if any(item.type == LOCAL for item in self.table.config.providers.values()):
            await self._discover()
        return self.table.choosable

    async def choices(self) -> dict[str, Deployment]:
        """The names that leave the model to us, each as the widest deployment that there would be."""
        members = [one.deployment for group in await self.choosable() for one in group.members]
        names = [name for name in NAMES if name not in self.table.routes]
        if not members:
            return {}
        caps = [one.max_output_tokens for one in members if one.max_output_tokens is not None]
        widest = replace(
            max(members, key=lambda one: one.context_tokens),
            provider=AUTO,
            partner_id=HOUSE_PARTNER,
            max_output_tokens=max(caps, default=None),
            capabilities=frozenset().union(*(one.capabilities for one in members)),
        )
        return {name: replace(widest, id=name, model=name, upstream_model=name) for name in names}

    def chooses(self, candidate: Candidate) -> bool:
        """It is another router's choice, which goes by the quality that is asked for."""
        return False

    def beyond(self, asked: Level | float) -> tuple[Candidate, ...]:
        """Who is asked for an answer of a quality when none of those could give one."""
        return ()

    async def offers(self) -> dict[str, Deployment]:
        """Models and aliases on offer now, in the order of their names, each with its first deployment."""
        await self._discover()
        routes = self.table.routes
        return {name: routes[name].groups[0].members[0].deployment for name in sorted(routes)}

    async def deployments(self) -> list[Deployment]:
        """All deployments on offer now, by their models."""
        await self._discover()
        offered = (candidate.deployment for candidate in self.table.candidates.values())
        return sorted(offered, key=lambda deployment: deployment.model)

    async def _discover(self) -> None:
        """Asks providers what they found, if the last answer is old. Configured models hide found ones."""
        async with self._looking():
            now_s = self._clock()
            if self._looked_at is not None and now_s - self._looked_at < DISCOVERY_INTERVAL_S:
                return
            asked = self.table.providers
            groups = await asyncio.gather(*(provider.discover() for provider in asked.values()))
            table = self.table  # another configuration may have come meanwhile, and wants a look of its own
            if table.providers is asked:
                self._looked_at = now_s
            found = tuple(
                deployment
                for (name, provider), group in zip(asked.items(), groups, strict=True)
                for deployment in group
                if table.providers.get(name) is provider
            )
            if found != table.found:
                self.table = self._make(table.config, table.providers, found)

    def _make(
        self, config: RoutingConfig, providers: Mapping[str, Provider], found: tuple[Deployment, ...]
    ) -> Table:
        """The table that takes the place of the present one."""
        return make_table(config, providers, found, self._vibes_per_usd, self.table, self._clock())


def build_catalog(
    config: RoutingConfig,
    vibes_per_usd: int,
    http: Transport,
    environ: Mapping[str, str] = NO_ENVIRONMENT,
    clock: Callable[[], float] = time.monotonic,
) -> Catalog:
    """Makes the providers and deployments of a configuration; ``http`` stays the caller's to close.

    ``environ`` holds the companies' keys that the configuration does not name.

    Raises:
        ConfigErrors: they do not fit together.
    """
    catalog = Catalog(vibes_per_usd, http, environ, clock)
    catalog.adopt(config)
    return catalog
