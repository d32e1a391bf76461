"""The register of signed transfers (EIP-3009) that the relay executes.

A payment of a call (x402) is claimed for that call, and good for it until it is used:

    claimed → sent → settled → (used | refunded)        claimed: verified, bound to endpoint and body
       ↑________|                                       sent: the signed chain tx is stored, then broadcast
                                                        settled: the chain has it; the money has moved
A chain tx that reverted, or whose nonce another one took, leads back to claimed with a note: no money moved.
One that reverted burnt gas, and is not sent again.
`used` is not stored: a settled payment is used once the ledger has a posted entry under `origin_key`, the
call's idempotency key. Whatever step a process dies at, the row says what to do next, and never to pay twice.
A deposit (`router.ledger.deposits`) goes the same way up to `settled`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    insert,
    or_,
    select,
    update,
)

from router.ledger import post
from router.ledger.errors import PaymentMismatch, PaymentNotRefundable
from router.ledger.models import ENTRY, State
from router.ledger.payment_table import PAYMENT, PaymentState

NONCE_MEMORY_S: Final = 60
"""A nonce of ours that was mined this recently counts as taken, whatever a node said before."""


BY_CONTRACT: Final = "signed by a contract"
"""Begins the note of a payment whose payer is a contract, until it is settled."""
REVERTED: Final = "its chain tx reverted"
"""Ends the note of a payment whose chain tx moved nothing."""

_BOUND: Final = ("endpoint", "body_hash", "call_data")
"""What a payment is bound to by its claim: the call, and the signed order itself."""


_FIND: Final = select(PAYMENT).where(PAYMENT.c.id == bindparam("payment_id"))
_THIS: Final = PAYMENT.c.id == bindparam("payment_id")
_CALLS: Final = select(ENTRY.c.state).where(ENTRY.c.origin_key == bindparam("key"))


@dataclass(frozen=True)
class Claim:
    """A verified payment for one call.

    Args:
        payment_id: 64 hex digits.
        payer: address, lower case.
        nonce: the authorisation's, 32 bytes.
        amount_base: base units.
        account_idx: ledger account that pays for such calls.
        endpoint: path of the API call.
        body_hash: sha256 of the request body, 32 bytes.
        client_key: idempotency key that the call's reservation will have.
        call_data: the token's call.
        gas: limit for it.
        from_block: a block before which it was not executed.
        now_s: unix seconds.
        settlement: address of the contract that a deposit goes to, lower case; None pays for a call.
        note: `BY_CONTRACT` or None.
    """

    payment_id: str
    payer: str
    nonce: bytes
    amount_base: int
    account_idx: int
    endpoint: str
    body_hash: bytes
    client_key: str
    call_data: bytes
    gas: int
    from_block: int
    now_s: int
    settlement: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class PaymentView:
    """A row of the register; `used` is told by `payments` only."""

    id: str
    state: str
    payer: str
    nonce: bytes
    amount_base: int
    endpoint: str
    body_hash: bytes
    origin_key: str
    call_data: bytes
    gas: int
    from_block: int
    claimed_s: int
    tx_nonce: int | None
    tx_hash: str | None
    raw_tx: bytes | None
    max_fee_wei: int | None
    tip_wei: int | None
    sent_s: int | None
    settled_s: int | None
    note: str | None
    settlement: str | None

    @property
    def by_contract(self) -> bool:
        """Its payer is a contract, whose word on the signature may change."""
        return self.note is not None and self.note.startswith(BY_CONTRACT)

    @property
    def reverted(self) -> bool:
        """Its chain tx moved nothing."""
        return self.state == PaymentState.CLAIMED and self.note is not None and self.note.endswith(REVERTED)


@dataclass(frozen=True)
class SignedTx:
    """A chain tx ready to be broadcast, with what it offers for one gas."""

    tx_hash: str
    raw_tx: bytes
    max_fee_wei: int
    tip_wei: int | None


Sign = Callable[[int], SignedTx]
"""Signs the payment's chain tx with the wallet nonce that the register gives it."""


def find_payment(connection: Connection, payment_id: str) -> PaymentView | None:
    """The payment, None if it was never claimed."""
    row = connection.execute(_FIND, {"payment_id": payment_id}).one_or_none()
    return None if row is None else view(row)


def claim(connection: Connection, request: Claim) -> PaymentView:
    """Binds a payment to one call, once and for all; returns what is known of it if it was bound to this one.

    Raises:
        PaymentMismatch: it was claimed for another call.
    """
    known = find_payment(connection, request.payment_id)
    if known is not None:
        if any(getattr(known, name) != getattr(request, name) for name in _BOUND):
            raise PaymentMismatch(request.payment_id)
        return known
    values = dict(vars(request))
    values["id"] = values.pop("payment_id")
    values["claimed_s"] = values.pop("now_s")
    key = (values.pop("account_idx"), request.endpoint, values.pop("client_key"))
    values |= {"origin_key": post.content_hash(*key).hex(), "state": PaymentState.CLAIMED}
    connection.execute(insert(PAYMENT), values)
    return _known(connection, request.payment_id)


