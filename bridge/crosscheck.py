"""Logs checked a second way before they count: against the contract's own storage and the receipts.

A node that makes up or withholds logs would otherwise credit deposits that nobody made, or have requests
served that nobody sent. What passes here was said twice by the node, in different words;
docs/threat-model.md says what a node can do that lies consistently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bridge.chain.client import hex0x
from bridge.chain.receipt import checked_receipt
from bridge.chain.settlement import SettlementContract
from bridge.errors import FalseLog, FalseReceipt, FalseState, RpcRefused, RpcUnavailable
from bridge.state import ChainEvent, ChainState, Requests
from bridge.store import Store

ACCOUNT_EVENTS = frozenset(
    {
        "AccountOpened",
        "Deposited",
        "WithdrawalRequested",
        "SessionKeyRequested",
        "DepositCancelAnnounced",
        "DepositCancelled",
        "AccountFrozen",
        "BatchSettled",
    }
)
"""What these say of an account shows in its storage; all others are looked up in their receipts."""


class CrossCheck:
    """Checks events and the state folded from them, at the last block that was read.

    Raises RpcUnavailable if the chain moved on while it was asked.
    """

    def __init__(self, contract: SettlementContract, store: Store) -> None:
        self._contract, self._store = contract, store

    def events(self, state: ChainState) -> None:
        """Checks all events that the ledger is still to learn of.

        Raises FalseState if the contract's storage says otherwise, FalseLog if a transaction has no such log.
        """
        touched: set[int] = set()
        by_receipt: dict[str, list[ChainEvent]] = {}
        for _, event in self._store.unmirrored():
            if event.name == "BatchSettled":
                touched |= {slot.idx for slot in event.slots()}
            elif event.name in ACCOUNT_EVENTS:
                touched.add(event.args["idx"])
            else:
                by_receipt.setdefault(event.tx_hash, []).append(event)
        if touched or by_receipt:
            self.accounts(touched, state)
            with self._standing() as block:
                for tx_hash, said in by_receipt.items():
                    self._receipt(tx_hash, said)
                actual, opened = (
                    self._contract.view("nextIdx", block=block) - 1,
                    self._store.accounts_opened(),
                )
                if actual != opened:
                    raise FalseState("number of accounts", actual, opened)

    def accounts(self, touched: Iterable[int], state: ChainState) -> None:
        """Checks what the state says of accounts' requests. Raises FalseState."""
        with self._standing() as block:
            for idx in sorted(touched):
                requests = state.requests.get(idx, Requests())
                entry = self._contract.account(idx, block)
                for part, stored, told in (
                    ("pending deposit", entry["pendingDeposit"], requests.deposit_base),
                    ("announced cancellation", entry["cancelling"], requests.cancelling_base),
                    ("pending withdrawal", entry["pendingWithdrawal"], requests.withdrawal_base),
                    ("pending key", entry["pendingKey"], requests.key_commit),
                ):
                    if stored != told:
                        raise FalseState(f"account {idx}: {part}", stored, told)

    @contextmanager
    def _standing(self) -> Iterator[int]:
        """The last block that was read; a difference that a reorganisation explains is no lie."""
        block, block_hash = self._store.indexed()
        try:
            yield block
        except (FalseLog, FalseReceipt, FalseState, RpcRefused):
            if self._contract.client.block_hash(block) == block_hash:
                raise
            raise RpcUnavailable("eth_call", "the chain changed while it was asked") from None

    def _receipt(self, tx_hash: str, said: list[ChainEvent]) -> None:
        receipt = checked_receipt(self._contract.client, tx_hash, said[0].block_number)
        if receipt is None:
            raise RpcUnavailable("eth_getTransactionReceipt", f"it has no receipt of {tx_hash}")
        found = {
            log["logIndex"]: event
            for log in receipt["logs"]
            if log["address"] == self._contract.address
            if (event := self._contract.read_event(log, 0)) is not None
        }
        for event in said:
            there = found.get(event.log_index)
            if there is None or (there.name, dict(there.args)) != (event.name, dict(event.args)):
                raise FalseLog(event.reference, event.name)
            if event.block_hash != hex0x(receipt["blockHash"]):
                raise FalseLog(event.reference, f"{event.name} in block {event.block_hash}")
