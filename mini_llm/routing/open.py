"""A catalogue for those who list no models: a provider serves what it is asked for, and a wallet the rest."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from mini_llm.auto.choice import SHARES
from mini_llm.config import RoutingConfig
from mini_llm.config_auto import Level
from mini_llm.config_routing import TimeoutsConfig
from mini_llm.config_sdk import VIBES_PER_USD, WALLET, OpenProviderConfig, Settings
from mini_llm.deployment import HOUSE_PARTNER, Deployment
from mini_llm.errors import UnknownModel
from mini_llm.price import Price
from mini_llm.providers.base import Provider
from mini_llm.providers.local import UNKNOWN_CONTEXT_TOKENS
from mini_llm.providers.registry import COMPANIES, NO_ENVIRONMENT, lacks
from mini_llm.request import NEEDS
from mini_llm.routing.asked import AUTO, BEST, NAMES
from mini_llm.routing.build import LOCAL, provider_timeouts
from mini_llm.routing.catalog import Catalog
from mini_llm.routing.health import Health
from mini_llm.routing.plan import Candidate
from mini_llm.routing.table import ANY, Group, Route, Table, takes_part
from mini_llm.transport import Transport

MOST_KEPT: Final = 1024
"""Names beyond this many are looked up anew at each call; apps use a handful."""
UNPRICED: Final = Price(0, 0)
"""Stands in for a price, which is looked up when somebody asks for a cost."""


class OpenCatalog(Catalog):
    """Serves configured models as any catalogue does, and beside them:

    - ``provider/model`` at that provider, ``wallet/model`` at nobody but the wallet;
    - any other model at the providers whose patterns it matches, in their order;
    - and each of all these, at last, at the wallet.

    Args:
        settings: what to offer; all keys are in it.
        http: what providers speak through; stays the caller's to close.
        wallet: the last to be asked; None if there is none.
    """

    def __init__(self, settings: Settings, http: Transport, wallet: Provider | None) -> None:
        super().__init__(VIBES_PER_USD, http, NO_ENVIRONMENT, time.monotonic)
        self._settings, self._wallet = settings, wallet
        self._looks = any(item.type == LOCAL for item in settings.providers.values())
        self._opened: dict[str, Candidate] = {}  # by id of the deployment
        self._cached: dict[str, Route] = {}  # by model
        self._base = self.table
        self.adopt(settings)

    async def route(self, model: str) -> Route:
        """See ``Catalog.route``; what no provider is known to serve is for the wallet."""
        if (cached := self._cached.get(model)) is not None:
            return cached
        if self._looks:
            await self._discover()
        route = self.table.routes.get(model) or self._route(self._base, (model,))
        if route is None:
            raise UnknownModel(model, tuple(sorted(self.table.routes)))
        if not self._looks and len(self._cached) < MOST_KEPT:  # a local server may be started any time
            self._cached[model] = route
        return route

    def members(self, model: str) -> tuple[Candidate, ...]:
        """Who serves a model, in the order in which they would be asked if all were well."""
        route = self.table.routes.get(model) or self._cached.get(model) or self._route(self._base, (model,))
        return tuple(one for group in route.groups for one in group.members) if route else ()

    def chooses(self, candidate: Candidate) -> bool:
        """See ``Catalog.chooses``: the wallet's router, unless it is asked for a model."""
        return candidate.provider is self._wallet and candidate.deployment.model in NAMES

    def beyond(self, asked: Level | float) -> tuple[Candidate, ...]:
        """See ``Catalog.beyond``: the wallet's router, which chooses again, for no lower quality."""
        if self._wallet is None:
            return ()
        usual = self.table.config.auto.share(asked) <= SHARES["standard"]
        return (self._candidate(self._wallet, AUTO if usual else BEST),)

    def _make(
        self, config: RoutingConfig, providers: Mapping[str, Provider], found: tuple[Deployment, ...]
    ) -> Table:
        """See ``Catalog._make``; here routes and aliases may name what is not configured."""
        self._cached.clear()
        self._base = base = super()._make(config, providers, found)
        named = dict.fromkeys([*(one.deployment.model for one in base.candidates.values()), *config.routes])
        wanted = {model: (model,) for model in named} | {
            alias: (target,) if isinstance(target, str) else target
            for alias, target in config.aliases.items()
        }
        routes = {name: route for name, models in wanted.items() if (route := self._route(base, models))}
        choosable = (*base.choosable, *self._choosable(base, named))
        return replace(base, routes=routes, choosable=choosable)

    def _choosable(self, base: Table, configured: Container[str]) -> Iterator[Group]:
        """Those among whom a call may choose, beside configured models: what aliases and ``auto`` name."""
        config = base.config
        targets = ((one,) if isinstance(one, str) else one for one in config.aliases.values())
        known = [model for models in targets for model in models if takes_part(model, config)]
        named = [name for name in config.auto.models if not name.endswith(ANY) and name not in config.aliases]
        for model in dict.fromkeys((*known, *named)):
            if model not in configured:
                yield from (group for group in self._groups(base, model) if group.members)

    def _route(self, base: Table, models: tuple[str, ...]) -> Route | None:
        """The way through several models, one after the other, and then through the wallet."""
        groups: list[Group] = []
        for group in (group for model in models for group in self._groups(base, model)):
            _append(groups, group)
        if self._wallet is not None:
            wallet = tuple(self._wallets(self._wallet, model) for model in models)
            _append(groups, Group(wallet, "ordered"))
        if not groups:
            return None
        known = base.routes.get(models[0])
        return Route(
            tuple(groups), known.retry if known else base.config.retry, known.hedge if known else None
        )

    def _groups(self, base: Table, model: str) -> Iterator[Group]:
        """Who serves a model, the wallet aside."""
        config = base.config
        named = config.routes.get(model)
        if model in base.rollouts or any(item.model == model for item in config.deployments):
            yield from base.routes[model].groups
        elif named is not None:
            for ids in named.groups:
                members = [one for name in ids if (one := self._by_id(base, name)) is not None]
                yield Group(tuple(members), named.balance or config.balance)
        else:
            yield Group(tuple(self._serving(base, model)), "ordered")

    def _serving(self, base: Table, model: str) -> Iterator[Candidate]:
        """Providers of a model that is not configured, in the order in which they are asked."""
        if (one := self._by_id(base, model)) is not None:
            yield one
            return
        if model.startswith(f"{WALLET}/"):  # nobody's else, even where there is no wallet
            return
        implied = []
        for name, item in self._settings.providers.items():
            found = base.candidates.get(f"{name}/{model}")
            if found is not None:
                yield found
            elif any(fnmatchcase(model, pattern) for pattern in patterns(item)):
                one = self._candidate(base.providers[name], model)
                if item.models is None and patterns(item) == (ANY,):  # said by nobody, so after the others
                    implied.append(one)
                else:
                    yield one
        yield from implied

    def _by_id(self, base: Table, name: str) -> Candidate | None:
        """The deployment of that id, or ``provider/model`` at a provider that is configured."""
        provider, _, model = name.partition("/")
        known = base.candidates.get(name)
        if known is not None or provider not in base.providers or not model:
            return known
        if self._settings.providers[provider].type == LOCAL:  # it serves what it found, and nothing else
            return None
        return self._candidate(base.providers[provider], model)

    def _wallets(self, wallet: Provider, model: str) -> Candidate:
        provider, _, bare = model.partition("/")
        named = provider == wallet.name or provider in self._settings.providers
        return self._candidate(wallet, bare if bare and named else model)

    def _candidate(self, provider: Provider, model: str) -> Candidate:
        """The model at a provider that does not list it; its health lasts as long as the provider."""
        name = f"{provider.name}/{model}"
        known = self._opened.get(name)
        if known is not None and known.provider is provider:
            return known
        config, item = self._settings, self._settings.providers.get(provider.name)
        deployment = Deployment(
            id=name,
            model=model,
            provider=provider.name,
            upstream_model=model,
            partner_id=HOUSE_PARTNER,
            price=UNPRICED,
            context_tokens=UNKNOWN_CONTEXT_TOKENS,
            max_output_tokens=None,
            capabilities=NEEDS - (lacks(item.type) if item else frozenset()),
            timeouts=provider_timeouts(TimeoutsConfig(), item, config.timeouts) if item else None,
        )
        health = Health(config.breaker, latency_decay_s=config.latency_decay_s)
        candidate = Candidate(deployment, provider, health)
        if len(self._opened) < MOST_KEPT:
            self._opened[name] = candidate
        return candidate


def patterns(item: OpenProviderConfig) -> tuple[str, ...]:
    """The names of models that a provider serves for callers that name none."""
    if item.models is not None or item.type == LOCAL:
        return item.models or ()
    company = COMPANIES.get(item.type)
    if company is None or (item.base_url is not None and company.url is not None):
        return (ANY,)  # an address of one's own
    return company.models


def _append(groups: list[Group], group: Group) -> None:
    """Adds a group; ordered ones become one, so that a call goes on without a pause."""
    last = groups[-1] if groups else None
    if (
        last is not None
        and last.balance == group.balance == "ordered"
        and not (last.rollout or group.rollout)
    ):
        groups[-1] = Group((*last.members, *group.members), "ordered")
    elif group.members or group.rollout:
        groups.append(group)
