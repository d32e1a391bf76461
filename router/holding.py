"""Holds a call's money at the best offer that allows it, or says at which one it would be held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection

from router.ledger import read
from router.ledger.errors import IdempotencyMismatch, InFlight, InsufficientFunds, LedgerError
from router.ledger.reservations import Replay, Reservation, Reserved
from router.ledger.writer import Ledger
from router.metering import Quote
from router.offers import Offer, Offers
from router.people.custody import Custodian

T = TypeVar("T")


class Holding:
    """Reserves at an account's offers.

    Args:
        ledger: where the money is.
        offers: the ways to pay for a call.
        custodian: signs ceilings with the keys that the router holds.
    """

    def __init__(self, ledger: Ledger, offers: Offers, custodian: Custodian) -> None:
        self._ledger, self._offers, self._custodian = ledger, offers, custodian

    async def take(self, asked: Reservation, quote: Quote) -> tuple[Offer, Reserved | Replay]:
        """Reserves at the first offer that holds.

        Raises:
            LedgerError: what the last one says.
        """
        return await self._first(asked, quote, self._hold)

    async def rehearse(self, asked: Reservation, quote: Quote) -> Offer:
        """The offer at which `take` would reserve.

        Raises:
            LedgerError: what the last one would say.
        """
        offer, _ = await self._first(asked, quote, self._try)
        return offer

    async def _first(
        self, asked: Reservation, quote: Quote, hold: Callable[[Reservation], Awaitable[T]]
    ) -> tuple[Offer, T]:
        *better, last = self._offers.of(asked.account_idx, quote.deployments)
        for offer in better:
            try:
                return offer, await hold(_at(offer, asked, quote))
            except (InFlight, IdempotencyMismatch):  # the client's key is taken, whoever pays
                raise
            except LedgerError:
                continue
        return last, await hold(_at(last, asked, quote))

    async def _hold(self, reservation: Reservation) -> Reserved | Replay:
        """Reserves. The ceiling may be what is missing, and ours to sign: then it is raised."""
        try:
            return await self._ledger.reserve(reservation)
        except InsufficientFunds:
            if not await self._custodian.make_room(reservation.account_idx, reservation.quote_base):
                raise
            return await self._ledger.reserve(reservation)

    async def _try(self, reservation: Reservation) -> None:
        def look(connection: Connection) -> None:
            payer_idx, quote_base = reservation.account_idx, reservation.quote_base
            try:
                reservation.check_account(read.account_view(connection, payer_idx))
            except InsufficientFunds:
                if not self._custodian.could_make_room(connection, payer_idx, quote_base):
                    raise
            reservation.check_budgets(lambda code: read.budget_used_base(connection, code))

        await asyncio.to_thread(self._ledger.read, look)


def _at(offer: Offer, asked: Reservation, quote: Quote) -> Reservation:
    """The reservation at an offer; if the sponsor pays, the client's key is the caller's all the same."""
    held = replace(asked, quote_base=quote.at(offer.rate_bps), budgets=asked.budgets + offer.budgets)
    if not offer.promotional:
        return held
    caller_idx = asked.account_idx
    return replace(held, account_idx=offer.payer_idx, user_idx=caller_idx, origin_idx=caller_idx)
