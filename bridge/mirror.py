"""Brings the chain's events into the router's ledger, each exactly once however often it is tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from bridge.state import ChainEvent
from bridge.store import Store
from router.ledger import Ledger, chain, leaving, reverse
from router.ledger.models import Kind

Post = Callable[[Connection, ChainEvent], Any]
"""Brings one event into the ledger."""


def mirror(store: Store, ledger: Ledger) -> int:
    """Takes back what the chain dropped, then posts every event that the ledger does not have yet.

    Returns how many it posted. A process killed between posting and marking posts again on its next start;
    the ledger knows the event by its reference and answers as before.
    """
    dropped = store.dropped()
    if dropped:
        happenings = [
            (_LEDGER_SIDE[name][0], reference) for name, reference in dropped if name in _LEDGER_SIDE
        ]
        ledger.run(lambda connection: reverse(connection, happenings))
        store.forget_dropped()
    waiting = store.unmirrored()
    for position, event in waiting:
        ledger.run(partial(post_event, event))
        store.mark_mirrored(position)
    return len(waiting)


def post_event(event: ChainEvent, connection: Connection) -> None:
    """The ledger's side of one event; events that move no money and open nothing are left out."""
    if event.name in _LEDGER_SIDE:
        _, post = _LEDGER_SIDE[event.name]
        post(connection, event)


def _of_account(operation: Callable[[Connection, int, Any, str], Any], detail: str) -> Post:
    """An operation on an account and one more argument of the event."""

    def post(connection: Connection, event: ChainEvent) -> None:
        operation(connection, event.args["idx"], event.args[detail], event.reference)

    return post


def _settle(connection: Connection, event: ChainEvent) -> None:
    facts = chain.BatchFacts(
        number=event.args["batchNumber"], slots=event.slots(), burned_base=event.args["burned"]
    )
    chain.settle_batch(connection, facts, event.reference)


_LEDGER_SIDE: Final[dict[str, tuple[str, Post]]] = {
    "AccountOpened": (Kind.ACCOUNT, _of_account(chain.open_account, "owner")),
    "Deposited": (Kind.DEPOSIT, _of_account(chain.credit_deposit, "amount")),
    "SessionKeyRequested": (Kind.KEY_REQUEST, _of_account(chain.request_key, "keyCommit")),
    "WithdrawalRequested": (Kind.WITHDRAWAL_REQUEST, _of_account(chain.request_withdrawal, "amount")),
    "DepositCancelAnnounced": (Kind.CANCEL_ANNOUNCED, _of_account(leaving.announce_cancel, "amount")),
    "DepositCancelled": (Kind.CANCELLED, _of_account(leaving.cancel_deposit, "amount")),
    "AccountFrozen": (Kind.FREEZE, _of_account(leaving.freeze_account, "refundedDeposit")),
    "AccountExited": (Kind.EXIT, _of_account(leaving.exit_account, "amount")),
    "BatchSettled": (Kind.BATCH, _settle),
    "Withdrawn": (Kind.WITHDRAWN, _of_account(chain.withdrawn, "amount")),
    "PartnerClaimed": (
        Kind.PARTNER_CLAIM,
        lambda c, event: chain.partner_claimed(
            c, event.args["partnerId"], event.args["amount"], event.reference
        ),
    ),
    "FeeClaimed": (
        Kind.FEE_CLAIM,
        lambda c, event: chain.fee_claimed(c, event.args["amount"], event.reference),
    ),
    "TreasuryClaimed": (
        Kind.TREASURY_CLAIM,
        lambda c, event: chain.treasury_claimed(c, event.args["amount"], event.reference),
    ),
}
"""By event name: what the ledger calls it, and how it gets there."""
