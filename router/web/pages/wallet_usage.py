"""Usage by day and model: charts, sums, savings, and the same figures to download."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.responses import JSONResponse, Response

from mini_llm.routing.catalog import Catalog
from router.api.people import now_s
from router.ledger.usage import DAY_S, Source, Usage
from router.web.charts import SERIES, Bar, Chart
from router.web.door import page_routes, visitor
from router.web.fields import day_label, day_name
from router.web.pages.wallet import start, usage_of
from router.web.render import page
from router.web.savings import compare
from router.web.units import count, vibes

PERIODS: Final = (7, 30, 90)
PAID_BY: Final = {
    Source.ACCOUNT: "this account",
    Source.OWN_KEY: "your own provider key",
    Source.OTHERS: "promotional credit or a team",
}
_OTHER: Final = "other models"


@dataclass(frozen=True)
class Measure:
    """What the bars are high by: its name, of a row, and how it is written."""

    name: str
    of: Callable[[Usage], int]
    show: Callable[[int], str]


MEASURES: Final[Mapping[str, Measure]] = {
    "charge": Measure("Charges, VIBES", lambda row: row.charge_base, vibes),
    "tokens": Measure("Tokens", lambda row: row.prompt_tokens + row.completion_tokens, count),
    "requests": Measure("Requests", lambda row: row.calls, count),
}


@dataclass(frozen=True, slots=True)
class OfModel:
    """Sums over a period, by model and who paid."""

    model: str
    source: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    charge_base: int


routes = page_routes()


@routes.get("/wallet/usage")
async def show(request: Request, days: str = "30", by: str = "charge") -> Response:
    """The usage of a period."""
    found = await visitor(request)
    if found.account_idx is None:
        return start(request, found)
    period, first = _period(days)
    rows = _since(first, await usage_of(request, found.account_idx))
    measure = MEASURES.get(by) or MEASURES["charge"]
    catalog: Catalog = request.app.state.catalog
    tier = request.app.state.offers.tier(found.account_idx)
    paid = [row for row in rows if row.source != Source.OTHERS]
    return page(
        request,
        "wallet/usage.html",
        period=period,
        periods=PERIODS,
        by=by if by in MEASURES else "charge",
        measures={name: one.name.partition(",")[0] for name, one in MEASURES.items()},
        chart=_chart(rows, measure, first, period),
        show=measure.show,
        models=_by_model(rows),
        paid_by=PAID_BY,
        charged_base=sum(row.charge_base for row in paid),
        calls=sum(row.calls for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        savings=compare(rows, await catalog.deployments(), tier.rate_bps),
        tier=tier,
    )


@routes.get("/wallet/usage.json")
async def as_json(request: Request, days: str = "30") -> Response:
    """The same by day, model, partner and who paid."""
    rows, period, headers = await _download(request, days, "json")
    return JSONResponse({"object": "usage", "days": period, "data": rows}, headers=headers)


@routes.get("/wallet/usage.csv")
async def as_csv(request: Request, days: str = "30") -> Response:
    """The same as a table."""
    rows, _, headers = await _download(request, days, "csv")
    written = io.StringIO()
    writer = csv.DictWriter(written, _row_shown(Usage(0, "", "", *[0] * 7)))
    writer.writeheader()
    writer.writerows(rows)
    return Response(written.getvalue(), media_type="text/csv", headers=headers)


async def _download(
    request: Request, days: str, kind: str
) -> tuple[list[dict[str, str | int]], int, dict[str, str]]:
    found = await visitor(request)
    idx = found.principal().account_idx
    period, first = _period(days)
    rows = _since(first, await usage_of(request, idx))
    name = f"vibes-usage-{idx}-{day_name(first)}-{period}-days.{kind}"
    return (
        [_row_shown(row) for row in rows],
        period,
        {"content-disposition": f'attachment; filename="{name}"'},
    )


def _row_shown(row: Usage) -> dict[str, str | int]:
    """A row as it is downloaded; amounts as decimal strings of base units."""
    return {
        "day": day_name(row.day),
        "paid_by": row.source,
        "model": row.model,
        "partner": row.partner_id,
        "requests": row.calls,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "charge_base": str(row.charge_base),
    }


def _period(days: str) -> tuple[int, int]:
    """The period that was chosen, and its first day; the default for anything else."""
    period = next((one for one in PERIODS if str(one) == days), 30)
    return period, now_s() // DAY_S - period + 1


def _since(first: int, rows: Sequence[Usage]) -> list[Usage]:
    return [row for row in rows if row.day >= first]


def _chart(rows: Sequence[Usage], measure: Measure, first: int, period: int) -> Chart:
    """Bars by day; the models that are most of it have a colour each, the others share one."""
    of_model: defaultdict[str, int] = defaultdict(int)
    cells: defaultdict[tuple[int, str], int] = defaultdict(int)
    for row in rows:
        of_model[row.model] += measure.of(row)
        cells[row.day, row.model] += measure.of(row)
    ranked = sorted(of_model, key=lambda model: (-of_model[model], model))
    named = ranked if len(ranked) <= SERIES else ranked[: SERIES - 1]
    rest = ranked[len(named) :]
    bars = []
    for day in range(first, first + period):
        values = [cells[day, model] for model in named]
        if rest:
            values.append(sum(cells[day, model] for model in rest))
        bars.append(Bar(day_label(day), tuple(values)))
    return Chart(f"{measure.name}, by day (UTC) and model", (*named, *([_OTHER] if rest else [])), bars)


def _by_model(rows: Sequence[Usage]) -> list[OfModel]:
    """The dearest first."""
    groups: defaultdict[tuple[str, str], list[Usage]] = defaultdict(list)
    for row in rows:
        groups[row.model, row.source].append(row)
    sums = [
        OfModel(
            model,
            source,
            sum(one.calls for one in group),
            sum(one.prompt_tokens for one in group),
            sum(one.completion_tokens for one in group),
            sum(one.charge_base for one in group),
        )
        for (model, source), group in groups.items()
    ]
    return sorted(sums, key=lambda one: (-one.charge_base, -one.calls, one.model))
