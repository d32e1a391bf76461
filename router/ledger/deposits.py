"""Deposits that the relay sends: rows of the register of signed transfers (`router.ledger.payments`).

A deposit is claimed and its signed tx stored in one step, so that none is ever accepted and not sent. One
whose tx moved nothing is back at `claimed` with a note, and is never sent again: its wallet signs anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from mini_llm.wallet.address import to_checksum_address
from router.ledger import payments, read
from router.ledger.errors import TooManyDeposits
from router.ledger.payment_table import PAYMENT
from router.ledger.payments import Claim, PaymentView, Sign

WINDOW_S: Final = 86_400


@dataclass(frozen=True)
class DepositLimits:
    """How many deposits are sent within `WINDOW_S`, failed ones included.

    Args:
        wallet: of one wallet.
        all: of all together.
        newcomers: as many of all may have been sent when a wallet without an account comes; the rest is for
            those that have one.
    """

    wallet: int
    all: int
    newcomers: int


def take_deposit(
    connection: Connection, request: Claim, limits: DepositLimits, chain_nonce: int, sign: Sign
) -> PaymentView:
    """Stores a verified deposit with its signed tx; one that is known stays as it is.

    Args:
        connection: a writing transaction.
        request: the deposit.
        limits: see there.
        chain_nonce: the wallet's next nonce as the chain sees it.
        sign: makes the tx.

    Raises:
        TooManyDeposits: a limit is reached.
    """
    known = payments.find_payment(connection, request.payment_id)
    if known is not None:
        return known
    require_room(connection, request, limits)
    payments.claim(connection, request)
    return payments.mark_sent(connection, request.payment_id, chain_nonce, request.now_s, sign)


def require_room(connection: Connection, request: Claim, limits: DepositLimits) -> None:
    """Lets a deposit pass that is none too many.

    Raises:
        TooManyDeposits: a limit is reached.
    """
    newcomer = not read.accounts_of(connection, to_checksum_address(request.payer))
    of_all = limits.newcomers if newcomer else limits.all
    since_s = request.now_s - WINDOW_S
    for limit, payer in ((limits.wallet, request.payer), (of_all, None)):
        if _count(connection, request.settlement, since_s, payer) >= limit:
            raise TooManyDeposits(limit, of_wallet=payer is not None)


def find_deposit(connection: Connection, payer: str, payment_id: str) -> PaymentView | None:
    """A wallet's deposit, None if there is none of this name."""
    found = payments.find_payment(connection, payment_id)
    return found if found is not None and found.settlement and found.payer == payer.lower() else None


def deposits_of(connection: Connection, payer: str, limit: int) -> list[PaymentView]:
    """A wallet's deposits, newest first."""
    query = select(PAYMENT).where(PAYMENT.c.settlement.is_not(None), PAYMENT.c.payer == payer.lower())
    query = query.order_by(PAYMENT.c.claimed_s.desc(), PAYMENT.c.id).limit(limit)
    return [payments.view(row) for row in connection.execute(query)]


def _count(connection: Connection, settlement: str | None, since_s: int, payer: str | None) -> int:
    query = select(func.count()).where(PAYMENT.c.settlement == settlement, PAYMENT.c.claimed_s > since_s)
    if payer is not None:
        query = query.where(PAYMENT.c.payer == payer)
    return int(connection.execute(query).scalar_one())
