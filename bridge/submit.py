"""Sends a proved batch and sees it through: one transaction per batch number, whatever is killed."""

from __future__ import annotations

import time
from typing import Any, cast

from eth_account import Account
from web3.types import TxReceipt

from bridge.chain.client import ChainClient, hex0x
from bridge.chain.settlement import SettlementContract
from bridge.errors import NotOperator, RpcRefused, SettlementFailed, SettlementTimeout
from bridge.store import Store
from bridge.tables import Batch

FIRST_POLL_S = 0.05
LONGEST_POLL_S = 2.0


class Submitter:
    """Signs with the operator's key. confirmations: blocks on top of a batch's block before it is final."""

    def __init__(
        self,
        client: ChainClient,
        contract: SettlementContract,
        store: Store,
        operator_key: str,
        confirmations: int,
    ) -> None:
        """Raises NotOperator if the contract takes batches from another address."""
        self._client, self._contract, self._store = client, contract, store
        self._confirmations = confirmations
        self._account = Account.from_key(operator_key)
        operator = contract.view("operator")
        if operator != self._account.address:
            raise NotOperator(operator, self._account.address)

    def submit(self, batch: Batch) -> Batch:
        """Sends a proved batch, or sends one that was signed before again, byte for byte.

        Raises ContractReverted if the contract would refuse it, SettlementFailed if it reverted on chain.
        """
        while True:
            if batch.raw_tx is None:
                batch = self._sign(batch)
            if self._send(batch):
                return batch
            # Another transaction of the operator took the nonce, so these bytes can never be mined.
            self._store.forget_transaction(batch.number)
            batch = self._store.batch(batch.number)

    def wait(self, batch: Batch, timeout_s: int) -> TxReceipt:
        """The receipt once the batch is confirmed. Raises SettlementTimeout, SettlementFailed."""
        tx_hash = cast(str, batch.tx_hash)
        deadline = time.monotonic() + timeout_s
        pause = FIRST_POLL_S
        while True:
            receipt = self._mined(batch)
            if receipt is not None and self._client.head() >= receipt["blockNumber"] + self._confirmations:
                return receipt
            if time.monotonic() >= deadline:
                raise SettlementTimeout(batch.number, tx_hash, timeout_s)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_POLL_S)

    def _sign(self, batch: Batch) -> Batch:
        """Signs and stores, in this order and before anything is sent."""
        call: dict[str, Any] = dict(
            self._contract.settle_call(
                self._account.address, batch.header, batch.words, batch.partner_words, batch.proof
            )
        )
        nonce = self._client.nonce(self._account.address, "pending")
        call |= {"nonce": nonce, "chainId": self._client.chain_id} | self._fees()
        del call["from"]
        signed = self._account.sign_transaction(call)
        self._store.store_transaction(batch.number, hex0x(signed.raw_transaction), hex0x(signed.hash), nonce)
        return self._store.batch(batch.number)

    def _fees(self) -> dict[str, int]:
        base_fee = self._client.base_fee()
        if base_fee is None:
            return {"gasPrice": self._client.gas_price()}
        tip = self._client.priority_fee()
        # Twice the base fee stays includable through six full blocks in a row (EIP-1559: +12.5 % each).
        return {"maxFeePerGas": 2 * base_fee + tip, "maxPriorityFeePerGas": tip}

    def _send(self, batch: Batch) -> bool:
        """True if the transaction is mined or with the node, False if it never can be."""
        if self._mined(batch) is not None:
            return True
        try:
            self._client.send_raw(cast(str, batch.raw_tx))
            return True
        except RpcRefused:
            if self._client.transaction(cast(str, batch.tx_hash)) is not None:
                return True
            if self._client.nonce(self._account.address, "latest") > cast(int, batch.nonce):
                return self._mined(batch) is not None
            raise

    def _mined(self, batch: Batch) -> TxReceipt | None:
        receipt = self._client.receipt(cast(str, batch.tx_hash))
        if receipt is not None and receipt["status"] != 1:
            self._store.forget_transaction(batch.number)
            raise SettlementFailed(batch.number, cast(str, batch.tx_hash))
        return receipt
