"""Signed ceilings: ranges, what a signature covers, the wire form, and session keys from wallets."""

import json
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from mini_llm.wallet import babyjub
from mini_llm.wallet.babyjub import InvalidSecret
from mini_llm.wallet.ceiling import (
    CeilingOutOfRange,
    MalformedCeiling,
    MalformedWalletSignature,
    SignedCeiling,
    derive_session_secret,
    session_key_typed_data,
    settlement_domain,
    sign_ceiling,
    verify_ceiling,
)
from mini_llm.wallet.limits import MAX_BALANCE_BASE, MAX_IDX
from mini_llm.wallet.poseidon import poseidon

SETTLEMENT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
DOMAIN = settlement_domain(31337, SETTLEMENT)
SECRET = 42
SIGNED = sign_ceiling(SECRET, DOMAIN, 7, 1_000_000)


def test_a_ceiling_holds_for_its_settlement_account_and_amount_only() -> None:
    assert verify_ceiling(DOMAIN, SIGNED)
    assert not verify_ceiling(settlement_domain(31338, SETTLEMENT), SIGNED)
    assert not verify_ceiling(settlement_domain(31337, SETTLEMENT[:-1] + "4"), SIGNED)
    assert not verify_ceiling(DOMAIN, replace(SIGNED, idx=8))
    assert not verify_ceiling(DOMAIN, replace(SIGNED, ceiling_base=1_000_001))
    assert not verify_ceiling(DOMAIN, replace(SIGNED, key=babyjub.public_key(SECRET + 1)))


@pytest.mark.parametrize(
    ("idx", "ceiling_base"),
    [(0, 1), (-1, 1), (MAX_IDX + 1, 1), (1, -1), (1, MAX_BALANCE_BASE + 1)],
)
def test_out_of_range_is_neither_signed_nor_accepted(idx: int, ceiling_base: int) -> None:
    with pytest.raises(CeilingOutOfRange) as caught:
        sign_ceiling(SECRET, DOMAIN, idx, ceiling_base)
    assert (caught.value.idx, caught.value.ceiling_base) == (idx, ceiling_base)
    if idx >= 0 and ceiling_base >= 0:
        message = poseidon((DOMAIN, idx, ceiling_base))
        forged = SignedCeiling(idx, ceiling_base, SIGNED.key, babyjub.sign(SECRET, message))
        assert not verify_ceiling(DOMAIN, forged)


@pytest.mark.parametrize("key", [(0, 1), (1, 1), (2**256, 0)])
def test_unsound_keys_are_refused(key: tuple[int, int]) -> None:
    assert not verify_ceiling(DOMAIN, replace(SIGNED, key=key))


def test_json_round_trip_with_decimal_strings() -> None:
    text = SIGNED.to_json()
    assert SignedCeiling.from_json(text) == SIGNED == SignedCeiling.from_json(text.encode())
    data = json.loads(text)
    assert data["idx"] == "7"
    assert data["ceiling_base"] == "1000000"
    assert data["r8"] == [str(value) for value in SIGNED.signature.r8]


@pytest.mark.parametrize(
    "change",
    [
        {"idx": 7},
        {"idx": "-7"},
        {"idx": "07"},
        {"idx": ""},
        {"idx": "٧"},
        {"s": "9" * 79},
        {"s": None},
        {"key": ["1"]},
        {"key": "12"},
        {"r8": ["1", "2", "3"]},
        {"extra": "1"},
    ],
)
def test_malformed_json_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MalformedCeiling):
        SignedCeiling.from_json(json.dumps(json.loads(SIGNED.to_json()) | change))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", b"\xff\xfe\x00", "[" * 100_000])
def test_text_that_is_no_ceiling_is_refused(text: str | bytes) -> None:
    with pytest.raises(MalformedCeiling):
        SignedCeiling.from_json(text)


@pytest.mark.parametrize("address", ["", "0x", "0x1234", SETTLEMENT + "00", "0x" + "zz" * 20])
def test_a_settlement_is_an_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|hexadecimal"):
        settlement_domain(31337, address)


def test_a_wallet_always_derives_the_same_session_key() -> None:
    wallet = Account.from_key("0x" + "11" * 32)
    message = encode_typed_data(full_message=session_key_typed_data(31337, SETTLEMENT))
    first, second = (bytes(wallet.sign_message(message).signature) for _ in range(2))
    assert derive_session_secret(first) == derive_session_secret(second)
    assert verify_ceiling(DOMAIN, sign_ceiling(derive_session_secret(first), DOMAIN, 1, 5))
    other = encode_typed_data(full_message=session_key_typed_data(31337, SETTLEMENT, index=1))
    assert derive_session_secret(bytes(wallet.sign_message(other).signature)) != derive_session_secret(first)


def test_the_recovery_byte_does_not_change_the_session_key() -> None:
    rs = bytes(range(64))
    assert derive_session_secret(rs + b"\x00") == derive_session_secret(rs + b"\x1b")
    assert derive_session_secret(rs + b"\x00") != derive_session_secret(b"\x01" + rs[1:] + b"\x00")


@pytest.mark.parametrize("length", [0, 64, 66])
def test_wallet_signatures_have_65_bytes(length: int) -> None:
    with pytest.raises(MalformedWalletSignature) as caught:
        derive_session_secret(bytes(length))
    assert caught.value.length == length


def test_signing_needs_a_secret_in_range() -> None:
    with pytest.raises(InvalidSecret):
        sign_ceiling(0, DOMAIN, 1, 1)
