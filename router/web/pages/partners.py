"""Partners' pages, for everybody: what each earned, was paid and can claim, and the proofs of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final

from fastapi import Query, Request
from pydantic_core import to_json
from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from mini_llm.wallet.receipt import ReceiptDomain
from router import bundles
from router.api.people import desk_of, look
from router.db import MAX_ROW
from router.errors import UnknownBundle, UnknownPartner
from router.ledger import batches
from router.ledger.batches import BatchView, PartnerView
from router.ledger.partners import Partners, partners
from router.ledger.shares import MAX_PARTNER_ID
from router.ledger.writer import Ledger
from router.people.screening import Moment
from router.web.door import guest, page_routes
from router.web.origins import node_origin
from router.web.render import page

PAGE_BATCHES: Final = 25
LISTED_AT_ONCE: Final = 500

routes = page_routes()


@routes.get("/partners")
async def all_partners(request: Request) -> Response:
    """Every partner that the chain has."""
    await guest(request)
    return page(request, "partners/list.html", partners=await look(request, partners))


@routes.get("/partners/{partner_id}")
async def one_partner(
    request: Request,
    partner_id: int,
    rpc: str = "",
    before: Annotated[int | None, Query(ge=1, le=MAX_ROW)] = None,
) -> Response:
    """A partner's figures and batches; `rpc` is the node that the script may ask, its origin suffices."""
    await guest(request)
    told, found = await look(
        request,
        lambda connection: (
            _known(connection, partner_id),
            batches.partner_batches(connection, partner_id, before, PAGE_BATCHES + 1),
        ),
    )
    origin = node_origin(rpc) if rpc else None
    screening = desk_of(request).screening
    return page(
        request,
        "partners/partner.html",
        connect=origin,
        partner=told.by_id[partner_id],
        told=told,
        domain=_domain(request),
        claims=await screening.admits(told.by_id[partner_id].payout, Moment.CLAIM),
        batches=found[:PAGE_BATCHES],
        older=found[PAGE_BATCHES - 1][0].number if len(found) > PAGE_BATCHES else None,
        before=before,
        origin=origin or "",
        refused_rpc=bool(rpc) and origin is None,
    )


@routes.get("/partners/{partner_id}/batches.jsonl")
async def listed_batches(request: Request, partner_id: int) -> Response:
    """Every batch that credited the partner, one JSON object a line, the newest first."""
    ledger = _ledger(request)
    await look(request, lambda connection: _known(connection, partner_id))
    return _download(request, _batch_lines(ledger, partner_id), f"partner-{partner_id}-batches.jsonl")


@routes.get("/partners/{partner_id}/batches/{number}.jsonl")
async def bundle(request: Request, partner_id: int, number: int) -> Response:
    """The proof bundle of a batch for a partner (docs/protocol.md)."""
    domain = _domain(request)
    if partner_id > MAX_PARTNER_ID or number > MAX_ROW:
        raise UnknownBundle(partner_id, number)
    found = await look(
        request, lambda connection: bundles.find_bundle(connection, domain, number, partner_id)
    )
    if found is None:
        raise UnknownBundle(partner_id, number)
    return _download(request, found.lines(_ledger(request)), f"partner-{partner_id}-batch-{number}.jsonl")


def _known(connection: Connection, partner_id: int) -> Partners:
    told = partners(connection)
    if told is None or partner_id not in told.by_id:
        raise UnknownPartner(partner_id)
    return told


def _batch_lines(ledger: Ledger, partner_id: int) -> Iterator[bytes]:
    """Read in pieces, so that no transaction waits for a slow reader."""
    before: int | None = None
    while found := _newest(ledger, partner_id, before):
        yield b"".join(_batch_line(batch, credited) for batch, credited in found)
        before = found[-1][0].number


def _newest(ledger: Ledger, partner_id: int, before: int | None) -> list[tuple[BatchView, PartnerView]]:
    return ledger.read(
        lambda connection: batches.partner_batches(connection, partner_id, before, LISTED_AT_ONCE)
    )


def _batch_line(batch: BatchView, credited: PartnerView) -> bytes:
    told = {
        "batch": batch.number,
        "transaction": batch.tx_hash,
        "block": batch.block_number,
        "log": batch.log_index,
        "gross": str(credited.gross_base),
    }
    return to_json(told) + b"\n"


def _download(request: Request, pieces: Iterator[bytes], name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    turns: asyncio.Semaphore = request.app.state.download_turns
    return StreamingResponse(in_turns(pieces, turns), media_type=bundles.MEDIA_TYPE, headers=headers)


async def in_turns(pieces: Iterator[bytes], turns: asyncio.Semaphore) -> AsyncIterator[bytes]:
    """One piece is made at a time, whoever wants it: downloads take one processor at most from paid calls.

    A thread cannot be stopped. So a turn ends when its piece is made, even if the reader has hung up: readers
    that come and go do not fill the threads that paid calls need.
    """
    while True:
        await turns.acquire()
        making = asyncio.create_task(asyncio.to_thread(next, pieces, None))
        making.add_done_callback(lambda _: turns.release())
        piece = await asyncio.shield(making)
        if piece is None:
            return
        yield piece


def _domain(request: Request) -> ReceiptDomain:
    domain: ReceiptDomain = request.app.state.settings.domain
    return domain


def _ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger
