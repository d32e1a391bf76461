"""Calls paid one by one by x402 (version 2, scheme `exact` on EVM, EIP-3009 of VIBES), without an API key.

    wire.py      the three headers
    verifier.py  is this payment good for that call
    till.py      what the gateway asks: take a payment, reserve, settle

`router.relay` sends them to the chain; their register is in the ledger's database, `router.ledger.payments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from router.billing import Billing
    from router.config import Settings
    from router.ledger.writer import Ledger
    from router.people.screening import Screening
    from router.relay.settler import Settler
    from router.x402.till import Till

PAYMENT_HEADERS: Final = ("payment-required", "payment-response")
"""Response headers of x402: what a call costs, and how it was paid."""


def take_payments(
    ledger: Ledger, billing: Billing, settings: Settings, settler: Settler | None, screening: Screening
) -> Till | None:
    """A till; None, and nothing loaded, if no payments are taken."""
    options = settings.config.x402
    if options is None or settler is None:
        return None
    from router.x402.till import open_till  # a chain wallet's libraries: megabytes that others need not carry

    return open_till(ledger, billing, settler, options, screening)
