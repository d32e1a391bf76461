"""How many chain transactions of payments may move nothing: each burns gas of the operator's.

A key's signature is good until its owner spends the money elsewhere. A contract that checks its own
(EIP-1271) may say one thing to a simulation and another on chain, so its transactions count while they are on
their way, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from router.ledger import payments
from router.ledger.errors import TooManyReverts
from router.ledger.payment_table import PAYMENT, PaymentState
from router.ledger.payments import BY_CONTRACT, REVERTED, PaymentView, Sign

WINDOW_S: Final = 86_400
UNDER_WAY_S: Final = 30
"""How long to wait for transactions whose outcome is not known yet."""
_UNDER_WAY: Final = and_(PAYMENT.c.state == PaymentState.SENT, PAYMENT.c.note.startswith(BY_CONTRACT))
_REVERTED: Final = and_(PAYMENT.c.state == PaymentState.CLAIMED, PAYMENT.c.note.endswith(REVERTED))


@dataclass(frozen=True)
class RevertLimits:
    """How many transactions within `WINDOW_S` may have reverted, those of contracts on their way included.

    Args:
        payer: of one payer.
        contracts: of all payers together that are contracts.
    """

    payer: int
    contracts: int


def mark_sent(
    connection: Connection,
    payment: PaymentView,
    limits: RevertLimits,
    chain_nonce: int,
    now_s: int,
    sign: Sign,
) -> PaymentView:
    """See `payments.mark_sent`; within limits.

    Raises:
        TooManyReverts: a limit is reached.
    """
    if payment.state == PaymentState.CLAIMED:
        _require_room(connection, PAYMENT.c.payer == payment.payer, limits.payer, now_s)
        if payment.by_contract:
            _require_room(connection, PAYMENT.c.note.startswith(BY_CONTRACT), limits.contracts, now_s)
    return payments.mark_sent(connection, payment.id, chain_nonce, now_s, sign)


def _require_room(connection: Connection, whose: ColumnElement[bool], limit: int, now_s: int) -> None:
    # the states are few of many rows, and an index has them by time
    open_states = PAYMENT.c.state.in_((PaymentState.CLAIMED, PaymentState.SENT))
    query = select(PAYMENT.c.state, PAYMENT.c.claimed_s).where(open_states, PAYMENT.c.settlement.is_(None))
    query = query.where(PAYMENT.c.claimed_s > now_s - WINDOW_S, or_(_UNDER_WAY, _REVERTED), whose)
    found = connection.execute(query.order_by(PAYMENT.c.claimed_s).limit(limit)).all()
    if len(found) >= limit:
        waits = any(row.state == PaymentState.SENT for row in found)
        since_s = found[0].claimed_s if found else now_s
        raise TooManyReverts(limit, UNDER_WAY_S if waits else since_s + WINDOW_S - now_s)
