"""A charge needs a ceiling that covers it, signed for this account and deployment by the account's key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.batches import (
    CEILING,
    DEPOSIT,
    DOMAIN,
    OTHER_DOMAIN,
    RawSlot,
    authorise,
    commit_of,
    opened,
    put,
    secret_of,
    unchecked_inputs,
)

from bridge.rollup.batch import Slot
from bridge.rollup.transition import AccountState, Authorisation
from bridge.witness import WitnessCalculator
from mini_llm.wallet.babyjub import BASE8, IDENTITY, SUBORDER, Point, Signature, mul, public_key, sign
from mini_llm.wallet.ceiling import ceiling_message, key_commitment
from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_BALANCE_BASE

Refused = Callable[[dict[str, Any]], str]

ORDER_TWO: Point = (0, P - 1)
STRANGER = 77


def charged(**changes: Any) -> list[RawSlot]:
    """One charged slot of account 1, with changes to it."""
    return [replace(RawSlot(Slot(1, charge=100), authorise(1)), **changes)]


def test_charge_up_to_the_ceiling_and_no_further(circuit4: WitnessCalculator, refused: Refused) -> None:
    state = opened(1)
    circuit4.calculate(unchecked_inputs(state, charged(auth=authorise(1, 100))))
    assert "Authorisation" in refused(unchecked_inputs(state, charged(auth=authorise(1, 99))))


def test_ceiling_counts_what_was_spent_before(refused: Refused) -> None:
    state = opened(1)
    put(state, 1, AccountState(commit_of(1), DEPOSIT, 50))
    assert "Authorisation" in refused(unchecked_inputs(state, charged(auth=authorise(1, 149))))


@pytest.mark.parametrize("ceiling_base", [MAX_BALANCE_BASE + 1, P - 1])
def test_ceiling_out_of_range(refused: Refused, ceiling_base: int) -> None:
    signed = sign(secret_of(1), ceiling_message(DOMAIN, 1, ceiling_base))
    auth = Authorisation(ceiling_base, public_key(secret_of(1)), signed)
    assert "Num2Bits" in refused(unchecked_inputs(opened(1), charged(auth=auth)))


@pytest.mark.parametrize(
    ("label", "auth"),
    [
        ("by another key", replace(authorise(1, secret=STRANGER), key=public_key(secret_of(1)))),
        ("another domain", authorise(1, domain=OTHER_DOMAIN)),
        ("another account", authorise(2, secret=secret_of(1))),
        ("another ceiling", replace(authorise(1), ceiling_base=CEILING + 1)),
        ("no signature", Authorisation(CEILING, public_key(secret_of(1)), Signature(IDENTITY, 0))),
    ],
)
def test_signature_that_does_not_hold(refused: Refused, label: str, auth: Authorisation) -> None:
    assert "SignatureCheck" in refused(unchecked_inputs(opened(1), charged(auth=auth))), label


def test_key_that_does_not_open_the_commitment(refused: Refused) -> None:
    detail = refused(unchecked_inputs(opened(1), charged(auth=authorise(1, secret=STRANGER))))
    assert detail.startswith("Error in template Authorisation")


def test_fresh_account_is_charged_under_the_key_it_is_opened_with(
    circuit4: WitnessCalculator, refused: Refused
) -> None:
    slot = Slot(5, deposit=DEPOSIT, charge=100, key_commit=commit_of(5))
    circuit4.calculate(unchecked_inputs(opened(1), [RawSlot(slot, authorise(5))]))
    stranger = [RawSlot(slot, authorise(5, secret=STRANGER))]
    assert "Authorisation" in refused(unchecked_inputs(opened(1), stranger))


def test_key_change_does_not_authorise_the_charge_beside_it(
    circuit4: WitnessCalculator, refused: Refused
) -> None:
    slot = Slot(1, charge=100, key_commit=key_commitment(public_key(STRANGER)))
    circuit4.calculate(unchecked_inputs(opened(1), [RawSlot(slot, authorise(1))]))
    by_new_key = [RawSlot(slot, authorise(1, secret=STRANGER))]
    assert "Authorisation" in refused(unchecked_inputs(opened(1), by_new_key))


@pytest.mark.parametrize("key", [IDENTITY, ORDER_TWO])
def test_small_order_key_signs_nothing(refused: Refused, key: Point) -> None:
    state = opened(1)
    put(state, 1, AccountState(key_commitment(key), DEPOSIT, 0))
    # 8·key is the identity, so s·BASE8 = r8 + h·8·key holds for any message with r8 = s·BASE8.
    forged = Authorisation(CEILING, key, Signature(mul(BASE8, 5), 5))
    detail = refused(unchecked_inputs(state, charged(auth=forged)))
    assert detail.startswith("Error in template SignatureCheck")


def test_key_off_the_curve(refused: Refused) -> None:
    key = (1, 1)
    state = opened(1)
    put(state, 1, AccountState(key_commitment(key), DEPOSIT, 0))
    auth = replace(authorise(1), key=key)
    assert "BabyCheck" in refused(unchecked_inputs(state, charged(auth=auth)))


def test_nonce_point_off_the_curve(refused: Refused) -> None:
    auth = replace(authorise(1), signature=replace(authorise(1).signature, r8=(1, 1)))
    assert "BabyCheck" in refused(unchecked_inputs(opened(1), charged(auth=auth)))


def test_signature_scalar_is_not_unique_but_bounded(circuit4: WitnessCalculator, refused: Refused) -> None:
    """s + l is the same signature, accepted by design: nothing depends on it. 2^253 and more is refused."""
    auth = authorise(1)
    for s, accepted in ((auth.signature.s + SUBORDER, True), (2**253, False)):
        again = replace(auth, signature=replace(auth.signature, s=s))
        inputs = unchecked_inputs(opened(1), charged(auth=again))
        if accepted:
            circuit4.calculate(inputs)
        else:
            assert "Num2Bits" in refused(inputs)


@pytest.mark.parametrize(("charge", "accepted"), [(1, True), (2, False)])
def test_spent_overflow(circuit4: WitnessCalculator, refused: Refused, charge: int, accepted: bool) -> None:
    state = opened(1)
    put(state, 1, AccountState(commit_of(1), DEPOSIT, MAX_BALANCE_BASE - 1))
    inputs = unchecked_inputs(state, [RawSlot(Slot(1, charge=charge), authorise(1, MAX_BALANCE_BASE))])
    if accepted:
        circuit4.calculate(inputs)
    else:
        assert "Authorisation" in refused(inputs)


def test_spent_overflow_under_a_ceiling_beyond_64_bits(refused: Refused) -> None:
    state = opened(1)
    put(state, 1, AccountState(commit_of(1), DEPOSIT, MAX_BALANCE_BASE))
    ceiling_base = MAX_BALANCE_BASE + 1
    signed = sign(secret_of(1), ceiling_message(DOMAIN, 1, ceiling_base))
    auth = Authorisation(ceiling_base, public_key(secret_of(1)), signed)
    assert "Num2Bits" in refused(unchecked_inputs(state, [RawSlot(Slot(1, charge=1), auth)]))


@pytest.mark.parametrize(
    "key", [(P - BASE8[0], BASE8[1]), (BASE8[0], P - BASE8[1]), public_key(secret_of(1))]
)
def test_uncharged_slot_opens_no_key(refused: Refused, key: Point) -> None:
    inputs = unchecked_inputs(opened(1), [RawSlot(Slot(1, deposit=5))])
    inputs["key"][0] = list(key)
    assert refused(inputs).startswith("Error in template Authorisation")


def test_uncharged_slot_has_no_signature(refused: Refused) -> None:
    inputs = unchecked_inputs(opened(1), [RawSlot(Slot(1, deposit=5))])
    for r8, s in ((ORDER_TWO, 0), (BASE8, 1), (IDENTITY, SUBORDER)):
        signed = inputs | {"r8": [list(r8), *inputs["r8"][1:]], "s": [s, *inputs["s"][1:]]}
        assert refused(signed).startswith("Error in template Authorisation")


def test_uncharged_slot_has_no_ceiling(refused: Refused) -> None:
    inputs = unchecked_inputs(opened(1), [RawSlot(Slot(1, deposit=5))])
    inputs["ceiling"][0] += 1
    assert refused(inputs).startswith("Error in template Authorisation")
