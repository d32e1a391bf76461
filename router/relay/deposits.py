"""Deposits of wallets that hold no coin for gas: checked completely, then sent once, however often they come.

check    what can be seen in the order, then what the chain says to a simulation of the very call
send     claimed, signed and stored in one step of the ledger, then broadcast; from there on as every payment
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from mini_llm.wallet.field import P
from mini_llm.wallet.gas import FeesTooHigh
from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.money import vibes
from router.config_relay import Deposits
from router.ledger import deposits, payments
from router.ledger.deposits import DepositLimits
from router.ledger.payment_table import PaymentState
from router.ledger.payments import Claim, PaymentView
from router.ledger.writer import Ledger
from router.relay.deposit import ENDPOINT, MAX_VALID_S, DepositOrder
from router.relay.eip3009 import Token
from router.relay.errors import DepositRefused, RelayUnavailable
from router.relay.node import NodeError, NodeRefused
from router.relay.refusals import refusal
from router.relay.rehearsal import TooMuchGas

if TYPE_CHECKING:
    from router.relay.settler import Settler  # brings a chain wallet's libraries

MARGIN_S: Final = 30
"""A signature must be good for at least this much longer, to be mined in time."""
WAIT_S: Final = 6.0
"""How long a request waits for the chain before it says that the deposit is on its way."""
LOOK_BACK: Final = 5_000
"""Blocks in which an order that was executed without us is looked for."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Relayed:
    """What became of a deposit.

    Attributes:
        id: 64 hex digits.
        state: `sent`, `settled`, or `failed`: the chain refused it after all, and nothing moved.
        amount_base: base units.
        tx_hash: of the chain tx that counts, None of a failed one.
        taken_s: unix seconds.
    """

    id: str
    state: str
    amount_base: int
    tx_hash: str | None
    taken_s: int


