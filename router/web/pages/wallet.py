"""The wallet's overview, and what its pages share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from router import managing
from router.api.keys import shown as key_shown
from router.api.people import desk_of, look, now_s
from router.ledger import read, tiers
from router.ledger.requests import Asked, Listed, requests
from router.ledger.tiers import PromoView
from router.ledger.usage import DAY_S, Source, Usage, keep_days, usage
from router.ledger.views import AccountView
from router.ledger.writer import Ledger
from router.people import custody
from router.web.charts import Bar, Chart
from router.web.door import Visitor, page_routes, visitor
from router.web.fields import day_label
from router.web.render import page
from router.web.settled import settlements
from router.web.units import vibes

CHART_DAYS: Final = 14
_LATEST: Final = 5

routes = page_routes()


@dataclass(frozen=True)
class _Money:
    """What the overview says of an account.

    Attributes:
        account: its balances.
        spendable_base: what a new call may cost at most, base units.
        custodial: the router holds its session key, and raises the ceiling as calls need it.
        promo: its promotional credit.
    """

    account: AccountView
    spendable_base: int
    custodial: bool
    promo: PromoView

    @property
    def settled_base(self) -> int:
        """The balance in the account's leaf: without deposits and charges that no batch has settled."""
        account = self.account
        return (
            account.balance_base
            - account.deficit_base
            - account.pending_deposit_base
            + account.unsettled_base
        )


@routes.get("/wallet")
async def overview(request: Request) -> Response:
    """Balance, today's spending, the latest requests, and what to do next."""
    found = await visitor(request)
    if found.account_idx is None:
        return start(request, found)
    idx = found.account_idx
    rows = await usage_of(request, idx)

    def read_all(connection: Connection) -> dict[str, Any]:
        latest = _latest(connection, idx)
        keys = managing.visible_keys(connection, found.principal())
        return {
            "money": _money(connection, idx),
            "keys": [key_shown(connection, one) for one in keys if one.revoked_s is None],
            "latest": latest,
            "settled": settlements(connection, [one.call for one in latest]),
        }

    today = now_s() // DAY_S
    return page(
        request,
        "wallet/overview.html",
        url=base_url(request),
        today_base=_charged_base(row for row in rows if row.day == today and row.source != Source.OTHERS),
        chart=_chart(rows, today),
        show=vibes,
        **await look(request, read_all),
    )


def start(request: Request, found: Visitor) -> Response:
    """What a wallet without an account does first."""
    return page(request, "wallet/start.html", address=found.address, url=base_url(request))


def base_url(request: Request) -> str:
    """The router's public address; pages that need a session are served only where it is set."""
    place = desk_of(request).place
    return "" if place is None else place.url


async def usage_of(request: Request, idx: int) -> tuple[Usage, ...]:
    """The account's usage; the sums of days that are over are kept for the next look."""
    at_s = int(time.time())
    looked = await look(request, lambda connection: usage(connection, idx, at_s))
    if looked.unkept:
        ledger: Ledger = request.app.state.ledger
        await ledger.submit(lambda connection: keep_days(connection, idx, looked.unkept))
    return looked.rows


def _money(connection: Connection, idx: int) -> _Money:
    account = read.account_view(connection, idx)
    held = custody.key_of(connection, account)
    promo = tiers.promo_view(connection, idx)
    return _Money(account, custody.spendable_base(account, held), held is not None, promo)


def _latest(connection: Connection, idx: int) -> list[Listed]:
    """The newest requests, whoever paid for them."""
    paid, _ = requests(connection, Asked(idx), _LATEST)
    by_others, _ = requests(connection, Asked(idx, by_others=True), _LATEST)
    return sorted((*paid, *by_others), key=lambda one: one.call.time_s, reverse=True)[:_LATEST]


def _chart(rows: Sequence[Usage], today: int) -> Chart:
    days = range(today - CHART_DAYS + 1, today + 1)
    others = any(row.source == Source.OTHERS for row in rows if row.day in days)
    bars = []
    for day in days:
        of_day = [row for row in rows if row.day == day]
        own = _charged_base(row for row in of_day if row.source != Source.OTHERS)
        rest = _charged_base(row for row in of_day if row.source == Source.OTHERS)
        bars.append(Bar(day_label(day), (own, rest) if others else (own,)))
    series = ("this account", "promotional credit or a team")
    return Chart(f"Charges of the last {CHART_DAYS} days, VIBES", series if others else series[:1], bars)


def _charged_base(rows: Iterable[Usage]) -> int:
    return sum(row.charge_base for row in rows)
