"""Calls paid one by one by x402 (version 2, scheme `exact` on EVM, EIP-3009 of VIBES), without an API key.

    wire.py      the three headers
    eip3009.py   the authorisation that pays: digest, call data, events, reasons of refusal
    node.py      JSON-RPC to the chain
    gas.py       what a chain tx offers
    verifier.py  is this payment good for that call
    settler.py   transactions of the facilitator's wallet, from signing to the receipt
    till.py      what the gateway asks: take a payment, reserve, settle

The register of payments is in the ledger's database: `router.ledger.payments`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from router.billing import Billing
    from router.config import Settings
    from router.ledger.writer import Ledger
    from router.x402.till import Till

PAYMENT_HEADERS: Final = ("payment-required", "payment-response")
"""Response headers of x402: what a call costs, and how it was paid."""


@asynccontextmanager
async def taking_payments(ledger: Ledger, billing: Billing, settings: Settings) -> AsyncIterator[Till | None]:
    """A till, looked after until the end of the block; None, and nothing loaded, if no payments are taken."""
    if settings.config.x402 is None:
        yield None
        return
    from router.x402.till import open_till  # a chain wallet's libraries: megabytes that others need not carry

    async with open_till(ledger, billing, settings) as till:
        yield till
