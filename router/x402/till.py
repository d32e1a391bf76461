"""What the gateway asks about calls that nobody's API key pays for: is it paid, settle it, say how.

take     the payment is checked against the quote and claimed for this call, once
reserve  as for every call, on the operator's account; the idempotency key is the payment's id, so the ledger
         runs one call per payment and gives replays the stored answer
settle   the money moves on chain; only then the gateway calls the provider
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import Final

from mini_llm.wallet.gas import FeesTooHigh
from router.billing import Billing, Ticket
from router.config_relay import X402Config
from router.ledger import payments, reverts
from router.ledger.errors import InFlight, LedgerError
from router.ledger.payment_table import PaymentState
from router.ledger.payments import Claim, PaymentView
from router.ledger.reservations import Replay
from router.ledger.reverts import RevertLimits
from router.ledger.writer import Ledger
from router.people.callers import Principal
from router.people.doorstep import Doorstep
from router.people.limits import Passage
from router.people.screening import Moment, Screening
from router.relay.node import NodeError
from router.relay.settler import Settler
from router.x402 import wire
from router.x402.errors import (
    NO_RETRY,
    PaidCallFailed,
    PaymentPending,
    PaymentRequired,
    PaymentsUnavailable,
)
from router.x402.purchase import Purchase
from router.x402.verifier import WRONG_AMOUNT, Verified, Verifier, refusal
from router.x402.wire import Offer, Payment

KEY_ID: Final = "x402"
"""What stands for an API key's id in calls that a payment pays for."""

_REFUNDED: Final = "payment_refunded"
_PENDING: Final = "settlement_pending"
_FAILED: Final = "transaction_failed"

_LOG: Final = logging.getLogger(__name__)


