"""At what price a call is offered, and who pays: the account's tier, and promotional credit before its money.

Tiers and credit are read every few seconds, so a call does not wait for them; the limits of a subsidy and of
promotional credit are budgets that the ledger holds, whatever is believed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from sqlalchemy import Connection

from mini_llm.deployment import HOUSE_PARTNER, Deployment
from mini_llm.wallet.limits import BPS
from router.beside import beside, every
from router.config import RouterConfig
from router.config_money import Tier, usd_base
from router.ledger import tiers
from router.ledger.errors import LedgerError
from router.ledger.reservations import Budget
from router.ledger.tiers import Rung
from router.ledger.writer import Ledger

RELOAD_S: Final = 5.0
RECKON_S: Final = 3600.0
"""How often tiers are reckoned anew."""
PROMOTION: Final = "promotion"


class Offer(NamedTuple):
    """One way in which a call may be paid.

    Attributes:
        payer_idx: the account that pays.
        rate_bps: its price, in basis points of the retail price.
        budgets: limits beside those of the caller's key.
        tier: name of the tier whose price it is, `PROMOTION` if promotional credit pays.
        promotional: promotional credit pays: no partner earns of it.
    """

    payer_idx: int
    rate_bps: int = BPS
    budgets: tuple[Budget, ...] = ()
    tier: str = ""
    promotional: bool = False


class Offers:
    """What each account is offered.

    Args:
        ledger: where tiers and grants are.
        config: tiers, policy and promotion.
    """

    def __init__(self, ledger: Ledger, config: RouterConfig) -> None:
        self._ledger = ledger
        self._tiers: dict[int, str] = {}
        self._promoted: dict[int, int] = {}
        self.adopt(config)

    def adopt(self, config: RouterConfig) -> None:
        """Offers what another configuration says; its tiers are reckoned within `RELOAD_S`."""
        self._config = config
        offered = config.offered_tiers
        self._ladder = {
            tier.name: tuple(reversed(offered[: position + 1])) for position, tier in enumerate(offered)
        }
        self._own: dict[int, tuple[Offer, ...]] = {}
        self._reckoned = float("-inf")

    def require_rate(self) -> None:
        """Raises StaleRate if nothing can be offered now, because nobody knows what a dollar costs."""
        self._config.require_rate(time.time())

    def tier(self, account_idx: int) -> Tier:
        """The tier of an account."""
        return self._steps(account_idx)[0]

    def of(self, account_idx: int, deployments: Sequence[Deployment]) -> tuple[Offer, ...]:
        """The ways to pay for a call, in the order in which they are tried.

        Promotional credit first, on what it may pay for. Then the account's tier, and below a subsidised one
        the next that pays for itself, for when the subsidy is used up.
        """
        own = self._own.get(account_idx)
        if own is None:
            own = self._own[account_idx] = self._of_tiers(account_idx)
        promotion, granted_base = self._config.promotion, self._promoted.get(account_idx, 0)
        if promotion is not None and granted_base and all(map(_may_be_promoted, deployments)):
            budget = Budget(tiers.promo_code(account_idx), granted_base)
            rate_bps = own[-1].rate_bps  # of the tier that pays for itself
            return Offer(promotion.sponsor, rate_bps, (budget,), PROMOTION, promotional=True), *own
        return own

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keeps tiers and grants up to date until the block ends."""
        await self.renew()
        async with beside(every(RELOAD_S, self.renew, "tiers and credit were not renewed")):
            yield

    async def renew(self) -> None:
        """Grants sign-up credit, reckons tiers if it is time, and reads what is in force now."""
        config, reckoned = self._config, self._reckoned
        await self._grant_signups(config)
        if time.monotonic() - reckoned >= RECKON_S:
            await self.reckon(int(time.time()))
            reckoned = time.monotonic()
        in_force = await asyncio.to_thread(self._ledger.read, _in_force)
        if config is self._config:  # else it was replaced meanwhile, and the next look is the new one's
            self._tiers, self._promoted = in_force
            self._own.clear()
            self._reckoned = reckoned

    async def reckon(self, now_s: int) -> None:
        """Reckons every account's tier from its calls of the last 30 days."""
        config = self._config
        own = {partner.id: partner.accounts for partner in config.partners}
        sponsors = () if config.promotion is None else (config.promotion.sponsor,)
        since_s = now_s - tiers.TRAILING_S
        margin_base = await asyncio.to_thread(
            self._ledger.read,
            lambda connection: tiers.margins(connection, since_s, config.policy.kept_bps, own, sponsors),
        )
        rungs = [
            Rung(tier.name, usd_base(tier.margin_usd, config.vibes_per_usd)) for tier in config.offered_tiers
        ]
        await self._ledger.submit(lambda connection: tiers.store_tiers(connection, margin_base, rungs, now_s))

    def _steps(self, account_idx: int) -> tuple[Tier, ...]:
        """The account's tier, then those below it; a tier that is no longer offered is the first."""
        name = self._tiers.get(account_idx, "")
        return self._ladder.get(name) or next(iter(self._ladder.values()))

    def _of_tiers(self, account_idx: int) -> tuple[Offer, ...]:
        """At the price of the account's tier, and down to the first that pays for itself."""
        offers = []
        for tier in self._steps(account_idx):
            offers.append(Offer(account_idx, tier.rate_bps, self._subsidy(tier), tier.name))
            if tier.subsidy is None:
                break
        return tuple(offers)

    def _subsidy(self, tier: Tier) -> tuple[Budget, ...]:
        if tier.subsidy is None:
            return ()
        limit_base = tier.subsidised_base(self._config.policy, self._config.vibes_per_usd)
        return (Budget(f"subsidy:{tier.subsidy.account}:{tier.name}", limit_base),)

    async def _grant_signups(self, config: RouterConfig) -> None:
        promotion = config.promotion
        if promotion is None:
            return
        amount_base = usd_base(promotion.signup_usd, config.vibes_per_usd)
        sponsor = promotion.sponsor
        if not amount_base:
            return
        now_s = int(time.time())
        least_base = usd_base(promotion.least_deposit_usd, config.vibes_per_usd)
        new = await asyncio.to_thread(
            self._ledger.read,
            lambda connection: tiers.without_signup(
                connection, sponsor, least_base, promotion.signups_day, now_s
            ),
        )

        def grant(connection: Connection) -> None:
            for idx in new:
                tiers.grant(connection, tiers.signup_reference(idx), idx, sponsor, amount_base, now_s)

        if new:
            with contextlib.suppress(LedgerError):  # the sponsor has no account yet
                await self._ledger.submit(grant)


def _in_force(connection: Connection) -> tuple[dict[int, str], dict[int, int]]:
    """Tiers and promotional credit by account."""
    return tiers.tiers(connection), tiers.promo_limits(connection)


def _may_be_promoted(deployment: Deployment) -> bool:
    """On the caller's own key nobody of ours serves the call: the credit would pay our fee."""
    if deployment.own_key:
        return False
    return deployment.promotional or deployment.partner_id == HOUSE_PARTNER
