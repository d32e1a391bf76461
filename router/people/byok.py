"""Calls with the user's own provider key: the user pays the provider, and us only the fee of the policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pydantic import AnyHttpUrl, SecretStr

from mini_llm.config import ProviderConfig
from mini_llm.deployment import HOUSE_PARTNER, Deployment
from mini_llm.errors import UpstreamRefused
from mini_llm.providers.base import Provider
from mini_llm.providers.registry import build_providers
from mini_llm.routing.plan import Candidate, Plan
from mini_llm.routing.verdict import KEY_REFUSED, judge
from mini_llm.transport import Transport
from router.people.endpoints import check_endpoint
from router.people.errors import OwnKeyRefused, SealingOff
from router.people.provider_keys import OwnKey, open_key
from router.people.vault import Vault

CACHED: Final = 1000
"""Most opened keys that a worker keeps in memory."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A provider made with a user's key, for as long as neither key nor configuration changes."""

    own: OwnKey
    config: ProviderConfig
    provider: Provider


@dataclass(frozen=True, slots=True)
class OwnKeyTerms:
    """What the configuration says about own keys.

    Attributes:
        providers: the configured providers by name.
        fee_bps: what a call with an own key costs here, in basis points of the retail price.
    """

    providers: Mapping[str, ProviderConfig]
    fee_bps: int


class OwnKeys:
    """Turns planned candidates into ones that use the caller's own keys.

    Args:
        vault: opens the keys; None if none are kept.
        transport: to the configured endpoints.
        guarded: to endpoints that users named, which connects to public addresses only.
        private: users may name endpoints in this machine's network.
        terms: the configuration in force.
    """

    def __init__(
        self,
        vault: Vault | None,
        transport: Transport,
        guarded: Transport,
        private: bool,
        terms: Callable[[], OwnKeyTerms],
    ) -> None:
        self._vault, self._private, self._terms = vault, private, terms
        self._transport, self._guarded = transport, guarded
        self._opened: dict[tuple[int, str], _Opened] = {}

    async def apply(self, plan: Plan, keys: Mapping[str, OwnKey]) -> Plan:
        """The plan with the caller's own keys.

        If one serves any candidate, only such candidates stay: a call that the user pays to the provider does
        not become one that the account pays, only because the provider failed.

        Args:
            plan: as routing made it.
            keys: the account's own keys by provider.

        Raises:
            SealingOff, Unsealable, EndpointRefused: the key is kept, but cannot be used.
        """
        own, terms = [], self._terms()
        for candidate in plan.candidates:
            key = keys.get(candidate.deployment.provider)
            config = terms.providers.get(candidate.deployment.provider)
            if key is not None and config is not None:
                provider = await self._provider(key, config)
                own.append(Candidate(_priced(candidate.deployment, key, terms.fee_bps), provider))
        if not own:
            return plan
        kept = plan.only(own)
        if plan.decision is not None:
            ids = {listed_id(one.deployment) for one in own}
            kept.decision = plan.decision.only(ids, "the account has provider keys of its own")
        return kept

    async def _provider(self, own: OwnKey, config: ProviderConfig) -> Provider:
        place = (own.account_idx, own.provider)
        opened = self._opened.get(place)
        if opened is not None and opened.own == own and opened.config == config:
            return opened.provider
        if self._vault is None:
            raise SealingOff
        secret = await asyncio.to_thread(open_key, self._vault, own)
        changes: dict[str, object] = {"api_key": SecretStr(secret)}
        transport = self._transport
        if own.base_url is not None:
            changes["base_url"] = AnyHttpUrl(check_endpoint(own.base_url, self._private))
            transport = self._transport if self._private else self._guarded
        made = config.model_copy(update=changes)
        provider = build_providers({own.provider: made}, transport)[own.provider]
        while len(self._opened) >= CACHED:
            self._opened.pop(next(iter(self._opened)))
        self._opened[place] = _Opened(own, config, provider)
        return provider


def blame_own_key(plan: Plan, error: BaseException) -> None:
    """Raises OwnKeyRefused if a call failed because its provider refuses the caller's own key."""
    own = any(deployment.own_key for deployment in plan.deployments)
    if own and isinstance(error, UpstreamRefused) and judge(error) is KEY_REFUSED:
        raise OwnKeyRefused(error.provider, error.status) from error


def listed_id(deployment: Deployment) -> str:
    """The id of a deployment as the configuration has it."""
    return deployment.id.rpartition("@")[0] if deployment.own_key else deployment.id


def _priced(deployment: Deployment, own: OwnKey, fee_bps: int) -> Deployment:
    """The deployment under an id of its own, so that a user's bad key cools down nobody else's."""
    return replace(
        deployment,
        id=f"{deployment.id}@{own.account_idx}",
        price=deployment.price.scaled(fee_bps),
        partner_id=HOUSE_PARTNER,  # no partner served the call on our account
        own_key=True,
    )
