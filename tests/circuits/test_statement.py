"""The circuit accepts what the executable spec accepts, and refuses each thing that a batch must not do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.batches import (
    CEILING,
    DEPOSIT,
    DOMAIN,
    OTHER_DOMAIN,
    RawSlot,
    authorise,
    bind,
    commit_of,
    opened,
    put,
    random_slots,
    secret_of,
    unchecked_inputs,
)

from bridge.prover import Artifacts
from bridge.rollup.batch import Slot
from bridge.rollup.transition import UNUSED, AccountState, Authorisation, RollupState
from bridge.witness import ELEMENT_BYTES, WitnessCalculator, WitnessRefused
from mini_llm.wallet.babyjub import BASE8, IDENTITY, SUBORDER, Point, Signature, mul, public_key, sign
from mini_llm.wallet.ceiling import ceiling_message, key_commitment
from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_AMOUNT_BASE, MAX_BALANCE_BASE
from mini_llm.wallet.poseidon import poseidon

Refused = Callable[[dict[str, Any]], str]

ORDER_TWO: Point = (0, P - 1)
STRANGER = 77


def element(witness: bytes, position: int) -> int:
    return int.from_bytes(witness[position * ELEMENT_BYTES : (position + 1) * ELEMENT_BYTES], "little")


@pytest.mark.parametrize(("size", "seed"), [(4, 1), (4, 2), (4, 3), (10, 4)])
def test_random_batches_agree_with_the_spec(circuits_dir: Path, size: int, seed: int) -> None:
    circuit = WitnessCalculator(Artifacts.load(circuits_dir, size).wasm)
    rng = random.Random(seed)
    state = RollupState(DOMAIN)
    for batch_number in range(1, 6):
        slots, auths = random_slots(state, rng, size)
        batch = state.prove_inputs(batch_number, slots, auths, size)
        # The circuit holds newRoot, C and y to its own results: that a witness exists means they are equal.
        witness = circuit.calculate(batch.circuit_inputs)
        assert tuple(element(witness, position) for position in range(4)) == (1, *batch.public)


def test_unchecked_inputs_are_the_specs_for_a_valid_batch() -> None:
    state = opened(3, 9)
    slots = [Slot(3, charge=5, reward=2), Slot(9, withdraw=7), Slot(12, deposit=8, key_commit=commit_of(12))]
    raw = [RawSlot(slots[0], authorise(3)), RawSlot(slots[1]), RawSlot(slots[2])]
    inputs = unchecked_inputs(state, raw)
    assert inputs == state.prove_inputs(1, slots, {3: authorise(3)}, 4).circuit_inputs


@pytest.mark.parametrize(
    "slots",
    [
        [],
        [Slot(1)],  # touched, nothing changed
        [Slot(1, drain=True, withdraw=DEPOSIT)],
        [Slot(1, withdraw=DEPOSIT)],
        [Slot(1, key_commit=1)],  # a commitment that nobody can open blocks no batch
        [Slot(1, deposit=MAX_AMOUNT_BASE, reward=MAX_AMOUNT_BASE, withdraw=MAX_AMOUNT_BASE)],
        [Slot(2**24 - 1, key_commit=P - 1)],
    ],
)
def test_edges_are_accepted(circuit4: WitnessCalculator, slots: list[Slot]) -> None:
    state = opened(1)
    circuit4.calculate(state.prove_inputs(1, slots, {}, 4).circuit_inputs)


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


@pytest.mark.parametrize(
    "slot",
    [
        Slot(1, withdraw=DEPOSIT + 1),
        Slot(1, withdraw=DEPOSIT, charge=1),
        Slot(1, charge=DEPOSIT + 1),
        Slot(1, withdraw=MAX_AMOUNT_BASE, charge=MAX_AMOUNT_BASE),
    ],
)
def test_negative_balance(refused: Refused, slot: Slot) -> None:
    auth = authorise(1, MAX_BALANCE_BASE) if slot.charge else None
    assert "MoneyUpdate" in refused(unchecked_inputs(opened(1), [RawSlot(slot, auth)]))


@pytest.mark.parametrize(("deposit", "accepted"), [(1, True), (2, False)])
def test_balance_overflow(
    circuit4: WitnessCalculator, refused: Refused, deposit: int, accepted: bool
) -> None:
    state = opened(1)
    put(state, 1, AccountState(commit_of(1), MAX_BALANCE_BASE - 1, 0))
    inputs = unchecked_inputs(state, [RawSlot(Slot(1, deposit=deposit))])
    if accepted:
        circuit4.calculate(inputs)
    else:
        assert "MoneyUpdate" in refused(inputs)


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


def test_drain_leaves_nothing(refused: Refused) -> None:
    slot = Slot(1, withdraw=DEPOSIT - 1, drain=True)
    assert "MoneyUpdate" in refused(unchecked_inputs(opened(1), [RawSlot(slot)]))


def test_unused_account_needs_a_key(refused: Refused) -> None:
    assert "Slot" in refused(unchecked_inputs(opened(1), [RawSlot(Slot(5, deposit=DEPOSIT))]))


@pytest.mark.parametrize(
    "claimed", [AccountState(commit_of(5), 10**6, 0), AccountState(0, 10**6, 0), AccountState(0, 0, 10**6)]
)
def test_unused_account_holds_nothing(refused: Refused, claimed: AccountState) -> None:
    raw = [RawSlot(Slot(5, deposit=1, key_commit=commit_of(5)), claimed=claimed)]
    refused(unchecked_inputs(opened(1), raw))


def test_unused_account_has_no_old_key(refused: Refused) -> None:
    """Else the key that authorises a fresh account's charge, old + new, would be the prover's choice."""
    slot = Slot(5, deposit=DEPOSIT, charge=100, key_commit=commit_of(5))
    inputs = unchecked_inputs(opened(1), [RawSlot(slot, authorise(5, secret=STRANGER))])
    inputs["keyCommit"][0] = (key_commitment(public_key(STRANGER)) - commit_of(5)) % P
    assert refused(inputs).startswith("Error in template Slot")


def test_used_is_a_flag(refused: Refused) -> None:
    """Else used = leaf / Poseidon(0, 0, 0) would pass any account off as an empty one."""
    state = opened(1)
    inputs = unchecked_inputs(state, [RawSlot(Slot(1, key_commit=STRANGER), claimed=UNUSED)])
    inputs["used"][0] = state.tree.leaf(1) * pow(poseidon((0, 0, 0)), -1, P) % P
    assert refused(inputs).startswith("Error in template Slot")


@pytest.mark.parametrize(
    "claimed",
    [
        UNUSED,  # opens it again under a stranger's key
        AccountState(commit_of(1), 2 * DEPOSIT, 0),
        AccountState(commit_of(1), DEPOSIT + P, 0),
        AccountState(commit_of(2), DEPOSIT, 0),
    ],
)
def test_claimed_account_must_be_the_one_in_the_tree(
    circuit4: WitnessCalculator, claimed: AccountState
) -> None:
    raw = [RawSlot(Slot(1, key_commit=key_commitment(public_key(STRANGER))), claimed=claimed)]
    inputs = unchecked_inputs(opened(1), raw)
    with pytest.raises(WitnessRefused):
        circuit4.calculate(inputs)


@pytest.mark.parametrize(
    "raw",
    [
        RawSlot(Slot(0, deposit=5)),
        RawSlot(Slot(0, charge=5), authorise(1)),
        RawSlot(Slot(0, drain=True)),
        RawSlot(Slot(0, key_commit=commit_of(1))),
        RawSlot(Slot(0, deposit=5, key_commit=commit_of(1))),
        RawSlot(Slot(0), claimed=AccountState(commit_of(1), 0, 0)),
    ],
)
def test_padding_carries_nothing(refused: Refused, raw: RawSlot) -> None:
    assert "Slot" in refused(unchecked_inputs(opened(1), [raw]))


@pytest.mark.parametrize(
    "slots",
    [
        [Slot(2), Slot(1)],
        [Slot(1), Slot(1)],
        [Slot(1, deposit=5), Slot(1, withdraw=5)],
        [Slot(0), Slot(1)],
        [Slot(1), Slot(0), Slot(2)],
        [Slot(1), Slot(2), Slot(0), Slot(1)],
    ],
)
def test_slots_rise_and_padding_comes_last(refused: Refused, slots: list[Slot]) -> None:
    assert "SortedSlots" in refused(unchecked_inputs(opened(1, 2), [RawSlot(slot) for slot in slots]))


@pytest.mark.parametrize("extra", [1 << 241, 1 << 253, 3 << 241])
def test_word_wider_than_241_bits(refused: Refused, extra: int) -> None:
    assert "DecodeWord" in refused(unchecked_inputs(opened(1), [RawSlot(Slot(1), extra=extra)]))


def test_amount_that_borrows_from_its_neighbour(refused: Refused) -> None:
    """A charge of 2^54 is a reward of 1 in the word: the update and the word cannot disagree."""
    raw = [RawSlot(Slot(1, reward=1), extra=-(1 << 78) + (2**54 << 24))]
    inputs = unchecked_inputs(opened(1), raw)
    assert inputs == unchecked_inputs(opened(1), [RawSlot(Slot(1, reward=1))])  # one word, one meaning
    refused(unchecked_inputs(opened(1), [RawSlot(Slot(1, charge=2**54), authorise(1))]))


def test_other_words_for_the_same_update(refused: Refused) -> None:
    inputs = unchecked_inputs(opened(1), [RawSlot(Slot(1, deposit=5))])
    inputs["w0"][0] += 1 << 132
    bind(inputs)
    assert "Batch" in refused(inputs)


def test_public_inputs_are_bound(circuit4: WitnessCalculator, refused: Refused) -> None:
    inputs = unchecked_inputs(opened(1), [RawSlot(Slot(1, deposit=5))])
    circuit4.calculate(inputs)
    for name in ("C", "r", "y"):
        assert "Batch" in refused(inputs | {name: (inputs[name] + 1) % P})
