"""What somebody pays for by x402."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.metering import Quote

PAYMENT_HEADER: Final = "payment-signature"
"""The request header that carries the payment."""


@dataclass(frozen=True)
class Purchase:
    """A call that somebody wants to pay for.

    Args:
        endpoint: path that was called.
        host: the Host header.
        model: what is asked for.
        body: of the request; the payment is bound to it.
        quote: most that the call can cost.
        address: where the call came from.
        left_open: the model is ours to choose, so that another time the same call may cost more.
    """

    endpoint: str
    host: str | None
    model: str
    body: bytes
    quote: Quote
    address: str
    left_open: bool
