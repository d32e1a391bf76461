"""Receipts: the digest is EIP-712's, one signature fits one content, JSON has one spelling."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields, replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from mini_llm.wallet.receipt import (
    DOMAIN_NAME,
    DOMAIN_VERSION,
    RECEIPT_TYPES,
    InvalidReceipt,
    Receipt,
    ReceiptDomain,
    SignedReceipt,
    recover_signer,
    sign_receipt,
)
from mini_llm.wallet.signature import InvalidSignature

KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
ADDRESS = Account.from_key(KEY).address
DOMAIN = ReceiptDomain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
RECEIPT = Receipt(
    request_id=bytes(range(32)),
    account=17,
    partner=3,
    model="terse-1 “ü”",
    prompt_tokens=12,
    completion_tokens=34,
    prompt_price_base_per_mtok=15_000_000,
    completion_price_base_per_mtok=60_000_000,
    vibes_per_usd=100,
    charge_base=2220,
    account_sequence=5,
    partner_sequence=9,
    account_total_base=11_100,
    partner_total_base=2**200,
    previous_receipt=b"\x07" * 32,
    time=1_800_000_000,
    prompt_hash=b"\x09" * 32,
)


TYPE = (
    "Receipt(bytes32 requestId,uint256 account,uint256 partner,string model,uint64 promptTokens,"
    "uint64 completionTokens,uint256 promptPriceBasePerMtok,uint256 completionPriceBasePerMtok,"
    "uint256 vibesPerUsd,uint256 chargeBase,uint64 accountSequence,uint64 partnerSequence,"
    "uint256 accountTotalBase,uint256 partnerTotalBase,bytes32 previousReceipt,uint64 time,"
    "bytes32 promptHash)"
)


def typed_data(receipt: Receipt, domain: ReceiptDomain) -> dict[str, object]:
    return {
        "types": {
            name: [{"name": field, "type": kind} for field, kind in members]
            for name, members in RECEIPT_TYPES.items()
        },
        "primaryType": "Receipt",
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": domain.settlement,
        },
        "message": receipt.message(),
    }


def changed(value: object) -> object:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return value + "x" if isinstance(value, str) else value + 1  # type: ignore[operator]


def test_the_type_is_the_published_one() -> None:
    members = ",".join(f"{kind} {field}" for field, kind in RECEIPT_TYPES["Receipt"])
    assert f"Receipt({members})" == TYPE


def test_digest_and_signature_are_those_of_eth_account() -> None:
    signable = encode_typed_data(full_message=typed_data(RECEIPT, DOMAIN))
    theirs = Account.sign_message(signable, KEY)
    ours = sign_receipt(RECEIPT, DOMAIN, KEY)
    assert RECEIPT.digest(DOMAIN) == bytes(theirs.message_hash)
    assert ours.signature == bytes(theirs.signature)
    assert recover_signer(ours, DOMAIN) == ADDRESS


@pytest.mark.parametrize("name", [field.name for field in fields(Receipt)])
def test_changing_any_field_changes_the_signer(name: str) -> None:
    signed = sign_receipt(RECEIPT, DOMAIN, KEY)
    forged = replace(signed, receipt=replace(RECEIPT, **{name: changed(getattr(RECEIPT, name))}))
    assert forged.receipt.digest(DOMAIN) != RECEIPT.digest(DOMAIN)
    with contextlib.suppress(InvalidSignature):  # as good: it recovers to no key at all
        assert recover_signer(forged, DOMAIN) != ADDRESS


@pytest.mark.parametrize(
    "other", [ReceiptDomain(1, DOMAIN.settlement), ReceiptDomain(31337, "0x" + "22" * 20)]
)
def test_a_receipt_counts_on_one_deployment_only(other: ReceiptDomain) -> None:
    assert recover_signer(sign_receipt(RECEIPT, DOMAIN, KEY), other) != ADDRESS


def test_a_signature_has_one_form() -> None:
    good = sign_receipt(RECEIPT, DOMAIN, KEY).signature
    high_s = (ORDER - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    for bad in (
        good[:64],
        good + b"\0",
        good[:64] + bytes([good[64] - 27]),
        good[:32] + high_s + bytes([55 - good[64]]),
        bytes(64) + b"\x1b",
    ):
        with pytest.raises(InvalidSignature):
            recover_signer(SignedReceipt(RECEIPT, bad), DOMAIN)


def test_json_round_trip() -> None:
    signed = sign_receipt(RECEIPT, DOMAIN, KEY)
    data = json.loads(json.dumps(signed.to_json()))
    assert SignedReceipt.from_json(data) == signed
    assert data["receipt"]["partnerTotalBase"] == str(2**200)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account", 17),
        ("account", "017"),
        ("account", "-1"),
        ("account", "١"),
        ("account", "9" * 5000),
        ("promptTokens", str(2**64)),
        ("model", ""),
        ("model", None),
        ("requestId", "0x00"),
        ("requestId", "0x" + "AB" * 32),
        ("promptHash", "00" * 32),
    ],
)
def test_json_with_another_spelling_is_refused(field: str, value: object) -> None:
    data = sign_receipt(RECEIPT, DOMAIN, KEY).to_json()
    data["receipt"][field] = value
    with pytest.raises(InvalidReceipt):
        SignedReceipt.from_json(data)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"receipt": {}, "signature": "0x"},
        sign_receipt(RECEIPT, DOMAIN, KEY).to_json() | {"more": "1"},
        {"receipt": "x", "signature": "0x" + "00" * 65},
    ],
)
def test_json_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(InvalidReceipt):
        SignedReceipt.from_json(data)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_tokens": 2**64},
        {"charge_base": -1},
        {"charge_base": True},
        {"partner_total_base": 2**256},
        {"previous_receipt": b"short"},
        {"model": ""},
    ],
)
def test_fields_keep_their_range(change: dict[str, object]) -> None:
    with pytest.raises(InvalidReceipt):
        replace(RECEIPT, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    ["", "0x12", "5FbDB2315678afecb367f032d93F642f64180aa3", "0x5fBDB2315678afecb367f032d93F642f64180aa3"],
)
def test_a_domain_needs_an_address(address: str) -> None:
    with pytest.raises(InvalidReceipt):
        ReceiptDomain(31337, address)


def test_a_domain_is_the_same_however_its_address_is_cased() -> None:
    assert ReceiptDomain(31337, DOMAIN.settlement.lower()) == DOMAIN
