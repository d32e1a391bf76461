"""Addresses with their checksum, beside eth-utils."""

from __future__ import annotations

from eth_utils.address import is_checksum_address, to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from mini_llm.wallet import address

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex())
SPELT = st.text("0123456789abcdefABCDEF", min_size=39, max_size=41).map(lambda digits: "0x" + digits)


@given(ADDRESSES)
def test_the_checksum_is_that_of_eth_utils(plain: str) -> None:
    spelt = to_checksum_address(plain)
    for text in (plain, "0x" + plain[2:].upper(), spelt):
        assert address.to_checksum_address(text) == spelt
        assert address.checksummed(text) == spelt


@given(SPELT)
def test_a_mixed_case_is_a_checksum_or_refused(text: str) -> None:
    one_case = text[2:] in (text[2:].lower(), text[2:].upper())
    fits = len(text) == 42 and (one_case or is_checksum_address(text))
    assert (address.checksummed(text) is not None) == fits


@given(st.sampled_from(("", "0X", " 0x", "0x0x", "0x\u0661")), ADDRESSES)
def test_only_0x_and_40_digits_are_an_address(before: str, plain: str) -> None:
    assert address.is_address(plain)
    assert not address.is_address(before + plain[2:])
    assert not address.is_address(plain + "\n")
    assert address.checksummed(before + plain[2:]) is None
