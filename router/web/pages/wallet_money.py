"""The wallet's money: deposits, session key and ceiling, withdrawals; the browser's wallet signs for it."""

from __future__ import annotations

import asyncio
import json
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


@routes.get("/wallet/money")
async def money(request: Request) -> Response:
    """What there is, and the forms whose scripts ask the wallet."""
    found = await visitor(request)
    desk, relay = desk_of(request), relay_of(request)
    account, held = await look(request, lambda connection: _looked(connection, found))
    keys = [] if held else await look(request, lambda c: custody.held_keys(c, found.address))
    relayed = None if relay is None else terms(request, relay)
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
        "held_commit": text_of(keys[0].key_commit if keys else None),
    }
    return page(
        request,
        "wallet/money.html",
        account=account,
        address=found.address,
        spendable_base=0 if account is None else custody.spendable_base(account, held),
        left_base=None if account is None or held is None else _left_base(account, held),
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
        account, held = _looked(connection, found)
        if account is None or held is None:
            raise NotYours("session key")
        limit_base = min(account.spent_base + account.reserved_base + more_base, MAX_BALANCE_BASE)
        custody.set_limit(connection, found.address, held.key_commit, limit_base)

    await write(request, change)
    return see("/wallet/money")


def _looked(connection: Connection, found: Visitor) -> tuple[AccountView | None, HeldKey | None]:
    """The account, and its session key if the router holds it."""
    if found.account_idx is None:
        return None, None
    account = read.account_view(connection, found.account_idx)
    return account, custody.key_of(connection, account)


def _left_base(account: AccountView, held: HeldKey) -> int:
    """What the router may still sign for."""
    return max(0, held.limit_base - account.spent_base - account.reserved_base)


def _amount(name: str, text: str) -> int:
    try:
        return read_vibes(text)
    except ValueError:
        raise BadInput(name, "is an amount in VIBES, such as 250 or 0.5") from None
