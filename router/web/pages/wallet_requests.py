"""The list of requests, and one request with its receipt: all of it but the prompt, which is not kept."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import JSONResponse, Response

from mini_llm.wallet.receipt import SignedReceipt, recover_signer
from mini_llm.wallet.signature import InvalidSignature, signing_address
from router import managing
from router.api.people import look
from router.config import RouterConfig, Settings
from router.errors import UnknownReceipt
from router.ledger.requests import Asked, Chosen, Detail, Mark, detail, requests
from router.ledger.usage import Source
from router.web.door import Visitor, page_routes, visitor
from router.web.fields import day_of
from router.web.pages.wallet import start, usage_of
from router.web.render import page
from router.web.settled import settlements

PAGE_ROWS: Final = 25
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{64}")

routes = page_routes()


@dataclass(frozen=True)
class Filter:
    """What a visitor asked for, as the address of the page says it."""

    model: str
    key: str
    day: str
    paid: str

    def asked(self, idx: int, after: str) -> Asked:
        """The same for the ledger; what cannot be read does not filter."""
        return Asked(
            idx,
            by_others=self.paid == Source.OTHERS,
            model=self.model or None,
            key_id=self.key or None,
            day=day_of(self.day),
            after=Mark.read(after),
        )

    def query(self, after: Mark | None = None) -> str:
        """The address's query, from a mark on."""
        fields = vars(self) | {"after": "" if after is None else str(after)}
        return urlencode({name: value for name, value in fields.items() if value})


@routes.get("/wallet/requests")
async def show_list(
    request: Request, model: str = "", key: str = "", day: str = "", paid: str = "", after: str = ""
) -> Response:
    """The newest requests, or those after a mark."""
    found = await visitor(request)
    if found.account_idx is None:
        return start(request, found)
    idx = found.account_idx
    chosen = Filter(model, key, day, paid)
    rows = await usage_of(request, idx)

    def read_all(connection: Connection) -> dict[str, Any]:
        asked = chosen.asked(idx, after)
        listed, onward = requests(connection, asked, PAGE_ROWS)
        return {
            "listed": listed,
            "onward": None if onward is None else chosen.query(onward),
            "settled": settlements(connection, [one.call for one in listed]),
            "keys": {one.key_id: one.label for one in managing.visible_keys(connection, found.principal())},
        }

    return page(
        request,
        "wallet/requests.html",
        chosen=chosen,
        newest=chosen.query() if Mark.read(after) else None,
        models=sorted({row.model for row in rows} | ({model} if model else set())),
        others=any(row.source == Source.OTHERS for row in rows) or paid == Source.OTHERS,
        **await look(request, read_all),
    )


@routes.get("/wallet/requests/{request_id}.json")
async def receipt_file(request: Request, request_id: str) -> Response:
    """The signed receipt, as `vibes audit` and the SDK read it."""
    found = await visitor(request)
    one = await _detail(request, found, request_id)
    if one.call.receipt is None:
        raise UnknownReceipt
    name = f"vibes-receipt-{request_id[:16]}.json"
    return JSONResponse(
        one.call.receipt.to_json(), headers={"content-disposition": f'attachment; filename="{name}"'}
    )


@routes.get("/wallet/requests/{request_id}")
async def show_one(request: Request, request_id: str) -> Response:
    """All that is kept of one request."""
    found = await visitor(request)
    one = await _detail(request, found, request_id)
    settled = await look(request, lambda connection: settlements(connection, [one.call]))
    settings: Settings = request.app.state.settings
    signer = None if one.call.receipt is None else _signer(one.call.receipt, settings)
    return page(
        request,
        "wallet/request.html",
        one=one,
        call=one.call,
        receipt=None if one.call.receipt is None else one.call.receipt.receipt,
        settlement=settled[one.call.entry_id],
        signer=signer,
        ours=signing_address(settings.receipt_key),
        domain=settings.domain,
        partner_name=_partner_name(request, one),
        good_percent=None if one.chosen is None else _percent(one.chosen),
        paid_by_us=one.call.account_idx == found.account_idx,
    )


async def _detail(request: Request, found: Visitor, request_id: str) -> Detail:
    """The request, of any of the wallet's accounts.

    Raises:
        UnknownReceipt: it is nobody's, or somebody else's.
    """

    def read_one(connection: Connection) -> Detail | None:
        of_each = (detail(connection, idx, request_id) for idx in found.accounts)
        return next((one for one in of_each if one is not None), None)

    one = await look(request, read_one) if _REQUEST_ID.fullmatch(request_id) else None
    if one is None:
        raise UnknownReceipt
    return one


def _signer(signed: SignedReceipt, settings: Settings) -> str | None:
    """Whose signature a receipt has, None if nobody's."""
    try:
        return recover_signer(signed, settings.domain)
    except InvalidSignature:
        return None


def _partner_name(request: Request, one: Detail) -> str:
    """The name of the partner that served it, as the configuration has it now."""
    if one.call.receipt is None:
        return ""
    partner_id = one.call.receipt.receipt.partner
    config: RouterConfig = request.app.state.reload.config
    return next((one.name for one in config.partners if one.id == partner_id), str(partner_id))


def _percent(chosen: Chosen) -> int:
    """How likely a good answer was thought to be, percent."""
    return round(100 / (1 + math.exp(-chosen.log_odds)))
