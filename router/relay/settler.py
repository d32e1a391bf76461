"""The relay's transactions: sent once, watched until the chain decides, replaced when they are stuck.

What a payment needs next follows from its row alone (`router.ledger.payments`), so any worker can go on where
another one died. A signed tx is stored before it is broadcast. A payment leaves `sent` only when the wallet's
nonce is spent on chain, so the nonces never have a gap; an authorisation that expired meanwhile reverts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from router.ledger import payments
from router.ledger.payment_table import PaymentState
from router.ledger.payments import PaymentView, SignedTx
from router.ledger.writer import Ledger
from router.relay.eip3009 import DOMAIN_SEPARATOR_CALL, Token, moved, used_topics
from router.relay.gas import Fees, FeesTooHigh, offer
from router.relay.node import Node, NodeError, NodeRefused

STUCK_S: Final = 45
"""A tx that was not mined for this long is replaced by one that offers more."""
KEEP_S: Final = 5.0
"""How often a worker looks after payments that nobody waits for."""
KEEP_LIMIT: Final = 100
MAX_GAS: Final = 300_000
"""Most gas for executing an authorisation: a contract wallet's check runs at the operator's cost."""
_LOG: Final = logging.getLogger(__name__)


class WrongChain(NodeError):
    """The node serves another chain, or the token there is not the one that was configured."""


class TooMuchGas(Exception):
    """Executing an authorisation takes more than `MAX_GAS`."""

    def __init__(self, gas: int) -> None:
        super().__init__(f"{gas} gas, the limit is {MAX_GAS}")
        self.gas = gas


@dataclass(frozen=True)
class Terms:
    """Where payments go and what the operator pays for it.

    Args:
        token: the asset.
        pay_to: address that payments for calls go to; empty if none are taken.
        confirmations: blocks, the tx's own included, after which a tx counts as final.
        max_fee_wei: most to pay for one gas.
    """

    token: Token
    pay_to: str
    confirmations: int
    max_fee_wei: int


class Settler:
    """Moves claimed payments on chain.

    Args:
        ledger: holds the register of payments.
        node: the chain.
        terms: see there.
        private_key: 32 bytes; the wallet pays the gas and needs nothing but the chain's coin.
    """

    def __init__(self, ledger: Ledger, node: Node, terms: Terms, private_key: bytes) -> None:
        self._ledger, self._node, self._terms = ledger, node, terms
        self._wallet: LocalAccount = Account.from_key(private_key)
        self._checked = False

    @property
    def address(self) -> str:
        """The wallet that sends."""
        return self._wallet.address

    @property
    def token(self) -> Token:
        """The asset."""
        return self._terms.token

    async def rehearse(self, to: str, call_data: bytes) -> tuple[int, int]:
        """Gas that a call of ours takes, with a margin, and a block before which it was not executed.

        Raises:
            NodeRefused: it would revert.
            TooMuchGas: it takes more than the operator pays for.
            NodeError: the chain does not say.
        """
        await self._check_chain()
        call = {"from": self.address, "to": to, "data": "0x" + call_data.hex()}
        height = await self._node.number("eth_blockNumber")
        gas = await self._node.number("eth_estimateGas", call)
        if gas > MAX_GAS:
            raise TooMuchGas(gas)
        return gas + gas // 4, height

    async def has_code(self, address: str) -> bool:
        """True if there is a contract at an address.

        Raises:
            NodeError: the node did not say.
        """
        await self._check_chain()
        return await self._node.call("eth_getCode", address, "latest") not in ("0x", "", None)

    async def send(self, payment: PaymentView) -> PaymentView:
        """Signs, stores and broadcasts the tx of a claimed payment.

        Raises:
            NodeError: the node did not say what is needed; nothing was sent.
            FeesTooHigh: nothing was sent.
        """
        fees = await self._fees()
        chain_nonce = await self._spent_nonces()
        sign = partial(self._sign, payment, fees)
        now_s = int(time.time())
        sent = await self._ledger.submit(
            lambda connection: payments.mark_sent(connection, payment.id, chain_nonce, now_s, sign)
        )
        await self._broadcast(sent)
        return sent

    async def follow(self, payment: PaymentView) -> PaymentView:
        """Looks once at what became of a sent payment, and does what that calls for.

        Raises:
            NodeError: the node did not say; nothing changed.
        """
        receipt = await self._receipt(payment.tx_hash)
        if receipt is None and await self._spent_nonces() > (payment.tx_nonce or 0):
            receipt = await self._receipt(payment.tx_hash)  # it may have been mined between the two questions
            if receipt is None:
                return await self._superseded(payment, "another chain tx took its nonce")
        if receipt is None:
            await self._push(payment)
            return payment
        if not self._paid(payment, receipt):
            return await self._superseded(payment, "its chain tx reverted")
        return await self._confirm(payment, receipt)

    async def find_executed(self, payment: PaymentView) -> PaymentView | None:
        """The payment, settled if deep enough, by a chain tx that we did not send; None if there is none.

        Anyone who sees an authorisation may send it; the money moves to `pay_to` all the same.

        Raises:
            NodeError: the node did not say.
        """
        query = {
            "address": self._terms.token.address,
            "topics": used_topics(payment.payer, payment.nonce),
            "fromBlock": hex(payment.from_block),
        }
        for log in await self._node.call("eth_getLogs", query):
            receipt = await self._receipt(log["transactionHash"])
            if receipt is not None and self._paid(payment, receipt):
                return await self._confirm(payment, receipt)
        return None

    async def keep(self) -> None:
        """Sees payments to the end whose callers are gone, until cancelled."""
        while True:
            try:
                sent = await asyncio.to_thread(
                    self._ledger.read, lambda connection: payments.sent_payments(connection, KEEP_LIMIT)
                )
                for payment in sent:
                    await self.follow(payment)
            except Exception as error:  # a node that is away today must not end the watch for ever
                _LOG.warning("payments were not looked after: %s", type(error).__name__)
            await asyncio.sleep(KEEP_S)

    async def _check_chain(self) -> None:
        """The node must serve our chain, and the token must sign under the name that we tell clients."""
        if self._checked:
            return
        token = self._terms.token
        chain_id = await self._node.number("eth_chainId")
        if chain_id != token.chain_id:
            raise WrongChain(f"the node serves chain {chain_id}, not {token.chain_id}")
        call = {"to": token.address, "data": DOMAIN_SEPARATOR_CALL}
        if await self._node.call("eth_call", call, "latest") != "0x" + token.domain_separator().hex():
            raise WrongChain(f"no EIP-3009 token of that name and version at {token.address}")
        self._checked = True

    async def _superseded(self, payment: PaymentView, note: str) -> PaymentView:
        """Our tx moved nothing: either another one executed the authorisation, or it was not executed."""
        executed = await self.find_executed(payment)
        if executed is not None:
            return executed
        _LOG.warning("payment %s not settled by %s: %s", payment.id, payment.tx_hash, note)
        return await self._ledger.submit(lambda connection: payments.mark_unsent(connection, payment, note))

    async def _confirm(self, payment: PaymentView, receipt: Any) -> PaymentView:
        """Settled once the tx that moved the money is deep enough; until then as it was."""
        tx_hash: str = receipt["transactionHash"]
        height = await self._node.number("eth_blockNumber")
        if height - int(receipt["blockNumber"], 16) + 1 < self._terms.confirmations:
            return payment
        _LOG.info("payment %s settled by %s amount_base=%d", payment.id, tx_hash, payment.amount_base)
        now_s = int(time.time())
        return await self._ledger.submit(
            lambda connection: payments.mark_settled(connection, payment.id, tx_hash, now_s)
        )

    async def _push(self, payment: PaymentView) -> None:
        """Broadcasts a tx again, with a better offer if it waits for long."""
        now_s = int(time.time())
        if now_s - (payment.sent_s or 0) >= STUCK_S:
            try:
                sign = partial(self._sign, payment, await self._fees(replaced=payment))
            except FeesTooHigh as error:
                _LOG.warning("payment %s waits: %s", payment.id, error)
            else:
                payment = await self._ledger.submit(
                    lambda connection: payments.mark_replaced(connection, payment, now_s, sign)
                )
        await self._broadcast(payment)

    async def _broadcast(self, payment: PaymentView) -> None:
        if payment.state != PaymentState.SENT or payment.raw_tx is None:
            return
        try:
            await self._node.call("eth_sendRawTransaction", "0x" + payment.raw_tx.hex())
        except NodeRefused as error:  # known already, mined already, or no gas money: the chain will say
            _LOG.info("payment %s broadcast again: %s", payment.id, error.message)
        except NodeError as error:
            _LOG.warning("payment %s not broadcast: %s", payment.id, error)

    async def _fees(self, replaced: PaymentView | None = None) -> Fees:
        market, limit_wei = await self._node.market(), self._terms.max_fee_wei
        if replaced is None or replaced.max_fee_wei is None:
            return offer(market, limit_wei)
        return offer(market, limit_wei, Fees(replaced.max_fee_wei, replaced.tip_wei))

    def _sign(self, payment: PaymentView, fees: Fees, nonce: int) -> SignedTx:
        fields: dict[str, Any] = {
            "chainId": self._terms.token.chain_id,
            "nonce": nonce,
            "to": to_checksum_address(self._terms.token.address),
            "value": 0,
            "gas": payment.gas,
            "data": payment.call_data,
        }
        if fees.tip_wei is None:
            fields["gasPrice"] = fees.max_fee_wei
        else:
            fields |= {"maxFeePerGas": fees.max_fee_wei, "maxPriorityFeePerGas": fees.tip_wei, "type": 2}
        signed = self._wallet.sign_transaction(fields)
        tx_hash = "0x" + bytes(signed.hash).hex()
        return SignedTx(tx_hash, bytes(signed.raw_transaction), fees.max_fee_wei, fees.tip_wei)

    def _paid(self, payment: PaymentView, receipt: Any) -> bool:
        terms = self._terms
        succeeded = int(receipt["status"], 16) == 1
        return succeeded and moved(
            receipt["logs"], terms.token.address, payment.payer, terms.pay_to, payment.amount_base
        )

    async def _receipt(self, tx_hash: str | None) -> Any:
        return await self._node.call("eth_getTransactionReceipt", tx_hash)

    async def _spent_nonces(self) -> int:
        return await self._node.number("eth_getTransactionCount", self.address, "latest")
