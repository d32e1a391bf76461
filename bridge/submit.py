"""Gets a proved batch mined: one nonce at a time, replaced by a better offer while it is stuck.

Every signed transaction is stored before it is sent, so after a crash all are known, and whichever is mined
counts. The operator's account is meant for the bridge alone: what else was sent from it and stands in the way
is waited for as long as for an own transaction, and then replaced.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from web3.types import TxReceipt

from bridge.chain.client import ChainClient, hex0x
from bridge.chain.receipt import checked_receipt
from bridge.chain.settlement import SettlementContract
from bridge.config import TxType
from bridge.errors import FalseReceipt, NotOperator, RpcRefused, SettlementFailed
from bridge.store import Store
from bridge.tables import Attempt, Batch
from mini_llm.wallet.gas import Fees, Market, offer

REFUSED_RAISES = 12
"""How often an offer that the node finds too low is doubled: up to 2^12 times the market's price."""

TOO_LOW = ("underpriced", "base fee")
"""In the words of the nodes: another transaction with the nonce offers more, or the chain asks for more."""


@dataclass(frozen=True)
class FeePolicy:
    """limit_wei: most to pay per gas. stuck_s: seconds after which an unmined transaction is replaced.

    confirmations: blocks on top of one in which it shows for good that a nonce is taken.
    """

    limit_wei: int
    stuck_s: int
    confirmations: int
    tx_type: TxType = TxType.AUTO