class Till:
    """Takes payments for calls; see the module's words."""

    def __init__(
        self,
        ledger: Ledger,
        billing: Billing,
        settler: Settler,
        verifier: Verifier,
        options: X402Config,
        doorstep: Doorstep,
        screening: Screening,
    ) -> None:
        self._ledger, self._billing, self._settler, self._verifier = ledger, billing, settler, verifier
        self._options, self._doorstep, self._screening = options, doorstep, screening
        self._limits = RevertLimits(options.payer_reverts, options.contract_reverts)
        self._reverts = Doorstep(options.address_reverts, window_s=reverts.WINDOW_S)
        self.principal = Principal(options.account, KEY_ID)

    async def reserve(self, passage: Passage, purchase: Purchase, header: str | None) -> Ticket | Replay:
        """Takes the payment and the reservation, settles, and puts x402's headers with those of the passage.

        After a failure nothing is reserved. A payment that was settled is good for the same call again, but
        for no model that costs more if the model was left open.

        Raises:
            PaymentError: see `take` and `settle`; PaymentRequired with `paid_base` if that is too little.
            TooOften, TooManyReverts: see `take` and `settle`.
            PaymentMismatch: the payment was made for another call.
            PaidCallFailed: the first call with this payment still runs.
        """
        payment = await self.take(purchase, header)
        key = client_key(payment.id)
        try:
            ticket = await self._billing.reserve(
                self.principal, passage, purchase.endpoint, key, purchase.body, purchase.quote
            )
        except InFlight as error:
            raise PaidCallFailed(error, NO_RETRY) from None
        except LedgerError as error:
            _LOG.error("the account of x402 calls cannot pay: %s", error)
            raise PaymentsUnavailable("the operator's account cannot pay for calls") from None
        if isinstance(ticket, Replay):
            passage.headers = passage.headers | self.headers(payment)
            return ticket
        try:
            if purchase.left_open and payment.amount_base < purchase.quote.quote_base:
                raise refusal(self._offer(purchase), WRONG_AMOUNT, payment.payer, payment.amount_base)
            settled = await self.settle(purchase, payment)
        except BaseException as error:
            await self._billing.release(ticket, error, ())
            raise
        if payment.state == PaymentState.CLAIMED:  # else nothing was asked of the chain
            self._doorstep.forgive(purchase.address)
        passage.headers = passage.headers | self.headers(settled)
        return ticket

    async def recall(self, passage: Passage, endpoint: str, body: bytes, header: str | None) -> Replay | None:
        """What a payment bought before, where it can buy nothing any more; x402's headers go with it.

        Raises:
            MalformedPayment: the header is no payment.
            LedgerError: its call still runs, or was another one.
        """
        if header is None:
            return None
        payment_id = wire.read_payment(header).authorization.payment_id(self._settler.token)
        earlier = await self._billing.recall(
            self.principal.account_idx, endpoint, client_key(payment_id), body
        )
        if earlier is not None and (paid := await self._find(payment_id)) is not None:
            passage.headers = passage.headers | self.headers(paid)
        return earlier

    async def take(self, purchase: Purchase, header: str | None) -> PaymentView:
        """The payment in a PAYMENT-SIGNATURE header, verified and claimed for this call.

        A payment that this call claimed before is good again, whatever the quote is by now.

        Raises:
            PaymentRequired: none came, or not one that pays for this call; says what would.
            MalformedPayment: the header is no payment.
            PaymentMismatch: it was made for another call.
            PaymentsUnavailable: the chain cannot be asked.
            TooOften: too many payments from this address were looked at in vain.
            WalletRefused, ScreeningUnavailable: the operator takes no payment of this wallet, or cannot tell.
        """
        offer = self._offer(purchase)
        if header is None:
            raise refusal(offer, None)
        payment = wire.read_payment(header)
        order = payment.authorization
        payment_id = order.payment_id(self._settler.token)
        found = await self._verified(payment, payment_id, offer, purchase.address)
        request = Claim(
            payment_id=payment_id,
            payer=order.payer,
            nonce=order.nonce,
            amount_base=order.value_base,
            account_idx=self.principal.account_idx,
            endpoint=purchase.endpoint,
            body_hash=hashlib.sha256(purchase.body).digest(),
            client_key=client_key(payment_id),
            call_data=order.call_data(),
            gas=found.gas,
            from_block=found.from_block,
            now_s=int(time.time()),
            note=payments.BY_CONTRACT if found.by_contract else None,
        )
        return await self._ledger.submit(lambda connection: payments.claim(connection, request))

    async def settle(self, purchase: Purchase, claimed: PaymentView) -> PaymentView:
        """Moves the money of a claimed payment, or finds that it has moved; returns once the chain is sure.

        Call it while the call's reservation is held: then nobody else settles, uses or refunds this payment.

        Raises:
            PaymentRequired: the chain refused it after all; no money moved.
            PaymentPending: not final in time; the money may still move, and is then good for the same call.
            PaymentsUnavailable: the chain cannot be asked; nothing was sent.
            TooOften, TooManyReverts: too much was sent for nothing, for this address or this payer.
        """
        payment = await self._find(claimed.id) or claimed
        try:
            if payment.state == PaymentState.CLAIMED:
                self._reverts.require(purchase.address)
                payment = await self._settler.send(payment, self._limits)
        except (NodeError, FeesTooHigh) as error:
            raise _unavailable(error) from None
        payment = await self._settler.settle(payment, self._options.settle_timeout_s)
        if payment.state == PaymentState.SENT:
            raise self._pending(payment)
        if payment.state != PaymentState.SETTLED:
            if payment.reverted:
                self._reverts.wait_s(purchase.address)
            reason = _REFUNDED if payment.state == PaymentState.REFUNDED else _FAILED
            raise refusal(self._offer(purchase), reason, payment.payer)
        return payment

    def headers(self, settled: PaymentView) -> dict[str, str]:
        """Headers of an answer that was paid for: no cache may give it to somebody else."""
        network = self._settler.token.network
        value = wire.settled_header(network, settled.payer, settled.tx_hash or "", settled.amount_base)
        return {wire.RESPONSE_HEADER: value, "cache-control": "no-store"}

    def _offer(self, purchase: Purchase) -> Offer:
        return Offer(
            token=self._settler.token,
            pay_to=self._options.pay_to.lower(),
            amount_base=max(purchase.quote.quote_base, self._options.least_base),
            max_timeout_s=self._options.max_timeout_s,
            url=(self._options.public_url or f"http://{purchase.host}").rstrip("/") + purchase.endpoint,
            description=f"One call of {purchase.model}",
        )

    async def _find(self, payment_id: str) -> PaymentView | None:
        return await asyncio.to_thread(
            self._ledger.read, lambda connection: payments.find_payment(connection, payment_id)
        )

    async def _verified(self, payment: Payment, payment_id: str, offer: Offer, address: str) -> Verified:
        """What `Verifier.verify` says; nothing of a payment that is on its way, or has arrived.

        Of an address that sent too much in vain the chain is asked nothing. A payment counts as vain until it
        is settled: what a simulation says may not come true.
        """
        known = await self._find(payment_id)
        if known is not None and known.state != PaymentState.CLAIMED:
            return Verified()
        self._doorstep.enter(address)
        try:
            if not await self._under_way(known):
                if known is not None and known.reverted:  # it would burn as much gas again
                    raise refusal(offer, _FAILED, known.payer)
                verified = await self._verifier.verify(payment, offer)
                # after it: only who signed may ask whether a wallet is refused
                await self._screening.admit(payment.authorization.payer, Moment.PAYMENT)
                return verified
        except PaymentRequired:
            if not await self._under_way(await self._find(payment_id)):
                raise  # else a replay was faster, and the chain knows the nonce by now
        except (NodeError, FeesTooHigh) as error:
            raise _unavailable(error) from None
        self._doorstep.forgive(address)
        return Verified()

    async def _under_way(self, known: PaymentView | None) -> bool:
        """The payment was sent, by us or, after we claimed it, by somebody else."""
        if known is not None and known.state == PaymentState.CLAIMED:
            known = await self._settler.find_executed(known)
        return known is not None

    def _pending(self, payment: PaymentView) -> PaymentPending:
        tx_hash = payment.tx_hash or ""
        value = wire.refused_header(self._settler.token.network, payment.payer, _PENDING, tx_hash)
        return PaymentPending(tx_hash, NO_RETRY | {wire.RESPONSE_HEADER: value})


def client_key(payment_id: str) -> str:
    """The idempotency key of the call that a payment pays for."""
    return f"x402:{payment_id}"


def open_till(
    ledger: Ledger, billing: Billing, settler: Settler, options: X402Config, screening: Screening
) -> Till:
    """A till whose payments a settler sends."""
    doorstep = Doorstep(options.address_checks)
    return Till(ledger, billing, settler, Verifier(settler.rehearsal), options, doorstep, screening)


def _unavailable(error: Exception) -> PaymentsUnavailable:
    _LOG.warning("payments cannot be taken: %s", error)
    return PaymentsUnavailable("the chain cannot be asked, or asks too much")
