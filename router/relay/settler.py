"""The relay's transactions: sent once, watched until the chain decides, replaced when they are stuck.

What a payment needs next follows from its row alone (`router.ledger.payments`), so any worker can go on where
another one died. A signed tx is stored before it is broadcast. A payment leaves `sent` only when the wallet's
nonce is spent on chain, so the nonces never have a gap; an authorisation that expired meanwhile reverts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount

from mini_llm.errors import ConfigError
from mini_llm.wallet.address import to_checksum_address
from mini_llm.wallet.gas import Fees, FeesTooHigh, offer
from router.beside import beside
from router.config import Settings
from router.ledger import deposits, payments, reverts
from router.ledger.deposits import DepositLimits
from router.ledger.payment_table import PaymentState
from router.ledger.payments import Claim, PaymentView, SignedTx
from router.ledger.reverts import RevertLimits
from router.ledger.writer import Ledger
from router.relay.eip3009 import Token, executed, payee_of, used_topics
from router.relay.node import Node, NodeError, NodeRefused
from router.relay.rehearsal import Rehearsal

STUCK_S: Final = 45
"""A tx that was not mined for this long is replaced by one that offers more."""
KEEP_S: Final = 5.0
"""How often a worker looks after payments that nobody waits for."""
KEEP_LIMIT: Final = 100
POLL_S: Final = 0.1
"""How often a waiting call looks at its tx at first; the pause doubles up to `MAX_POLL_S`."""
MAX_POLL_S: Final = 2.0
WEI_PER_GWEI: Final = 10**9
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """What is moved and what the operator pays for it.

    Args:
        token: the asset.
        confirmations: blocks, the tx's own included, after which a tx counts as final.
        max_fee_wei: most to pay for one gas.
    """

    token: Token
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
        self.rehearsal = Rehearsal(node, terms.token, self._wallet.address, terms.max_fee_wei)

    @property
    def address(self) -> str:
        """The wallet that sends."""
        return self._wallet.address

    @property
    def token(self) -> Token:
        """The asset."""
        return self._terms.token

    async def send(self, payment: PaymentView, limits: RevertLimits) -> PaymentView:
        """Signs, stores and broadcasts the tx of a claimed payment, unless it reverted before.

        Raises:
            TooManyReverts: a limit is reached; nothing was sent.
            NodeError: the node did not say what is needed; nothing was sent.
            FeesTooHigh: nothing was sent.
        """
        sign = partial(self._sign, payment, await self._fees())
        chain_nonce = await self._spent_nonces()
        now_s = int(time.time())
        sent = await self._ledger.submit(
            lambda connection: reverts.mark_sent(connection, payment, limits, chain_nonce, now_s, sign)
        )
        await self._broadcast(sent)
        return sent

    async def send_deposit(self, deposit: Claim, limits: DepositLimits) -> PaymentView:
        """Claims, signs, stores and broadcasts the tx of a verified deposit; a known one stays as it is.

        Raises:
            TooManyDeposits: a limit is reached; nothing was sent.
            NodeError, FeesTooHigh: nothing was sent.
        """
        sign = partial(self._sign, deposit, await self._fees())
        chain_nonce = await self._spent_nonces()
        sent = await self._ledger.submit(
            lambda connection: deposits.take_deposit(connection, deposit, limits, chain_nonce, sign)
        )
        await self._broadcast(sent)
        return sent

    async def settle(self, payment: PaymentView, timeout_s: float) -> PaymentView:
        """Follows a sent payment until the chain has decided, or for as long as that."""
        deadline, pause_s = time.monotonic() + timeout_s, POLL_S
        while payment.state == PaymentState.SENT:
            try:
                payment = await self.follow(payment)
            except NodeError as error:
                _LOG.warning("payment %s not followed: %s", payment.id, error)
            if payment.state != PaymentState.SENT or time.monotonic() > deadline:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_POLL_S)
        return payment

    async def follow(self, payment: PaymentView) -> PaymentView:
        """Looks once at what became of a sent payment, and does what that calls for.

        Raises:
            NodeError: the node did not say; nothing changed.
        """
        receipt = await self._receipt(payment.tx_hash)
        if receipt is None and not self._signed(payment):
            await self._broadcast(payment)  # the operator's wallet was another one, whose nonces are its own
            return payment
        if receipt is None and await self._spent_nonces() > (payment.tx_nonce or 0):
            receipt = await self._receipt(payment.tx_hash)  # it may have been mined between the two questions
            if receipt is None:
                return await self._superseded(payment, "another chain tx took its nonce")
        if receipt is None:
            await self._push(payment)
            return payment
        if not self._paid(payment, receipt):
            return await self._superseded(payment, payments.REVERTED)
        return await self._confirm(payment, receipt)

    async def find_executed(self, payment: PaymentView) -> PaymentView | None:
        """The payment, settled if deep enough, by a chain tx that we did not send; None if there is none.

        Anyone who sees an authorisation may send it; the money moves to where it was signed for all the same.

        Raises:
            NodeError: the node did not say.
        """
        receipt = await self.find_execution(payment)
        return None if receipt is None else await self._confirm(payment, receipt)

    async def find_execution(self, payment: Claim | PaymentView) -> Any:
        """Receipt of the chain tx that moved the money of a payment, whoever sent it; None if there is none.

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
                return receipt
        return None

    async def keep(self) -> None:
        """Sees payments to the end whose callers are gone, until cancelled."""
        while True:
            try:
                sent = await asyncio.to_thread(
                    self._ledger.read, lambda connection: payments.sent_payments(connection, KEEP_LIMIT)
                )
                for payment in sent:
                    await self.settle(payment, timeout_s=0)  # one that cannot be followed holds up no other
            except Exception as error:  # a node that is away today must not end the watch for ever
                _LOG.warning("payments were not looked after: %s", type(error).__name__)
            await asyncio.sleep(KEEP_S)

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
        old = [] if replaced is None else [Fees(replaced.max_fee_wei or 0, replaced.tip_wei)]
        return offer(await self._node.market(), self._terms.max_fee_wei, old)

    def _sign(self, payment: Claim | PaymentView, fees: Fees, nonce: int) -> SignedTx:
        fields: dict[str, Any] = {
            "chainId": self._terms.token.chain_id,
            "nonce": nonce,
            "to": to_checksum_address(payment.settlement or self._terms.token.address),
            "value": 0,
            "gas": payment.gas,
            "data": payment.call_data,
            **fees.fields,
        }
        signed = self._wallet.sign_transaction(fields)
        tx_hash = "0x" + bytes(signed.hash).hex()
        return SignedTx(tx_hash, bytes(signed.raw_transaction), fees.max_fee_wei, fees.tip_wei)

    def _signed(self, payment: PaymentView) -> bool:
        return bool(Account.recover_transaction(payment.raw_tx) == self.address)

    def _paid(self, payment: Claim | PaymentView, receipt: Any) -> bool:
        # where its payer signed it to: the configured address may be another by now
        token, payee = self._terms.token.address, payment.settlement or payee_of(payment.call_data)
        succeeded = int(receipt["status"], 16) == 1
        return succeeded and executed(
            receipt["logs"], token, payment.payer, payment.nonce, payee, payment.amount_base
        )

    async def _receipt(self, tx_hash: str | None) -> Any:
        return await self._node.call("eth_getTransactionReceipt", tx_hash)

    async def _spent_nonces(self) -> int:
        return await self._node.number("eth_getTransactionCount", self.address, "latest")


@asynccontextmanager
async def open_settler(ledger: Ledger, settings: Settings) -> AsyncIterator[Settler]:
    """A settler that sees to the end what nobody waits for any more, until the block ends.

    Raises:
        ConfigError: there is no wallet to send from.
    """
    config, key = settings.config, settings.relay_key
    if config.relay is None or key is None:
        raise ConfigError("relay", "is not configured")
    relay = config.relay
    terms = Terms(
        token=Token(relay.asset.lower(), relay.asset_name, relay.asset_version, settings.domain.chain_id),
        confirmations=relay.confirmations,
        max_fee_wei=relay.max_fee_gwei * WEI_PER_GWEI,
    )
    async with httpx.AsyncClient(trust_env=False) as http:
        settler = Settler(ledger, Node(http, relay.rpc_url.get_secret_value()), terms, key)
        async with beside(settler.keep()):
            yield settler