class Submitter:
    """Signs with the operator's key. Never waits: each call looks once and does what is due."""

    def __init__(
        self,
        client: ChainClient,
        contract: SettlementContract,
        store: Store,
        operator_key: str,
        policy: FeePolicy,
    ) -> None:
        """Raises NotOperator if the contract takes batches from another address."""
        self._client, self._contract, self._store, self._policy = client, contract, store, policy
        self._account = Account.from_key(operator_key)
        operator = contract.view("operator")
        if operator != self._account.address:
            raise NotOperator(operator, self._account.address)

    @property
    def address(self) -> str:
        """The operator's address."""
        return str(self._account.address)

    def push(self, batch: Batch) -> Batch:
        """Sends a proved batch, sends it again if the node lost it, or replaces it if it is stuck.

        Raises ContractReverted if the contract would refuse it, FeesTooHigh if it would take more than
        the operator pays, RpcRefused if the node does not take it.
        """
        mined_nonce = self._client.nonce(self._account.address, "latest")
        attempts = self._own(self._store.attempts(batch.number))
        waiting = [one for one in attempts if one.nonce >= mined_nonce]
        if not waiting:
            if self._is_void(attempts, batch) if attempts else not self._chain_has(batch):
                self._send_new(batch, self._first_nonce(mined_nonce))
            return self._store.batch(batch.number)
        newest = waiting[-1]
        pending_nonce = self._client.nonce(self._account.address, "pending")
        gap = pending_nonce < newest.nonce  # what was to come before it is gone: it can never be mined
        if gap or time.time() - newest.signed_at >= self._policy.stuck_s:
            self._replace(batch, newest, mined_nonce)
        elif self._client.transaction(newest.tx_hash) is None:
            self._send(newest)
        return self._store.batch(batch.number)

    def mined(self, batch: Batch) -> TxReceipt | None:
        """The receipt of whichever attempt settled the batch, checked against the chain; None if none did.

        Raises SettlementFailed, once, when the last attempt reverted; FalseReceipt if the node lies.
        """
        reverted: dict[str, TxReceipt] = {}
        for attempt in reversed(self._store.attempts(batch.number)):
            receipt = checked_receipt(self._client, attempt.tx_hash)
            if receipt is not None and receipt["status"] == 1:
                return self._settling(receipt, batch)
            if receipt is not None and not attempt.reverted:
                reverted[attempt.tx_hash] = receipt
        for tx_hash, receipt in reverted.items():
            self._require_unchanged(batch, receipt)
            self._store.mark_reverted(tx_hash)
        if reverted and not self._chain_has(batch):
            self._store.unsubmit(batch.number)
            raise SettlementFailed(batch.number, next(iter(reverted)))
        return None

    def _settling(self, receipt: TxReceipt, batch: Batch) -> TxReceipt | None:
        try:
            self._contract.require_settled(receipt, batch.number, batch.header)
        except FalseReceipt:
            if self._client.receipt(hex0x(receipt["transactionHash"])) == receipt:
                raise
            return None  # a reorg between two questions
        except RpcRefused:  # of a node that lags behind the one that has the receipt
            return None
        return receipt

    def _require_unchanged(self, batch: Batch, receipt: TxReceipt) -> None:
        """A transaction that is said to have failed must not have settled the batch.

        A node that has forgotten the state of that block cannot be asked; the newest block decides then.
        """
        try:
            root = self._contract.view("stateRoot", block=receipt["blockNumber"])
            before = self._contract.view("stateRoot", block=receipt["blockNumber"] - 1)
        except RpcRefused:
            return
        if before == batch.header.old_root and root == batch.header.new_root:
            raise FalseReceipt(hex0x(receipt["transactionHash"]), "status", 1, receipt["status"])

    def _chain_has(self, batch: Batch) -> bool:
        """True if the newest block has a batch of this number: the indexer will say which."""
        return int(self._contract.view("batchNumber")) >= batch.number

    def _own(self, attempts: list[Attempt]) -> list[Attempt]:
        """Those that this key signed: the nonces of an operator before it say nothing of its own."""
        address = self._account.address
        return [one for one in attempts if Account.recover_transaction(one.raw_tx) == address]

    def _is_void(self, attempts: list[Attempt], batch: Batch) -> bool:
        """True if other transactions took the nonces of all attempts and the batch is not settled.

        Behind one address there may be nodes that differ about the newest blocks: a batch that one of them
        has must not be sent once more because another one lags.
        """
        block = max(0, self._client.head() - self._policy.confirmations)
        taken = self._client.nonce(self._account.address, block)
        settled = int(self._contract.view("batchNumber", block=block))
        return all(one.nonce < taken for one in attempts) and settled < batch.number

    def _first_nonce(self, mined_nonce: int) -> int:
        """The nonce for a batch's first attempt.

        One that a discarded batch still holds is taken over, so that its transaction never costs gas;
        anything else that waits came from elsewhere and goes first.
        """
        held = [one.nonce for one in self._own(self._store.attempts_from(mined_nonce))]
        return min(held) if held else self._client.nonce(self._account.address, "pending")

    def _replace(self, batch: Batch, newest: Attempt, nonce: int) -> None:
        """Signs anew with the lowest nonce that is not mined: if that was free, it was a gap."""
        try:
            self._send_new(batch, nonce)
        finally:  # even if the price is out of reach, what was signed must be with the node
            if self._client.transaction(newest.tx_hash) is None:
                self._send(newest)

    def _send_new(self, batch: Batch, nonce: int) -> None:
        signed = self._own(self._store.attempts_from(nonce))
        replaced = [one.fees for one in signed if one.nonce == nonce]
        for _ in range(REFUSED_RAISES):
            attempt = self._sign(batch, nonce, replaced)
            self._store.add_attempt(batch.number, attempt)
            if self._send(attempt):
                return
            doubled = Fees(2 * attempt.fees.max_fee_wei, _doubled(attempt.fees.tip_wei))
            replaced = [*replaced, doubled]

    def _sign(self, batch: Batch, nonce: int, replaced: list[Fees]) -> Attempt:
        fees = offer(self._market(), self._policy.limit_wei, replaced)
        call: dict[str, Any] = dict(
            self._contract.settle_call(
                self._account.address, batch.header, batch.words, batch.partner_words, batch.proof
            )
        )
        call |= {"nonce": nonce, "chainId": self._client.chain_id} | fees.fields
        del call["from"]
        signed = self._account.sign_transaction(call)
        return Attempt(hex0x(signed.hash), hex0x(signed.raw_transaction), nonce, fees, int(time.time()))

    def _market(self) -> Market:
        base_fee_wei = None
        if self._policy.tx_type is not TxType.LEGACY:
            base_fee_wei = self._client.base_fee()
        if base_fee_wei is None:
            return Market(None, self._client.gas_price())
        return Market(base_fee_wei, self._client.priority_fee())

    def _send(self, attempt: Attempt) -> bool:
        """False if the node finds the offer too low."""
        try:
            self._client.send_raw(attempt.raw_tx)
        except RpcRefused as refusal:
            if self._client.transaction(attempt.tx_hash) is not None:
                return True  # it was there already
            if self._client.nonce(self._account.address, "latest") > attempt.nonce:
                return True  # something took the nonce meanwhile: the next look sees what
            if any(word in refusal.message.lower() for word in TOO_LOW):
                return False
            raise
        return True


def _doubled(tip_wei: int | None) -> int | None:
    return None if tip_wei is None else 2 * tip_wei
