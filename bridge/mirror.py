"""Brings the chain's events into the router's ledger, each exactly once however often it is tried."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection

from bridge.state import ChainEvent
from bridge.store import Store
from router.ledger import Ledger, chain


def mirror(store: Store, ledger: Ledger) -> int:
    """Posts every event that the ledger does not have yet and returns how many that were.

    A process killed between posting and marking posts again on its next start; the ledger knows the event by
    its reference and answers as before.
    """
    waiting = store.unmirrored()
    for position, event in waiting:
        ledger.run(partial(post_event, event))
        store.mark_mirrored(position)
    return len(waiting)


def post_event(event: ChainEvent, connection: Connection) -> None:
    """The ledger's side of one event; events that move no money and open nothing are left out."""
    args, reference = event.args, event.reference
    match event.name:
        case "AccountOpened":
            chain.open_account(connection, args["idx"], args["owner"])
        case "Deposited":
            chain.credit_deposit(connection, args["idx"], args["amount"], reference)
        case "SessionKeyRequested":
            chain.request_key(connection, args["idx"], args["keyCommit"], reference)
        case "WithdrawalRequested":
            chain.request_withdrawal(connection, args["idx"], args["amount"], reference)
        case "BatchSettled":
            facts = chain.BatchFacts(
                number=args["batchNumber"], slots=event.slots(), burned_base=args["burned"]
            )
            chain.settle_batch(connection, facts, reference)
        case "Withdrawn":
            chain.withdrawn(connection, args["idx"], args["amount"], reference)
        case "PartnerClaimed":
            chain.partner_claimed(connection, args["partnerId"], args["amount"], reference)
        case "FeeClaimed":
            chain.fee_claimed(connection, args["amount"], reference)
        case "TreasuryClaimed":
            chain.treasury_claimed(connection, args["amount"], reference)
