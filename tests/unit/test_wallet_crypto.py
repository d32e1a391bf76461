"""Poseidon and BabyJubJub at their edges; their values are in tests/golden."""

import pytest

from mini_llm.wallet import babyjub, poseidon
from mini_llm.wallet.babyjub import BASE8, IDENTITY, SUBORDER, InvalidSecret, Signature
from mini_llm.wallet.field import NotCanonical, P
from mini_llm.wallet.poseidon import UnsupportedInputCount

SECRET = 123456789
MESSAGE = 987654321


@pytest.mark.parametrize("value", [-1, P, P + 1, 2**256])
@pytest.mark.parametrize("rust", [True, False])
def test_poseidon_refuses_what_is_no_field_element(
    value: int, rust: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not rust:
        monkeypatch.setattr(poseidon, "_RustHasher", None)
    with pytest.raises(NotCanonical) as caught:
        poseidon.poseidon([1, value])
    assert caught.value.value == value


@pytest.mark.parametrize("count", [0, 13])
def test_poseidon_takes_1_to_12_inputs(count: int) -> None:
    with pytest.raises(UnsupportedInputCount) as caught:
        poseidon.poseidon([0] * count)
    assert caught.value.count == count


@pytest.mark.parametrize("secret", [0, -1, SUBORDER, SUBORDER + 1])
def test_secrets_lie_below_the_group_order(secret: int) -> None:
    with pytest.raises(InvalidSecret) as caught:
        babyjub.public_key(secret)
    assert not secret or str(secret) not in str(caught.value)


@pytest.mark.parametrize("message", [-1, P, 2**256])
def test_only_field_elements_are_signed(message: int) -> None:
    with pytest.raises(NotCanonical):
        babyjub.sign(SECRET, message)


def test_nonces_differ_between_messages_and_secrets() -> None:
    nonces = {babyjub.sign(secret, message).r8 for secret in (1, 2) for message in (1, 2)}
    assert len(nonces) == 4


def test_a_signature_holds_for_its_key_and_message_only() -> None:
    key, signature = babyjub.public_key(SECRET), babyjub.sign(SECRET, MESSAGE)
    assert babyjub.verify(key, MESSAGE, signature)
    assert not babyjub.verify(key, MESSAGE + 1, signature)
    assert not babyjub.verify(babyjub.public_key(SECRET + 1), MESSAGE, signature)
    assert not babyjub.verify(key, MESSAGE, Signature(signature.r8, signature.s ^ 1))
    assert not babyjub.verify(key, MESSAGE, Signature(BASE8, signature.s))


def test_malformed_signatures_do_not_hold() -> None:
    key, signature = babyjub.public_key(SECRET), babyjub.sign(SECRET, MESSAGE)
    r8, s = signature.r8, signature.s
    assert not babyjub.verify(key, MESSAGE + P, signature)
    assert not babyjub.verify(key, MESSAGE, Signature(r8, s + SUBORDER))
    assert not babyjub.verify(key, MESSAGE, Signature((r8[0] + P, r8[1]), s))
    assert not babyjub.verify((key[0] + P, key[1]), MESSAGE, signature)
    assert not babyjub.verify((key[1], key[0]), MESSAGE, signature)


@pytest.mark.parametrize("key", [IDENTITY, (0, P - 1)])
def test_a_key_of_small_order_signs_nothing(key: tuple[int, int]) -> None:
    # s·BASE8 = R8 + 8·h·A holds for any h when 8·A is the identity.
    assert not babyjub.verify(key, MESSAGE, Signature(babyjub.mul(BASE8, 5), 5))