class DepositRelay:
    """Sends deposits; see the module's words.

    Args:
        ledger: holds the register.
        settler: the wallet that sends.
        settlement: the contract's address.
        options: limits.
    """

    def __init__(self, ledger: Ledger, settler: Settler, settlement: str, options: Deposits) -> None:
        self._ledger, self._settler, self._settlement = ledger, settler, settlement.lower()
        self.options = options
        newcomers = options.day - options.day * options.kept_percent // 100
        self._limits = DepositLimits(options.wallet_day, options.day, newcomers)

    @property
    def token(self) -> Token:
        """What is deposited."""
        return self._settler.token

    async def take(self, order: DepositOrder) -> Relayed:
        """Checks a deposit and sends it; a known one is only looked at.

        Raises:
            DepositRefused: it would not be taken; nothing was sent.
            TooManyDeposits: a limit is reached; nothing was sent.
            RelayUnavailable: the chain does not say; nothing was sent.
        """
        claim = self._claim(order)
        try:
            known = await self._find(claim)
            if known is None:
                await self._require_room(claim)  # known without the chain, so it is asked for nothing
                try:
                    await self._check_signature(order)
                    gas, height = await self._settler.rehearsal.rehearse(self._settlement, claim.call_data)
                except NodeRefused as error:
                    return await self._executed_elsewhere(claim, error)
                except TooMuchGas:
                    raise DepositRefused("too_much_gas", "this deposit takes too much gas") from None
                claim = replace(claim, gas=gas, from_block=height)
                known = await self._settler.send_deposit(claim, self._limits)
            return await self._followed(claim, known)
        except (NodeError, FeesTooHigh) as error:
            _LOG.warning("deposit %s not sent: %s", claim.payment_id, error)
            raise RelayUnavailable from None

    def listed(self, payer: str, limit: int) -> list[Relayed]:
        """A wallet's deposits, newest first; reads the ledger."""
        found = self._ledger.read(lambda connection: deposits.deposits_of(connection, payer, limit))
        return [_relayed(payment) for payment in found]

    def find(self, payer: str, deposit_id: str) -> Relayed | None:
        """A wallet's deposit, None if there is none of this name; reads the ledger."""
        found = self._ledger.read(lambda connection: deposits.find_deposit(connection, payer, deposit_id))
        return None if found is None else _relayed(found)

    def _claim(self, order: DepositOrder) -> Claim:
        """The deposit as the register has it; gas and block are known after the rehearsal.

        Raises:
            DepositRefused: what needs no chain to see is wrong.
        """
        now_s = int(time.time())
        if told := _objection(order, self.options.least_base, now_s):
            raise DepositRefused(*told)
        authorization = order.authorization(self._settlement)
        deposit_id, call_data = authorization.payment_id(self._settler.token), order.call_data()
        return Claim(
            payment_id=deposit_id,
            payer=order.payer,
            nonce=authorization.nonce,
            amount_base=order.amount_base,
            account_idx=0,  # the chain says which, and the ledger learns it from there
            endpoint=ENDPOINT,
            body_hash=authorization.receive_digest(self._settler.token),
            client_key=deposit_id,
            call_data=call_data,
            gas=0,
            from_block=0,
            now_s=now_s,
            settlement=self._settlement,
        )

    async def _find(self, claim: Claim) -> PaymentView | None:
        return await asyncio.to_thread(
            self._ledger.read,
            lambda connection: payments.find_payment(connection, claim.payment_id),
        )

    async def _require_room(self, claim: Claim) -> None:
        await asyncio.to_thread(
            self._ledger.read,
            lambda connection: deposits.require_room(connection, claim, self._limits),
        )

    async def _followed(self, claim: Claim, known: PaymentView) -> Relayed:
        if known.call_data != claim.call_data:
            raise DepositRefused("salt_used", "this salt was used for something else: sign with a new one")
        return _relayed(await self._settler.settle(known, WAIT_S))

    async def _check_signature(self, order: DepositOrder) -> None:
        digest = order.authorization(self._settlement).receive_digest(self._settler.token)
        if not await self._settler.rehearsal.may_be_signed(order.payer, digest, order.signature):
            raise DepositRefused(
                "bad_signature",
                "the signature is not this wallet's for this deposit: another account, network or amount?",
            )

    async def _executed_elsewhere(self, claim: Claim, error: NodeRefused) -> Relayed:
        """What was executed already is refused for one reason or another: a replay was faster, or somebody
        else sent it first, which counts all the same.

        Raises:
            DepositRefused: it was not executed; says why the contract would not take it.
        """
        known = await self._find(claim)
        if known is not None:
            return await self._followed(claim, known)
        claim = replace(claim, from_block=max(0, await self._settler.rehearsal.height() - LOOK_BACK))
        receipt: Any = await self._settler.find_execution(claim)
        if receipt is None:
            raise refusal(error.data)
        tx_hash = str(receipt["transactionHash"])
        return Relayed(claim.payment_id, PaymentState.SETTLED, claim.amount_base, tx_hash, claim.now_s)


def _relayed(payment: PaymentView) -> Relayed:
    state = "failed" if payment.state == PaymentState.CLAIMED else payment.state
    return Relayed(payment.id, state, payment.amount_base, payment.tx_hash, payment.claimed_s)


def _objection(order: DepositOrder, least_base: int, now_s: int) -> tuple[str, str] | None:
    """Code and words of what is wrong with an order that needs no chain to see; None if nothing is."""
    if order.amount_base < least_base:
        return "deposit_too_small", (
            f"the least deposit that is sent from here is {vibes(least_base)} VIBES; "
            "a smaller one you can send from your wallet"
        )
    if order.amount_base > MAX_AMOUNT_BASE:
        return "bad_amount", f"the contract takes at most {vibes(MAX_AMOUNT_BASE)} VIBES at once"
    if order.key_commit >= P:
        return "wrong_session_key", "the session key's commitment is no field element"
    if order.valid_after_s >= now_s:
        return "not_valid_yet", "the signature is not valid yet: check the clock"
    if order.valid_before_s < now_s + MARGIN_S:
        return "expired", "the signature is too old: sign anew"
    if order.valid_before_s > now_s + MAX_VALID_S:
        return "valid_too_long", "the signature is good for more than a day: sign one for an hour"
    return None
