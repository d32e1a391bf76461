"""Rewards, who referred whom, and the account's tier."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from mini_llm.wallet.limits import BPS
from router.api.errors import told
from router.api.people import look, now_s, write
from router.config import RouterConfig
from router.config_money import Tier, usd_base
from router.ledger import read, rewards
from router.ledger.rewards import ReferralRefused
from router.ledger.tiers import TRAILING_S
from router.ledger.usage import DAY_S, Source, Usage
from router.web.door import Visitor, page_routes, read_form, see, visitor
from router.web.pages.wallet import base_url, start, usage_of
from router.web.render import page

REWARDS: Final = "/wallet/rewards"
_MAX_CODE: Final = 32

routes = page_routes()


@dataclass(frozen=True)
class Step:
    """A tier as the account sees it.

    Attributes:
        tier: name and price.
        margin_base: net margin of the last 30 days from which on it is earned, base units.
        reached: the account has it, or has had it for its margin.
        current: it is the account's now.
    """

    tier: Tier
    margin_base: int
    reached: bool
    current: bool


@routes.get(REWARDS)
async def show(request: Request, ref: str = "") -> Response:
    """What was earned, what vests, whom to refer with which link, and the tier."""
    return await _page(request, await visitor(request), ref[:_MAX_CODE])


@routes.post(REWARDS + "/referrer")
async def name_referrer(request: Request) -> Response:
    """Names who referred the account: once, and before its first paid call."""
    found = await visitor(request)
    idx = found.principal().account_idx
    code = (await read_form(request)).text("code")
    try:
        await write(request, lambda connection: rewards.name_referrer(connection, idx, code, now_s()))
    except ReferralRefused as error:
        answer = told(error)
        return await _page(request, found, code[:_MAX_CODE], answer.message, answer.status)
    return see(REWARDS)


async def _page(
    request: Request, found: Visitor, code: str, problem: str | None = None, status: int = 200
) -> Response:
    if found.account_idx is None:
        return start(request, found)
    idx = found.account_idx
    config: RouterConfig = request.app.state.reload.config

    def read_all(connection: Connection) -> dict[str, Any]:
        last_s = rewards.last_epoch_s(connection)
        return {
            "rewarded": rewards.reward_view(connection, idx),
            "epochs": rewards.account_rewards(connection, idx),
            "epoch_ends_s": None if last_s is None else last_s + config.rewards.epoch_s,
            "spent_base": read.account_view(connection, idx).spent_base,
        }

    own_code = rewards.referral_code(idx)
    margin_base = _margin_base(config, idx, await usage_of(request, idx))
    current = request.app.state.offers.tier(idx).name
    return page(
        request,
        "wallet/rewards.html",
        status=status,
        config=config,
        code=code,
        problem=problem,
        own_code=own_code,
        referral_url=f"{base_url(request)}{REWARDS}?ref={own_code}",
        now_s=now_s(),
        margin_base=margin_base,
        steps=_steps(config, margin_base, current),
        **await look(request, read_all),
    )


def _margin_base(config: RouterConfig, idx: int, rows: Iterable[Usage]) -> int:
    """What is kept of the account's charges of the last 30 days less the providers' bills; base units.

    As tiers are reckoned (`router.ledger.tiers.margins`), but by whole days: calls to the account's own
    partner do not count, nor those that others paid for.
    """
    if config.promotion is not None and config.promotion.sponsor == idx:
        return 0
    own = {partner.id for partner in config.partners if idx in partner.accounts}
    first = (now_s() - TRAILING_S) // DAY_S + 1
    counted = [
        row for row in rows if row.day >= first and row.source != Source.OTHERS and row.partner_id not in own
    ]
    charged_base = sum(row.charge_base for row in counted)
    return charged_base * config.policy.kept_bps // BPS - sum(row.wholesale_base for row in counted)


def _steps(config: RouterConfig, margin_base: int, current: str) -> list[Step]:
    steps = []
    for tier in config.offered_tiers:
        needed_base = usd_base(tier.margin_usd, config.vibes_per_usd)
        steps.append(Step(tier, needed_base, margin_base >= needed_base, tier.name == current))
    return steps
