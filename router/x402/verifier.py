"""Is a payment good for an offer? First what can be seen in it, then what the chain says to a simulation."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.signature import key_signed
from router.relay.eip3009 import revert_data
from router.relay.node import NodeRefused
from router.relay.rehearsal import Rehearsal, TooMuchGas
from router.x402 import wire
from router.x402.errors import PaymentRequired
from router.x402.wire import Offer, Payment

SETTLE_MARGIN_S: Final = 6
"""An authorisation must be good for at least this much longer, to be mined in time."""

BAD_SIGNATURE: Final = "invalid_exact_evm_payload_signature"
_NONCE_USED: Final = "invalid_exact_evm_nonce_already_used"
_EXPIRED: Final = "invalid_exact_evm_payload_authorization_valid_before"
_NOT_YET_VALID: Final = "invalid_exact_evm_payload_authorization_valid_after"
_POOR: Final = "invalid_exact_evm_insufficient_balance"
_SIMULATION_FAILED: Final = "invalid_exact_evm_transaction_simulation_failed"
_REVERTS: Final = {
    keccak(error)[:4]: reason
    for error, reason in (
        (b"InvalidAuthorizationSignature()", BAD_SIGNATURE),
        (b"AuthorizationUsedOrCanceled(address,bytes32)", _NONCE_USED),
        (b"AuthorizationExpired(uint256)", _EXPIRED),
        (b"AuthorizationNotYetValid(uint256)", _NOT_YET_VALID),
        (b"ERC20InsufficientBalance(address,uint256,uint256)", _POOR),
    )
}
_WRONG_SCHEME: Final = "unsupported_scheme"
_WRONG_NETWORK: Final = "invalid_network"
_WRONG_ASSET: Final = "invalid_payment_requirements"
_WRONG_PAYEE: Final = "invalid_exact_evm_payload_recipient_mismatch"
WRONG_AMOUNT: Final = "invalid_exact_evm_payload_authorization_value_mismatch"
_TOO_DEAR: Final = "invalid_exact_evm_payload_too_much_gas"


class Verified(NamedTuple):
    """What the chain says of a payment.

    Attributes:
        gas: that executing the authorisation takes.
        from_block: a block before which it was not executed.
        by_contract: its payer is a contract.
    """

    gas: int = 0
    from_block: int = 0
    by_contract: bool = False


class Verifier:
    """Checks payments and changes nothing.

    Args:
        rehearsal: asks the chain.
    """

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    async def verify(self, payment: Payment, offer: Offer) -> Verified:
        """What the chain says of a payment that is good.

        The token itself checks signature (of a key, or by EIP-1271 of a contract), nonce, balance and time,
        in a simulation of what settling will do.

        Raises:
            PaymentRequired: it is not good.
            FeesTooHigh: gas costs more than the operator pays.
            NodeError: the chain does not say.
        """
        order = payment.authorization
        if reason := _objection(payment, offer, int(time.time())):
            raise refusal(offer, reason, order.payer)
        try:
            digest = order.digest(offer.token)
            # asked of a key's account too: it may have code as well (EIP-7702), which then decides
            by_contract = await self._rehearsal.is_contract(order.payer)
            if not by_contract and not key_signed(order.payer, digest, order.signature):
                raise refusal(offer, BAD_SIGNATURE, order.payer)
            gas, from_block = await self._rehearsal.rehearse(offer.token.address, order.call_data())
            return Verified(gas, from_block, by_contract)
        except TooMuchGas:
            raise refusal(offer, _TOO_DEAR, order.payer) from None
        except NodeRefused as error:
            reason = _REVERTS.get(revert_data(error.data)[:4], _SIMULATION_FAILED)
            raise refusal(offer, reason, order.payer) from None


def _objection(payment: Payment, offer: Offer, now_s: int) -> str | None:
    """What is wrong with a payment that needs no chain to see; None if nothing is."""
    accepted, order = payment.accepted, payment.authorization
    checks = (
        (accepted.scheme == wire.SCHEME, _WRONG_SCHEME),
        (accepted.network == offer.token.network, _WRONG_NETWORK),
        (accepted.asset.lower() == offer.token.address, _WRONG_ASSET),
        (accepted.pay_to.lower() == order.payee == offer.pay_to, _WRONG_PAYEE),
        (int(accepted.amount) == order.value_base, WRONG_AMOUNT),
        (offer.amount_base <= order.value_base <= MAX_AMOUNT_BASE, WRONG_AMOUNT),
        (order.valid_after_s < now_s, _NOT_YET_VALID),
        (order.valid_before_s >= now_s + SETTLE_MARGIN_S, _EXPIRED),
    )
    return next((reason for holds, reason in checks if not holds), None)


def refusal(
    offer: Offer, reason: str | None, payer: str = "", paid_base: int | None = None
) -> PaymentRequired:
    """The 402 for an offer; `reason` and `payer` if a payment came and was refused, `paid_base` if only for
    its amount."""
    headers = {
        wire.REQUIRED_HEADER: offer.required(reason or "PAYMENT-SIGNATURE header is required"),
        "cache-control": "no-store",
    }
    if reason is not None:
        headers[wire.RESPONSE_HEADER] = wire.refused_header(offer.token.network, payer, reason)
    return PaymentRequired(reason, offer.amount_base, headers, paid_base)
