"""The table of signed transfers that the relay executes: payments of calls (x402), and deposits.

`router.ledger.payments` alone writes it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary
from sqlmodel import Field

from router.db import LedgerTable
from router.ledger.models import table_of


class PaymentState:
    """States of a payment."""

    CLAIMED: Final = "claimed"
    SENT: Final = "sent"
    SETTLED: Final = "settled"
    REFUNDED: Final = "refunded"


class X402Payment(LedgerTable, table=True):
    """One transfer; see the module's words. `raw_tx` is what was, or is to be, broadcast under `tx_nonce`."""

    __tablename__ = "x402_payment"
    __table_args__ = (
        CheckConstraint("state IN ('claimed', 'sent', 'settled', 'refunded')", name="x402_payment_state"),
        CheckConstraint("amount_base >= 0", name="x402_payment_amount"),
        CheckConstraint(
            "state <> 'sent' OR (tx_nonce IS NOT NULL AND raw_tx IS NOT NULL)", name="x402_payment_sent"
        ),
        CheckConstraint("state <> 'settled' OR tx_hash IS NOT NULL", name="x402_payment_settled"),
        Index("x402_payment_by_state", "state", "claimed_s"),
        Index("x402_payment_deposits", "settlement", "payer", "claimed_s"),
    )

    id: str = Field(primary_key=True, max_length=64)  # hash of chain, token, payer and nonce
    state: str  # one of `PaymentState`
    payer: str = Field(max_length=42)
    nonce: bytes = Field(sa_type=LargeBinary)  # the authorisation's
    amount_base: int = Field(sa_type=BigInteger)
    endpoint: str
    body_hash: bytes = Field(sa_type=LargeBinary)  # sha256
    origin_key: str = Field(max_length=64, index=True)  # of the call's entries
    call_data: bytes = Field(sa_type=LargeBinary)  # the token's call that moves the money
    gas: int = Field(sa_type=BigInteger)
    from_block: int = Field(sa_type=BigInteger)  # the chain's height at the claim: not executed before
    claimed_s: int = Field(sa_type=BigInteger)
    tx_nonce: int | None = Field(sa_type=BigInteger)  # of the facilitator's wallet
    tx_hash: str | None
    raw_tx: bytes | None = Field(sa_type=LargeBinary)
    max_fee_wei: int | None = Field(sa_type=BigInteger)
    tip_wei: int | None = Field(sa_type=BigInteger)
    sent_s: int | None = Field(sa_type=BigInteger)
    settled_s: int | None = Field(sa_type=BigInteger)
    note: str | None  # why a tx did not count, or how it was refunded
    settlement: str | None = Field(max_length=42)  # the contract that a deposit goes to; none pays for a call


PAYMENT: Final = table_of(X402Payment)
