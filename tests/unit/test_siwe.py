"""The reader of sign-in messages takes and refuses what the reference library does."""

from __future__ import annotations

import string

import pytest
import siwe
from hypothesis import given
from hypothesis import strategies as st

from router.people.errors import SignInRefused
from router.people.sessions import Nonces
from router.people.siwe import MAX_AGE_S, read_message

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
FIELDS = {
    "domain": "router.test:8402",
    "address": ADDRESS,
    "uri": "https://router.test:8402/a?b=c#d",
    "version": "1",
    "chain_id": 31337,
    "issued_at": "2026-11-21T10:00:00.123Z",
    "nonce": "abcdef0123456789",
}
OPTIONAL = {
    "scheme": "https",
    "statement": "I accept: https://router.test/tos [v1], or not!",
    "expiration_time": "2026-11-21T11:00:00+01:00",
    "not_before": "2026-11-21T09:00:00Z",
    "request_id": "req-1%20",
    "resources": ["https://router.test/x", "ipfs://bafy/"],
}


def library_reads(text: str) -> siwe.SiweMessage | None:
    try:
        return siwe.SiweMessage.from_message(text)
    except (ValueError, TypeError):
        return None


@given(st.sets(st.sampled_from(sorted(OPTIONAL))))
def test_every_combination_of_fields_is_read_as_the_library_reads_it(chosen: set[str]) -> None:
    written = siwe.SiweMessage.model_validate(FIELDS | {name: OPTIONAL[name] for name in chosen})
    text = written.prepare_message()
    message = read_message(text)
    theirs = library_reads(text)
    assert theirs is not None
    assert (message.domain, message.address, message.uri, message.nonce) == (
        *(theirs.domain, theirs.address, theirs.uri, theirs.nonce),
    )
    assert (message.statement, message.request_id) == (theirs.statement, theirs.request_id)
    assert (message.scheme, message.chain_id) == (theirs.scheme, theirs.chain_id)
    assert list(message.resources) == (theirs.resources or [])
    assert message.issued_s == theirs.issued_at._datetime.timestamp()
    assert (message.expires_s is None) == (theirs.expiration_time is None)
    assert message.text == theirs.prepare_message()


@given(
    st.integers(0, 400),
    st.sampled_from([*string.printable, "é", "\u2028", "\x00", ""]),
    st.booleans(),
)
def test_whatever_is_changed_we_take_nothing_that_the_library_refuses(
    at: int, put: str, insert: bool
) -> None:
    text = siwe.SiweMessage.model_validate(FIELDS | OPTIONAL).prepare_message()
    at %= len(text)
    changed = text[:at] + put + text[at + (not insert) :]
    try:
        ours = read_message(changed)
    except SignInRefused:
        return
    theirs = library_reads(changed)
    assert theirs is not None, changed
    assert (ours.domain, ours.uri, ours.chain_id, ours.nonce) == (
        *(theirs.domain, theirs.uri, theirs.chain_id, theirs.nonce),
    )
    assert ours.address.lower() == theirs.address.lower()


@pytest.mark.parametrize(
    "broken",
    [
        ADDRESS.replace("f39F", "F39F"),  # checksum
        ADDRESS[:-1],
        "0x" + "g" * 40,
    ],
)
def test_a_wrong_address_is_refused(broken: str) -> None:
    text = siwe.SiweMessage.model_validate(FIELDS).prepare_message().replace(ADDRESS, broken)
    with pytest.raises(SignInRefused):
        read_message(text)


def test_a_time_that_does_not_exist_is_refused() -> None:
    text = siwe.SiweMessage.model_validate(FIELDS).prepare_message()
    with pytest.raises(SignInRefused, match="does not exist"):
        read_message(text.replace("2026-11-21", "2026-02-30"))


def test_an_unchecksummed_address_gets_its_checksum() -> None:
    text = siwe.SiweMessage.model_validate(FIELDS).prepare_message()
    assert read_message(text.replace(ADDRESS, ADDRESS.lower())).address == ADDRESS


@given(st.integers(0, 2**31), st.integers(-(10**6), 10**6))
def test_a_nonce_is_good_for_ten_minutes_wherever_the_clock_goes(issued_s: int, later_s: int) -> None:
    nonces = Nonces(b"secret of all workers")
    nonce, expires_s = nonces.issue(issued_s)
    assert len(nonce) == 64
    good = -60 <= later_s < MAX_AGE_S
    if good:
        assert Nonces(b"secret of all workers").check(nonce, issued_s + later_s) == expires_s
    else:
        with pytest.raises(SignInRefused):
            nonces.check(nonce, issued_s + later_s)


@given(st.integers(0, 63), st.sampled_from("0123456789abcdefg"))
def test_an_altered_nonce_is_not_ours(at: int, digit: str) -> None:
    nonces = Nonces(b"secret")
    nonce, _ = nonces.issue(1_800_000_000)
    changed = nonce[:at] + digit + nonce[at + 1 :]
    if changed != nonce:
        with pytest.raises(SignInRefused, match="not issued"):
            nonces.check(changed, 1_800_000_000)
    with pytest.raises(SignInRefused, match="not issued"):
        Nonces(b"another").check(nonce, 1_800_000_000)
