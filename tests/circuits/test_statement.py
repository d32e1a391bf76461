"""The circuit accepts what the executable spec accepts, and refuses each thing that a batch must not do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.batches import (
    DEPOSIT,
    DOMAIN,
    RawSlot,
    authorise,
    bind,
    commit_of,
    opened,
    put,
    random_slots,
    unchecked_inputs,
)

from bridge.proving.artifacts import Artifacts
from bridge.rollup.batch import Slot
from bridge.rollup.transition import UNUSED, AccountState, RollupState
from bridge.witness import ELEMENT_BYTES, WitnessCalculator, WitnessRefused
from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment
from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_AMOUNT_BASE, MAX_BALANCE_BASE
from mini_llm.wallet.poseidon import poseidon

Refused = Callable[[dict[str, Any]], str]

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


@pytest.mark.parametrize("name", ["oldRoot", "newRoot"])
def test_roots_are_not_the_provers_choice(refused: Refused, name: str) -> None:
    inputs = unchecked_inputs(opened(1), [RawSlot(Slot(1, deposit=5))])
    inputs[name] = opened(1, 2).root
    bind(inputs)
    assert "Batch" in refused(inputs)


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
