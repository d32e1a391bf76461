"""Brings the chain's events into the router's ledger, each exactly once however often it is tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Final

from sqlalchemy import Connection

from bridge.chain.client import ChainClient
from bridge.errors import RpcRefused, RpcUnavailable
from bridge.rollup.batch import challenge, evaluate
from bridge.state import ChainEvent
from bridge.store import Store
from mini_llm.errors import ConfigError
from mini_llm.wallet.ceiling import settlement_domain
from router.ledger import BatchFacts, Ledger, chain, leaving, reverse, settled
from router.ledger.models import Kind

MOST_PRICED: Final = 64
"""Batches whose gas is asked for at a time; there are more only after a rebuild."""


class _Deployment:
    """What events alone do not say, read from the store when it is needed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def domain(self) -> int:
        """First word of every batch."""
        deployed = self._store.deployment()
        if deployed is None:
            raise ConfigError("VIBES_BRIDGE_URL", "names a store that is tied to no contract")
        return settlement_domain(deployed.chain_id, deployed.settlement)

    @cached_property
    def verifiers(self) -> dict[int, str]:
        """Address by batch size."""
        registered = self._store.events_named("VerifierRegistered")
        return {event.args["slots"]: event.args["verifier"] for event in registered}


Post = Callable[[Connection, ChainEvent, _Deployment], Any]
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
    posted, deployment = 0, _Deployment(store)
    for position, event in store.unmirrored():
        ledger.run(partial(_post_event, deployment, event))
        store.mark_mirrored(position)
        posted += 1
    return posted


def catch_up(store: Store, ledger: Ledger) -> int:
    """Has the ledger keep the batches that an earlier release only posted; returns how many."""
    kept = ledger.read(settled.kept)
    if store.mirrored_batch_count() <= kept:
        return 0
    deployment = _Deployment(store)
    missing = [event for event in store.mirrored_batches() if event.args["batchNumber"] > kept]
    for event in missing:
        ledger.run(partial(_post_event, deployment, event))
    return len(missing)


def price(client: ChainClient, ledger: Ledger) -> None:
    """Asks the node what settled batches cost and when; nothing waits for it, so it may be away."""
    try:
        for batch in ledger.read(lambda connection: settled.unpriced(connection, MOST_PRICED)):
            receipt, time_s = client.receipt(batch.tx_hash), client.block_time(batch.block_number)
            if receipt is None or time_s is None or receipt["blockNumber"] != batch.block_number:
                return  # a reorganisation, which the next turn sees
            ledger.run(partial(_price, batch, receipt["gasUsed"], time_s))
    except (RpcRefused, RpcUnavailable):
        return


def _post_event(deployment: _Deployment, event: ChainEvent, connection: Connection) -> None:
    """The ledger's side of one event; events that move no money and open nothing are left out."""
    if event.name in _LEDGER_SIDE:
        _, post = _LEDGER_SIDE[event.name]
        post(connection, event, deployment)


def _price(batch: settled.Unpriced, gas_used: int, block_time_s: int, connection: Connection) -> None:
    settled.price(connection, batch, gas_used, block_time_s)


def _of_account(operation: Callable[[Connection, int, Any, str], Any], detail: str) -> Post:
    """An operation on an account and one more argument of the event."""

    def post(connection: Connection, event: ChainEvent, _deployment: _Deployment) -> None:
        operation(connection, event.args["idx"], event.args[detail], event.reference)

    return post


def _settle(connection: Connection, event: ChainEvent, deployment: _Deployment) -> None:
    args = event.args
    number, commitment = args["batchNumber"], args["commitment"]
    words = [deployment.domain, args["oldRoot"], args["newRoot"], *args["words"]]
    r = challenge(number, words, commitment)
    facts = BatchFacts(
        number=number,
        slots=event.slots(),
        partners=event.partner_gross(),
        burned_base=args["burned"],
        size=args["slots"],
        verifier=deployment.verifiers.get(args["slots"]),
        old_root=args["oldRoot"],
        new_root=args["newRoot"],
        receipts_root=args["receiptsRoot"],
        receipts_total_base=args["receiptsTotal"],
        public_inputs=(commitment, r, evaluate(words, r)),
        tx_hash=event.tx_hash,
        log_index=event.log_index,
        block_number=event.block_number,
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
        lambda c, event, _: chain.partner_claimed(
            c, event.args["partnerId"], event.args["amount"], event.reference
        ),
    ),
    "FeeClaimed": (
        Kind.FEE_CLAIM,
        lambda c, event, _: chain.fee_claimed(c, event.args["amount"], event.reference),
    ),
    "TreasuryClaimed": (
        Kind.TREASURY_CLAIM,
        lambda c, event, _: chain.treasury_claimed(c, event.args["amount"], event.reference),
    ),
}
"""By event name: what the ledger calls it, and how it gets there."""
