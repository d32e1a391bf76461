"""Payments that do not pay: each is refused before a chain tx is sent and before the provider is called."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.stack import VIBES
from x402_world import Shop, body_of, decoded, encoded, marker

Payment = dict[str, Any]


def signed(**changes: Any) -> Callable[[Shop, Any, Payment], Payment]:
    """The authorisation says something else, and is signed so."""
    return lambda shop, wallet, accepted: shop.payment(wallet, accepted, **changes)


def claimed(**changes: Any) -> Callable[[Shop, Any, Payment], Payment]:
    """The client says that it accepted something else, and signed that."""
    return lambda shop, wallet, accepted: shop.payment(wallet, accepted | changes)


def cheap(shop: Shop, wallet: Any, accepted: Payment) -> Payment:
    return shop.payment(wallet, accepted | {"amount": str(int(accepted["amount"]) - 1)})


def unlike_accepted(shop: Shop, wallet: Any, accepted: Payment) -> Payment:
    return shop.payment(wallet, accepted, value=int(accepted["amount"]) + 1)


def tampered(shop: Shop, wallet: Any, accepted: Payment) -> Payment:
    payment = shop.payment(wallet, accepted)
    payment["payload"]["authorization"]["nonce"] = "0x" + secrets.token_hex(32)
    return payment


def of_another_key(shop: Shop, wallet: Any, accepted: Payment) -> Payment:
    return shop.payment(wallet, accepted, **{"from": shop.wallet(VIBES).address})


def of_no_key(shop: Shop, wallet: Any, accepted: Payment) -> Payment:
    payment = shop.payment(wallet, accepted)
    payment["payload"]["signature"] = "0x" + "00" * 65
    return payment


def of_a_contract(shop: Shop, wallet: Any, accepted: Payment) -> Payment:
    """The payer is a contract, which does not know EIP-1271."""
    return shop.payment(wallet, accepted, **{"from": shop.stack.token.address})


def on_another_domain(shop: Shop, wallet: Any, accepted: Payment) -> Payment:
    payment = shop.payment(wallet, accepted | {"extra": {"name": "VIBES", "version": "2"}})
    return payment | {"accepted": accepted}


BAD_SIGNATURE = "invalid_exact_evm_payload_signature"
WRONG_AMOUNT = "invalid_exact_evm_payload_authorization_value_mismatch"
WRONG_PAYEE = "invalid_exact_evm_payload_recipient_mismatch"
NOBODY = "0x" + "22" * 20
CASES: dict[str, tuple[Callable[[Shop, Any, Payment], Payment], str]] = {
    "too little": (cheap, WRONG_AMOUNT),
    "not what was accepted": (unlike_accepted, WRONG_AMOUNT),
    "beyond every amount": (claimed(amount=str(2**54)), WRONG_AMOUNT),
    "another scheme": (claimed(scheme="upto"), "unsupported_scheme"),
    "another network": (claimed(network="eip155:1"), "invalid_network"),
    "another asset": (claimed(asset=NOBODY), "invalid_payment_requirements"),
    "another payee": (claimed(payTo=NOBODY), WRONG_PAYEE),
    "another payee, signed only": (signed(to=NOBODY), WRONG_PAYEE),
    "expired": (
        signed(validBefore=int(time.time()) - 1),
        "invalid_exact_evm_payload_authorization_valid_before",
    ),
    "not yet valid": (signed(validAfter=2**40), "invalid_exact_evm_payload_authorization_valid_after"),
    "tampered": (tampered, BAD_SIGNATURE),
    "another key": (of_another_key, BAD_SIGNATURE),
    "no key": (of_no_key, BAD_SIGNATURE),
    "a contract": (of_a_contract, BAD_SIGNATURE),
    "another domain": (on_another_domain, BAD_SIGNATURE),
}


@pytest.mark.parametrize("case", CASES)
def test_a_payment_that_does_not_pay_is_refused(shop: Shop, case: str) -> None:
    make, reason = CASES[case]
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    accepted = shop.required(body)["accepts"][0]
    answer = shop.post(body, encoded(make(shop, wallet, accepted)))
    assert answer.status_code == 402, answer.text
    assert answer.json()["error"]["code"] == reason
    refused = decoded(answer.headers["payment-response"])
    assert (refused["success"], refused["errorReason"], refused["transaction"]) == (False, reason, "")
    assert decoded(answer.headers["payment-required"])["accepts"] == [accepted]
    nothing_happened(shop, wallet, words)


def test_a_screened_payer_is_refused_unless_the_payment_was_taken_before(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    paid = shop.header(wallet, body)
    assert shop.post(body, paid).status_code == 200
    shop.refused.write_text(f"{wallet.address}\n")
    assert shop.post(body, paid).status_code == 200  # what was bought is told again
    other = body_of("plain", marker(), max_tokens=5)
    answer = shop.post(other, shop.header(wallet, other))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wallet_refused")
    assert len(shop.rows(wallet)) == 1


def test_only_who_signs_for_a_wallet_is_told_that_it_is_refused(shop: Shop) -> None:
    listed, wallet = shop.wallet(VIBES), shop.wallet()
    shop.refused.write_text(f"{listed.address}\n")
    body = body_of("plain", marker(), max_tokens=5)
    accepted = shop.required(body)["accepts"][0]
    answer = shop.post(body, encoded(shop.payment(wallet, accepted, **{"from": listed.address})))
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, BAD_SIGNATURE)


def test_a_poor_payer_is_refused(shop: Shop) -> None:
    wallet, words = shop.wallet(0), marker()
    body = body_of("plain", words, max_tokens=5)
    answer = shop.post(body, shop.header(wallet, body))
    assert answer.json()["error"]["code"] == "invalid_exact_evm_insufficient_balance"
    nothing_happened(shop, wallet, words)


@pytest.mark.parametrize("how", ["used", "cancelled"])
def test_a_spent_authorisation_is_refused(shop: Shop, how: str) -> None:
    """Even one that moved the right amount to the right address: another router may have served it."""
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    payment = shop.payment(wallet, shop.required(body)["accepts"][0])
    order, signature = payment["payload"]["authorization"], payment["payload"]["signature"]
    token = shop.stack.token.functions
    if how == "used":
        arguments = (
            wallet.address,
            shop.pay_to,
            int(order["value"]),
            0,
            int(order["validBefore"]),
            bytes.fromhex(order["nonce"][2:]),
            bytes.fromhex(signature[2:]),
        )
        shop.stack.send(shop.stack.operator, token.transferWithAuthorization(*arguments))
    else:
        types = {
            "CancelAuthorization": [
                {"name": "authorizer", "type": "address"},
                {"name": "nonce", "type": "bytes32"},
            ]
        }
        domain = {
            "name": "VIBES",
            "version": "1",
            "chainId": shop.stack.chain_id,
            "verifyingContract": shop.stack.token.address,
        }
        message = {"authorizer": wallet.address, "nonce": order["nonce"]}
        cancelled = wallet.sign_typed_data(domain, types, message)
        nonce = bytes.fromhex(order["nonce"][2:])
        shop.stack.send(
            shop.stack.operator,
            token.cancelAuthorization(wallet.address, nonce, bytes(cancelled.signature)),
        )
    answer = shop.post(body, encoded(payment))
    assert answer.json()["error"]["code"] == "invalid_exact_evm_nonce_already_used"
    assert not shop.rows(wallet)
    assert not shop.upstream.calls_of(words)


def test_a_dearer_call_asks_anew(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    header = shop.header(wallet, body_of("plain", words, max_tokens=2))
    answer = shop.post(body_of("plain", words, max_tokens=50), header)
    assert answer.json()["error"]["code"] == WRONG_AMOUNT
    nothing_happened(shop, wallet, words)


def test_more_than_the_price_is_taken(shop: Shop) -> None:
    """The quote fell between the 402 and the payment."""
    wallet = shop.wallet()
    dear = shop.required(body_of("plain", marker(), max_tokens=50))["accepts"][0]
    answer = shop.post(body_of("plain", marker(), max_tokens=2), encoded(shop.payment(wallet, dear)))
    assert answer.status_code == 200
    assert decoded(answer.headers["payment-response"])["amount"] == dear["amount"]


MALFORMED = {
    "not base64": "%%%",
    "not json": encoded("x")[:-3] + "!!!",
    "a list": encoded([]),
    "empty": encoded({}),
    "too long": encoded("x" * 20_000),
    "deep": base64.b64encode(b"[" * 5000).decode(),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_header_is_told_so(shop: Shop, kind: str) -> None:
    answer = shop.post(body_of("plain", marker()), MALFORMED[kind])
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "malformed_payment"


@pytest.mark.parametrize(
    "amount", [" 10000", "+10000", "10_000", "010000", "１００", "10000\n", "-1", "1e9", ""]
)
def test_an_amount_has_one_spelling(shop: Shop, amount: str) -> None:
    payment = shop.payment(shop.wallet(), shop.required(body_of("plain", "x"))["accepts"][0])
    payment["payload"]["authorization"]["value"] = amount
    answer = shop.post(body_of("plain", "x"), encoded(payment))
    assert answer.json()["error"]["code"] == "malformed_payment"


def test_the_first_version_of_the_protocol_is_told_so(shop: Shop) -> None:
    payment = shop.payment(shop.wallet(), shop.required(body_of("plain", "x"))["accepts"][0])
    answer = shop.post(body_of("plain", "x"), encoded(payment | {"x402Version": 1}))
    assert answer.status_code == 400
    assert "x402Version" in answer.json()["error"]["message"]


def nothing_happened(shop: Shop, wallet: Any, words: str) -> None:
    assert not shop.rows(wallet)
    assert not shop.transfers(wallet)
    assert not shop.upstream.calls_of(words)
