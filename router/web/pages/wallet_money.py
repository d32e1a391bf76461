"""The wallet's money: deposits, session key and ceiling, withdrawals; the browser's wallet signs for it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Final

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from mini_llm.wallet.limits import MAX_BALANCE_BASE
from mini_llm.wallet.money import read_vibes
from router.api.deposits import relay_of, terms
from router.api.people import desk_of, look, text_of, write
from router.ledger import read
from router.ledger.views import AccountView
from router.people import custody
from router.people.custody import HeldKey
from router.people.errors import BadInput, NotYours
from router.people.screening import Moment
from router.web.door import Visitor, page_routes, read_form, see, visitor
from router.web.render import page

LISTED: Final = 5

routes = page_routes()


@dataclass(frozen=True)
class _Kept:
    """The account's session key, held by the router: up to where it may sign, and what is left of that, base
    units."""

    limit_base: int
    left_base: int


@routes.get("/wallet/money")
async def money(request: Request) -> Response:
    """What there is, and the forms whose scripts ask the wallet."""
    found = await visitor(request)
    desk, relay = desk_of(request), relay_of(request)
    account, keys = await look(request, lambda connection: _looked(connection, found))
    relayed = None if relay is None else terms(request, relay)
    kept = next((_kept(key, account) for key in keys if account and _is_key(key, account)), None)
    spare = next((key.key_commit for key in keys if kept is None), None)
    given = {
        "address": found.address,
        "account": found.account_idx,
        "chain": {
            "id": desk.contract.chain_id,
            "name": desk.settings.chain_name or f"chain {desk.contract.chain_id}",
            "rpc_url": desk.settings.wallet_rpc_url,
            "explorer_url": desk.settings.explorer_url,
        },
        "settlement": desk.contract.settlement,
        "relay": relayed,
        "key_commit": text_of(account.usable_key_commit if account else None),
        "held_commit": text_of(spare),
    }
    return page(
        request,
        "wallet/money.html",
        account=account,
        address=found.address,
        spendable_base=0 if account is None else _spendable_base(account, kept),
        held=kept,
        keeps_keys=desk.vault is not None,
        relay=relayed,
        deposits_taken=await desk.screening.admits(found.address, Moment.DEPOSIT),
        settlement=desk.contract.settlement,
        deposits=[] if relay is None else await asyncio.to_thread(relay.listed, found.address, LISTED),
        given=json.dumps(given),
    )


@routes.post("/wallet/money/limit")
async def limit(request: Request) -> Response:
    """How much more the router may sign for with the account's key that it holds."""
    found = await visitor(request)
    more_base = _amount("limit", (await read_form(request)).text("limit"))

    def change(connection: Connection) -> None:
        account, keys = _looked(connection, found)
        key = next((key for key in keys if account and _is_key(key, account)), None)
        if account is None or key is None:
            raise NotYours("session key")
        limit_base = min(account.spent_base + account.reserved_base + more_base, MAX_BALANCE_BASE)
        custody.set_limit(connection, found.address, key.key_commit, limit_base)

    await write(request, change)
    return see("/wallet/money")


def _looked(connection: Connection, found: Visitor) -> tuple[AccountView | None, list[HeldKey]]:
    idx = found.account_idx
    account = None if idx is None else read.account_view(connection, idx)
    return account, custody.held_keys(connection, found.address)


def _is_key(key: HeldKey, account: AccountView) -> bool:
    return key.key_commit == account.usable_key_commit


def _kept(key: HeldKey, account: AccountView) -> _Kept:
    return _Kept(key.limit_base, max(0, key.limit_base - account.spent_base - account.reserved_base))


def _spendable_base(account: AccountView, kept: _Kept | None) -> int:
    """A held key's ceiling rises by itself, so that its limit counts, not the ceiling of now."""
    limit_base = 0 if kept is None else kept.limit_base
    return replace(account, ceiling_base=max(account.ceiling_base, limit_base)).available_base


def _amount(name: str, text: str) -> int:
    try:
        return read_vibes(text)
    except ValueError:
        raise BadInput(name, "is an amount in VIBES, such as 250 or 0.5") from None
