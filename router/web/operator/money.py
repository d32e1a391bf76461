"""What calls earn: margin by tier and model, and by partner, over a chosen period; losses stand out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from mini_llm.deployment import HOUSE_PARTNER
from router.api.admin_access import look, state_of
from router.ledger.earnings import DAY_S, Earnings, earnings
from router.people.errors import BadInput
from router.web.charts import Bar, Chart
from router.web.operator.door import operator_of, operator_page, operator_routes

DEFAULT_DAYS: Final = 7
MOST_DAYS: Final = 366
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)
PRESETS: Final = ((1, "Today"), (7, "7 days"), (30, "30 days"), (90, "90 days"))
SHARES: Final = ("Partners", "Protocol fee", "Burned", "Reward pool", "Treasury")
UNKNOWN_TIER: Final = "not recorded"

routes: Final[APIRouter] = operator_routes()


@dataclass(frozen=True)
class Line:
    """A row of a table: what it is about, and its sums."""

    names: tuple[str, ...]
    sums: Earnings

    @property
    def loses(self) -> bool:
        """Providers bill more than is kept of the charges."""
        return self.sums.margin_base < 0


@routes.get("/money")
async def money(request: Request, since: str = "", until: str = "") -> Response:
    """`since` and `until` are days (UTC), both included."""
    operator_of(request)
    today = datetime.now(UTC).date()
    last = _day("until", until) or today
    first = _day("since", since) or last - timedelta(days=DEFAULT_DAYS - 1)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise BadInput("since", f"is a day before the last one, {MOST_DAYS} days at most")
    found = await look(request, lambda connection: _sums(connection, _start_s(first), _start_s(last) + DAY_S))
    partners = {one.id: one.name for one in state_of(request).reload.config.partners}
    total = sum(found["lines"].values(), Earnings())
    return operator_page(
        request,
        "money.html",
        first=first,
        last=last,
        today=today,
        presets=[(name, today - timedelta(days=days - 1)) for days, name in PRESETS],
        total=total,
        lines=_lines(found["lines"]),
        partners=_partner_lines(found["partners"], partners),
        chart=_chart(found["days"], first, last),
        wasted=found["lines"].get((None, None), Earnings()),
        unlisted=_unlisted(found["lines"]),
    )


def _sums(connection: Connection, since_s: int, until_s: int) -> dict[str, Any]:
    return {
        "lines": earnings(connection, since_s, until_s, ("tier", "model")),
        "partners": earnings(connection, since_s, until_s, ("partner_id",)),
        "days": earnings(connection, since_s, until_s, ("day",)),
    }


def _lines(found: Mapping[tuple[Any, ...], Earnings]) -> list[Line]:
    """Loss-makers first, then by what was charged."""
    lines = [
        Line((tier or UNKNOWN_TIER, model), sums)
        for (tier, model), sums in found.items()
        if model is not None
    ]
    return sorted(lines, key=lambda line: (not line.loses, -line.sums.charged_base, line.names))


def _unlisted(found: Mapping[tuple[Any, ...], Earnings]) -> Earnings:
    """Calls whose list price was not kept: they are in what was charged, and not in retail."""
    return sum((sums for (tier, model), sums in found.items() if not tier and model is not None), Earnings())


def _partner_lines(found: Mapping[tuple[Any, ...], Earnings], names: Mapping[int, str]) -> list[Line]:
    lines = []
    for (partner_id,), sums in found.items():
        if partner_id is not None:
            name = (
                "the house" if partner_id == HOUSE_PARTNER else names.get(partner_id, "no longer configured")
            )
            lines.append(Line((str(partner_id), name), sums))
    return sorted(lines, key=lambda line: int(line.names[0]))


def _chart(found: Mapping[tuple[Any, ...], Earnings], first: date, last: date) -> Chart:
    bars = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        sums = found.get((_start_s(day) // DAY_S,), Earnings())
        shares = (sums.partners_base, sums.fee_base, sums.burn_base, sums.pool_base, sums.treasury_base)
        bars.append(Bar(f"{day:%Y-%m-%d}", tuple(max(share, 0) for share in shares)))
    return Chart("Charges by day, VIBES, and whose they are", SHARES, bars)


def _day(name: str, text: str) -> date | None:
    """A day as browsers' date fields write it; None if none was chosen."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        if not FIRST_DAY <= day <= LAST_DAY:
            raise ValueError
    except ValueError:
        raise BadInput(name, "is a day such as 2026-11-21") from None
    return day


def _start_s(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
