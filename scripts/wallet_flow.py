"""What a wallet does with the rails: deposit without gas, allow spending, check receipts, withdraw.

The wallet holds its key and signs; somebody else relays. It checks receipts before it allows more spending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract.contract import Contract, ContractFunction
from web3.types import TxReceipt, Wei

from bridge.chain.settlement import load_abi
from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import (
    SignedCeiling,
    derive_session_secret,
    key_commitment,
    session_key_typed_data,
    settlement_domain,
    sign_ceiling,
)
from mini_llm.wallet.node import Node
from mini_llm.wallet.receipt import ReceiptDomain, SignedReceipt, recover_signer
from mini_llm.wallet.settlement import Settlement

TIMEOUT_S = 30


class WrongReceipt(Exception):
    """A receipt that does not follow from the one before it, or is not signed by the right key."""

    def __init__(self, account: int, sequence: int, problem: str) -> None:
        super().__init__(f"receipt {sequence} of account {account}: {problem}")
        self.account, self.sequence, self.problem = account, sequence, problem


class Contracts:
    """The deployed contracts, seen by everyone who sends transactions.

    Args:
        rpc_url: the node.
        record: the deployment record that scripts/deploy.py wrote.
    """

    def __init__(self, rpc_url: str, record: Mapping[str, Any]) -> None:
        self.rpc_url, self.web3 = rpc_url, Web3(Web3.HTTPProvider(rpc_url))
        self.chain_id = int(record["chain_id"])
        self.settlement = self._at("Settlement", record["settlement"])
        self.token = self._at("VibesToken", record["token"])
        self.registry = self._at("PartnerRegistry", record["registry"])

    def _at(self, name: str, address: str) -> Contract:
        return self.web3.eth.contract(Web3.to_checksum_address(address), abi=load_abi(name))

    def send(self, sender: LocalAccount, call: ContractFunction) -> TxReceipt:
        """Signs and sends a call and waits until it is mined; one that would revert raises unsent."""
        nonce = self.web3.eth.get_transaction_count(sender.address)
        return self._mine(sender, dict(call.build_transaction({"from": sender.address, "nonce": nonce})))

    def send_ether(self, sender: LocalAccount, to: str, amount_wei: int) -> TxReceipt:
        """Sends ether and waits until it has arrived."""
        plain = {
            "to": to,
            "value": Wei(amount_wei),
            "nonce": self.web3.eth.get_transaction_count(sender.address),
            "gas": 21_000,
            "gasPrice": self.web3.eth.gas_price,
            "chainId": self.chain_id,
        }
        return self._mine(sender, plain)

    def _mine(self, sender: LocalAccount, transaction: dict[str, Any]) -> TxReceipt:
        raw = sender.sign_transaction(transaction).raw_transaction
        tx_hash = self.web3.eth.send_raw_transaction(raw)
        return self.web3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.05)


class Wallet:
    """A user's wallet with a fresh key, no ether, and a session key derived from one EIP-712 signature."""

    def __init__(self, contracts: Contracts) -> None:
        self.account: LocalAccount = Account.create()
        self.idx = 0
        self._contracts = contracts
        settlement = contracts.settlement.address
        typed = session_key_typed_data(contracts.chain_id, settlement)
        signature = self.account.sign_typed_data(full_message=typed).signature
        self._session_secret = derive_session_secret(bytes(signature))
        self._ceiling_domain = settlement_domain(contracts.chain_id, settlement)
        self._receipt_domain = ReceiptDomain(contracts.chain_id, settlement)
        self._last: SignedReceipt | None = None

    def deposit(self, amount_base: int, relayer: LocalAccount) -> None:
        """Opens the account with a deposit: the wallet signs an intent and a permit, ``relayer`` sends.

        Args:
            amount_base: base units; the wallet must hold them.
            relayer: any account with ether.
        """
        key_commit = key_commitment(public_key(self._session_secret))
        with httpx.Client(timeout=TIMEOUT_S) as http:
            node = Node(self._contracts.rpc_url, http, self._contracts.chain_id)
            settlement = Settlement(node, self._contracts.settlement.address, self._contracts.chain_id)
            call = settlement.deposit_by_permit(self.account, amount_base, key_commit)
            (transaction,) = node.prepare(relayer.address, [call])
            node.send(relayer, transaction)
            self.idx = settlement.holdings(self.account.address).idx

    def ceiling(self, ceiling_base: int) -> SignedCeiling:
        """Allows the account to have spent up to ``ceiling_base`` base units in total, ever."""
        return sign_ceiling(self._session_secret, self._ceiling_domain, self.idx, ceiling_base)

    def request_withdrawal(self, amount_base: int) -> TxReceipt:
        """Asks for ``amount_base`` base units back; a batch of the bridge serves it. Costs the wallet gas."""
        request = self._contracts.settlement.functions.requestWithdrawal(amount_base)
        return self._contracts.send(self.account, request)

    def balance_base(self) -> int:
        """Tokens in the wallet itself, base units."""
        return int(self._contracts.token.functions.balanceOf(self.account.address).call())

    def check_receipts(self, receipts: Sequence[SignedReceipt]) -> int:
        """Checks that receipts continue the chain that was checked before, and returns the account's total.

        Args:
            receipts: what the router returned for this account's calls since the last check, in any order.

        Raises:
            WrongReceipt: a wrong signer, account, sequence, total or link.
        """
        signer = self._contracts.settlement.functions.receiptSigner().call()
        for signed in sorted(receipts, key=lambda signed: signed.receipt.account_sequence):
            problem = self._problem(signed, signer)
            if problem:
                raise WrongReceipt(self.idx, signed.receipt.account_sequence, problem)
            self._last = signed
        return self._last.receipt.account_total_base if self._last else 0

    def _problem(self, signed: SignedReceipt, signer: str) -> str | None:
        receipt, last = signed.receipt, self._last and self._last.receipt
        if recover_signer(signed, self._receipt_domain) != signer:
            return f"not signed by {signer}"
        if receipt.account != self.idx:
            return f"is for account {receipt.account}"
        if receipt.account_sequence != (last.account_sequence if last else 0) + 1:
            return f"follows receipt {last.account_sequence if last else 0}"
        if receipt.previous_receipt != (last.digest(self._receipt_domain) if last else bytes(32)):
            return "does not name the digest of the one before"
        if receipt.account_total_base != (last.account_total_base if last else 0) + receipt.charge_base:
            return f"its total of {receipt.account_total_base} base units does not add up"
        return None
