"""The account behind an API key: balances, spending ceiling, receipts."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from mini_llm.wallet.ceiling import SignedCeiling, settlement_domain
from router.api.bodies import read_body
from router.api.people import Fields, base_of, read_fields, takes
from router.errors import UnknownReceipt, WrongAccount
from router.ledger import read, rewards, tiers
from router.ledger.ceilings import MAX_CEILING_BASE, check_ceiling, store_ceiling
from router.ledger.grants import Scope
from router.ledger.writer import Ledger
from router.people.callers import Principal

MAX_CEILING_BYTES: Final = 4096
MAX_LISTED: Final = 100
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")

routes = APIRouter()


class Referrer(Fields):
    """The `referral_code` that another account shows."""

    code: str


@routes.get("/v1/account", summary="Show the balance and what can be spent")
async def show_account(request: Request) -> dict[str, Any]:
    """Amounts in base units as decimal strings: they exceed what JSON readers keep exact.

    Rewards: `rewards_earned_base` in all, of which `rewards_vesting_base` a refund can still take back, and
    `rewards_paid_base` are in the balance. `referral_code` is for those whom the account refers.
    `signed_ceiling` is the ceiling in force as the session key signed it: a wallet that forgot what it signed
    need not believe a number.
    """
    account_idx = await _account(request, Scope.ACCOUNT_READ)
    view, promo, signed, rewarded = await _read(
        request,
        lambda connection: (
            read.account_view(connection, account_idx),
            tiers.promo_view(connection, account_idx),
            read.ceiling(connection, account_idx),
            rewards.reward_view(connection, account_idx),
        ),
    )
    amounts = {
        "balance_base": view.balance_base,
        "available_base": view.available_base,
        "reserved_base": view.reserved_base,
        "deficit_base": view.deficit_base,
        "cancelling_base": view.cancelling_base,
        "withdraw_requested_base": view.withdraw_requested_base,
        "ceiling_base": view.ceiling_base,
        "spent_base": view.spent_base,
        "settled_spent_base": view.settled_spent_base,
        "promotional_granted_base": promo.granted_base,
        "promotional_left_base": promo.left_base,
        "rewards_earned_base": rewarded.earned_base,
        "rewards_vesting_base": rewarded.vesting_base,
        "rewards_paid_base": rewarded.paid_base,
    }
    return {
        "account": view.idx,
        "owner": view.owner,
        "status": view.status,
        "paused": view.paused,
        "receipts": view.sequence,
        "tier": request.app.state.offers.tier(account_idx).name,
        "referral_code": rewards.referral_code(account_idx),
        "signed_ceiling": None if signed is None else json.loads(signed.to_json()),
        **{name: str(amount_base) for name, amount_base in amounts.items()},
    }


@routes.post("/v1/account/ceiling", summary="Raise the spending ceiling")
async def raise_ceiling(request: Request) -> dict[str, str]:
    """Stores a ceiling that the account's session key signed, after checking the signature; it only rises."""
    account_idx = await _account(request, Scope.ACCOUNT_WRITE)
    ceiling = SignedCeiling.from_json(await read_body(request.scope, request.receive, MAX_CEILING_BYTES))
    if ceiling.idx != account_idx:
        raise WrongAccount(ceiling.idx, account_idx)
    place = request.app.state.settings.domain
    domain = settlement_domain(place.chain_id, place.settlement)
    checked = await asyncio.to_thread(check_ceiling, domain, ceiling)
    await request.app.state.ledger.submit(lambda connection: store_ceiling(connection, checked))
    return {"ceiling_base": str(ceiling.ceiling_base)}


@routes.put("/v1/account/referrer", summary="Name who referred the account", openapi_extra=takes(Referrer))
async def name_referrer(request: Request) -> dict[str, bool]:
    """Once, and before the first paid call: a part of what the account's fees earn then counts for them."""
    principal: Principal = await request.app.state.gateway.principal(request.headers.get, Scope.ACCOUNT_WRITE)
    principal.require_current()
    account_idx = principal.account_idx
    code = (await read_fields(request, Referrer)).code
    now_s = int(time.time())
    await request.app.state.ledger.submit(lambda c: rewards.name_referrer(c, account_idx, code, now_s))
    return {"named": True}


@routes.get("/v1/receipts", summary="List receipts by running total")
async def list_receipts(
    request: Request, after_base: str = "0", upto_base: str | None = None
) -> dict[str, Any]:
    """The account's receipts with `after_base` < `accountTotalBase` ≤ `upto_base`, in order; 100 at most.

    Each total follows from the one before, so a client that asks on after the last one misses none.
    """
    account_idx = await _account(request, Scope.ACCOUNT_READ)
    after = base_of("after_base", after_base, MAX_CEILING_BASE) or 0
    upto = base_of("upto_base", upto_base, MAX_CEILING_BASE)
    upto = MAX_CEILING_BASE if upto is None else upto
    found = await _read(
        request, lambda connection: read.receipts_between(connection, account_idx, after, upto, MAX_LISTED)
    )
    return {"object": "list", "data": [signed.to_json() for signed in found]}


@routes.get("/v1/receipts/{request_id}", summary="Fetch the receipt of a call")
async def get_receipt(request: Request, request_id: str) -> dict[str, Any]:
    """The signed receipt of one of the account's own calls, by its `x-vibes-request-id`."""
    account_idx = await _account(request, Scope.ACCOUNT_READ)
    if not _REQUEST_ID.fullmatch(request_id):
        raise UnknownReceipt
    signed = await _read(request, lambda connection: read.receipt(connection, request_id))
    if signed is None or signed.receipt.account != account_idx:
        raise UnknownReceipt
    return signed.to_json()


async def _account(request: Request, scope: str) -> int:
    gateway = request.app.state.gateway
    principal: Principal = await gateway.principal(request.headers.get, scope)
    return principal.account_idx


async def _read(request: Request, operation: Callable[[Connection], T]) -> T:
    ledger: Ledger = request.app.state.ledger
    return await asyncio.to_thread(ledger.read, operation)