def mark_sent(
    connection: Connection, payment_id: str, chain_nonce: int, now_s: int, sign: Sign
) -> PaymentView:
    """Gives a claimed payment the wallet's first free nonce and stores its signed tx. Others stay as they
    are, and so does one that reverted.

    The database hands out nonces, so that all workers can use one wallet. No nonce is left out, or nothing
    after it would ever be mined; those of another wallet, which the operator had before, may be higher.

    Args:
        connection: a writing transaction.
        payment_id: a claimed payment.
        chain_nonce: the wallet's next nonce as the chain sees it.
        now_s: unix seconds.
        sign: makes the tx.
    """
    payment = _known(connection, payment_id)
    if payment.state != PaymentState.CLAIMED or payment.reverted:
        return payment
    held = or_(PAYMENT.c.state == PaymentState.SENT, PAYMENT.c.settled_s > now_s - NONCE_MEMORY_S)
    taken: set[int] = set(connection.execute(select(PAYMENT.c.tx_nonce).where(held)).scalars())
    nonce = next(one for one in count(chain_nonce) if one not in taken)
    changes = {"state": PaymentState.SENT, "tx_nonce": nonce, "sent_s": now_s}
    changes["note"] = BY_CONTRACT if payment.by_contract else None
    return _change(connection, payment_id, changes | vars(sign(nonce)))


def mark_replaced(connection: Connection, old: PaymentView, now_s: int, sign: Sign) -> PaymentView:
    """Stores a tx that takes the place of `old`'s, under the same nonce, unless another worker was first."""
    payment = _known(connection, old.id)
    if not _same_tx(payment, old) or old.tx_nonce is None:
        return payment
    return _change(connection, old.id, vars(sign(old.tx_nonce)) | {"sent_s": now_s})


def mark_settled(connection: Connection, payment_id: str, tx_hash: str, now_s: int) -> PaymentView:
    """The chain tx `tx_hash` moved the money, whoever sent it."""
    payment = _known(connection, payment_id)
    if payment.state not in (PaymentState.CLAIMED, PaymentState.SENT):
        return payment
    changes = {"state": PaymentState.SETTLED, "tx_hash": tx_hash, "settled_s": now_s, "note": None}
    return _change(connection, payment_id, changes)


def mark_unsent(connection: Connection, old: PaymentView, note: str) -> PaymentView:
    """The tx of `old` can no longer move the money: back to claimed, to be verified anew if it comes back.

    `note` says why; `REVERTED` keeps it from being sent again.
    """
    payment = _known(connection, old.id)
    if not _same_tx(payment, old):
        return payment
    note = f"{BY_CONTRACT}: {note}" if payment.by_contract else note
    cleared = dict.fromkeys(("tx_nonce", "tx_hash", "raw_tx", "max_fee_wei", "tip_wei", "sent_s"))
    return _change(connection, old.id, {"state": PaymentState.CLAIMED, "note": note} | cleared)


def mark_refunded(connection: Connection, payment_id: str, note: str) -> PaymentView:
    """Records that the operator paid a settled, unused payment back by hand: it buys nothing any more.

    Raises:
        PaymentNotRefundable: unknown, not settled, used, or its call runs.
    """
    payment = find_payment(connection, payment_id)
    if payment is None:
        raise PaymentNotRefundable(payment_id, "unknown")
    if payment.settlement is not None:
        raise PaymentNotRefundable(payment_id, "a deposit")
    if payment.state != PaymentState.SETTLED:
        raise PaymentNotRefundable(payment_id, payment.state)
    calls: set[str] = set(connection.execute(_CALLS, {"key": payment.origin_key}).scalars())
    for state, told in ((State.POSTED, "used"), (State.PENDING, "in use")):
        if state in calls:
            raise PaymentNotRefundable(payment_id, told)
    return _change(connection, payment_id, {"state": PaymentState.REFUNDED, "note": note})


def sent_payments(connection: Connection, limit: int) -> list[PaymentView]:
    """Payments on their way, by nonce: what a keeper has to see to the end."""
    sent = select(PAYMENT).where(PAYMENT.c.state == PaymentState.SENT)
    return [view(row) for row in connection.execute(sent.order_by(PAYMENT.c.tx_nonce).limit(limit))]


def payments(connection: Connection, unused: bool = False) -> list[tuple[PaymentView, bool]]:
    """The payments of calls with whether each was used, oldest first.

    Args:
        connection: a reading transaction.
        unused: only settled payments that bought nothing yet: retried by their payers, or to be refunded.
    """
    posted = and_(ENTRY.c.origin_key == PAYMENT.c.origin_key, ENTRY.c.state == State.POSTED)
    used = select(ENTRY.c.number).where(posted).exists()
    query = select(PAYMENT, used.label("used")).where(PAYMENT.c.settlement.is_(None))
    query = query.order_by(PAYMENT.c.claimed_s, PAYMENT.c.id)
    if unused:
        query = query.where(PAYMENT.c.state == PaymentState.SETTLED, ~used)
    return [(view(row), bool(row.used)) for row in connection.execute(query)]


def _same_tx(payment: PaymentView, old: PaymentView) -> bool:
    return payment.state == PaymentState.SENT and payment.tx_hash == old.tx_hash


def _known(connection: Connection, payment_id: str) -> PaymentView:
    return view(connection.execute(_FIND, {"payment_id": payment_id}).one())


def _change(connection: Connection, payment_id: str, values: dict[str, Any]) -> PaymentView:
    connection.execute(update(PAYMENT).where(_THIS).values(values), {"payment_id": payment_id})
    return _known(connection, payment_id)


def view(row: Row[Any]) -> PaymentView:
    """A row as others see it."""
    fields = row._asdict()
    return PaymentView(**{name: fields[name] for name in PaymentView.__dataclass_fields__})
