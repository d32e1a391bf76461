"""The explorer: every batch as the chain has it, for everybody. What is not on chain is not here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from router.api.people import look
from router.ledger import batches
from router.ledger.batches import BatchView, PartnerView, SlotView
from router.ledger.views import AccountView
from router.web.charts import Bar, Chart
from router.web.door import guest, page_routes, see
from router.web.finding import account_on_chain, find, number_of
from router.web.render import page
from router.web.units import vibes

PAGE: Final = 25
T = TypeVar("T")

routes = page_routes()


@dataclass(frozen=True)
class BatchPage:
    """A batch with all that it settled; `next` is the number of the one after it, if there is one."""

    batch: BatchView
    slots: Sequence[SlotView]
    partners: Sequence[PartnerView]
    next: int | None


@dataclass(frozen=True)
class AccountPage:
    """An account; `leaf` is the last batch that changed it, None before the first."""

    account: AccountView
    leaf: tuple[BatchView, SlotView] | None
    rows: Sequence[tuple[BatchView, SlotView]]


@routes.get("/explorer")
async def newest(request: Request, before: str = "") -> Response:
    """The newest batches and what all of them come to; older ones page by page."""
    await guest(request)

    def read(connection: Connection) -> tuple[BatchView | None, list[BatchView], int]:
        last = next(iter(batches.batches(connection, limit=1)), None)
        rows = batches.batches(connection, number_of(before), PAGE + 1)
        return last, rows, batches.accounts_opened(connection)

    last, rows, accounts = await look(request, read)
    shown, older = _paged(rows, lambda one: one.number)
    return page(
        request,
        "explorer/batches.html",
        last=last,
        accounts=accounts,
        rows=shown,
        chart=_chart(shown),
        amounts=vibes,
        older=older,
        first_page=number_of(before) is None,
    )


@routes.get("/explorer/batches/{number}")
async def batch(request: Request, number: str) -> Response:
    """One batch: roots, proof, slots, partner words."""
    await guest(request)
    wanted = number_of(number)

    def read(connection: Connection) -> BatchPage | None:
        found = None if wanted is None else batches.batch(connection, wanted)
        if found is None:
            return None
        after = batches.batch(connection, found.number + 1)
        return BatchPage(
            found,
            batches.slots(connection, found.number),
            batches.partner_words(connection, found.number),
            None if after is None else after.number,
        )

    shown = await look(request, read)
    if shown is None:
        return _missing(request, f"There is no batch {number}", "Batches are numbered from 1 without gaps.")
    return page(request, "explorer/batch.html", shown=shown)


@routes.get("/explorer/accounts/{idx}")
async def account(request: Request, idx: str, before: str = "") -> Response:
    """What batches did to an account."""
    await guest(request)
    wanted = number_of(idx)

    def read(connection: Connection) -> AccountPage | None:
        found = None if wanted is None else account_on_chain(connection, wanted)
        if found is None:
            return None
        last = batches.account_batches(connection, found.idx, limit=1)
        rows = batches.account_batches(connection, found.idx, number_of(before), PAGE + 1)
        return AccountPage(found, last[0] if last else None, rows)

    shown = await look(request, read)
    if shown is None:
        return _missing(request, f"There is no account {idx}", "Accounts are numbered from 1 without gaps.")
    rows, older = _paged(shown.rows, lambda one: one[0].number)
    return page(
        request,
        "explorer/account.html",
        shown=shown,
        rows=rows,
        older=older,
        first_page=number_of(before) is None,
    )


@routes.get("/explorer/search")
async def search(request: Request, q: str = "") -> Response:
    """Goes to what was looked for, or shows all that it may be."""
    visitor = await guest(request)
    own = () if visitor is None else visitor.accounts
    found = await look(request, lambda connection: find(connection, q, own))
    if found.address is not None:
        return see(found.address)
    return page(request, "explorer/search.html", query=q.strip(), found=found)


def _paged(rows: Sequence[T], number: Callable[[T], int]) -> tuple[Sequence[T], int | None]:
    """What a page shows, and before which batch the next one begins, None if nothing is left."""
    shown = rows[:PAGE]
    return shown, number(shown[-1]) if len(rows) > PAGE else None


def _chart(rows: Sequence[BatchView]) -> Chart | None:
    """What the batches of a page settled, from the oldest on; None if none of them settled anything."""
    if not any(one.receipts_total_base for one in rows):
        return None
    bars = [Bar(str(one.number), (one.receipts_total_base,)) for one in reversed(rows)]
    return Chart("Settled by batch, VIBES", ("Settled",), bars)


def _missing(request: Request, title: str, message: str) -> Response:
    return page(request, "explorer/missing.html", status=404, title=title, message=message)
