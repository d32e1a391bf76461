"""How refused payments look over HTTP: the surface's words in the body, x402's in the headers."""

from __future__ import annotations

from typing import Final

from mini_llm.surfaces.base import INVALID, WireError
from router.api.answer import RATE, SERVER, Row, refusal, vibes
from router.ledger import errors as books
from router.relay import errors as relay
from router.x402 import errors as x402

RETRY_AFTER_S: Final = "5"
"""What a client whose payment the chain has not confirmed is told to wait."""


def _required(error: x402.PaymentRequired) -> WireError:
    price = vibes(error.amount_base)
    if error.reason is None:
        message = f"No API key. Or pay {price} VIBES for this call by x402: see the PAYMENT-REQUIRED header."
    else:
        message = f"The payment was refused ({error.reason}). This call costs {price} VIBES."
    return WireError(
        402,
        "payment_required",
        error.reason or "payment_required",
        message,
        values={"amount_base": str(error.amount_base)},
        headers=error.headers,
    )


def _pending(error: x402.PaymentPending) -> WireError:
    message = f"The payment ({error.tx_hash}) is not final yet: send the same request with it again."
    headers = error.headers | {"retry-after": RETRY_AFTER_S}
    return WireError(503, "payment_pending", "payment_pending", message, headers=headers)


ANSWERS: Final[dict[type[Exception], Row]] = {
    x402.PaymentRequired: _required,
    x402.PaymentPending: _pending,
    x402.MalformedPayment: refusal(400, "malformed_payment"),
    x402.PaymentsUnavailable: refusal(503, "payments_unavailable", "payments_unavailable"),
    relay.RelayOff: refusal(404, "relay_off"),
    relay.RelayUnavailable: refusal(503, "relay_unavailable", SERVER, retry_after=RETRY_AFTER_S),
    relay.DepositRefused: lambda e: WireError(422, INVALID, e.code, str(e)),
    books.TooManyDeposits: lambda e: WireError(
        429, RATE, "too_many_deposits", f"{e}. Or deposit from your wallet."
    ),
    books.TooManyReverts: lambda e: WireError(
        429, RATE, "too_often", str(e), headers={"retry-after": str(e.wait_s)} | x402.NO_RETRY
    ),
    books.PaymentMismatch: lambda _: WireError(
        422, INVALID, "payment_mismatch", "This payment was made for another call.", headers=x402.NO_RETRY
    ),
}
"""One row for each typed error about payments, but for `PaidCallFailed`, which is as what it wraps."""
