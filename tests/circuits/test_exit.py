"""The exit circuit: a leaf's balance under a root, by whoever knows the tree; nothing else has a witness."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.batches import DEPOSIT, commit_of, opened
from support.mutations import scalar_paths, with_changed

from bridge.groth16 import EXIT_SLOTS, verify_proof
from bridge.prover import prove_once
from bridge.proving.artifacts import Artifacts
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import AccountState, RollupState
from bridge.rollup.tree import AccountTree
from bridge.witness import ELEMENT_BYTES, WitnessCalculator, WitnessRefused
from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_BALANCE_BASE, MAX_IDX, TREE_ARITY
from mini_llm.wallet.poseidon import poseidon

ACCOUNTS = (1, 2, 4095, 4096, MAX_IDX)


@pytest.fixture(scope="module")
def circuit(circuits_dir: Path) -> WitnessCalculator:
    return WitnessCalculator(Artifacts.load(circuits_dir, EXIT_SLOTS).wasm)


@pytest.fixture(scope="module")
def state() -> RollupState:
    return opened(*ACCOUNTS)


def inputs_of(state: RollupState, idx: int) -> dict[str, Any]:
    return dict(exit_inputs(state.tree, idx, state.accounts[idx]).circuit_inputs)


def refused(circuit: WitnessCalculator, inputs: dict[str, Any]) -> None:
    with pytest.raises(WitnessRefused) as refusal:
        circuit.calculate(inputs)
    assert refusal.value.reason == "a constraint does not hold"


@pytest.mark.parametrize("idx", ACCOUNTS)
def test_account_leaves_with_its_balance(circuit: WitnessCalculator, state: RollupState, idx: int) -> None:
    witness = exit_inputs(state.tree, idx, state.accounts[idx])
    assert witness.public == (state.root, idx, DEPOSIT)
    calculated = circuit.calculate(witness.circuit_inputs)
    wires = [
        int.from_bytes(calculated[i * ELEMENT_BYTES : (i + 1) * ELEMENT_BYTES], "little") for i in range(4)
    ]
    assert wires == [1, *witness.public]


def test_proof_holds_for_these_public_inputs_alone(circuits_dir: Path, state: RollupState) -> None:
    witness = exit_inputs(state.tree, 4096, state.accounts[4096])
    proof = prove_once(circuits_dir, EXIT_SLOTS, witness.circuit_inputs)
    key = Artifacts.load(circuits_dir, EXIT_SLOTS).verifying_key
    assert verify_proof(key, proof.words, witness.public)
    for position in range(3):
        public = list(witness.public)
        public[position] += 1
        assert not verify_proof(key, proof.words, (public[0], public[1], public[2]))


def test_every_input_matters(circuit: WitnessCalculator, state: RollupState) -> None:
    rng = random.Random(5)
    inputs = inputs_of(state, 4095)
    for path in scalar_paths(inputs):
        refused(circuit, with_changed(inputs, path, rng))


@pytest.mark.parametrize("balance", [0, DEPOSIT - 1, DEPOSIT + 1, MAX_BALANCE_BASE, P - 1])
def test_another_balance(circuit: WitnessCalculator, state: RollupState, balance: int) -> None:
    refused(circuit, inputs_of(state, 1) | {"balance": balance})


@pytest.mark.parametrize("idx", [0, 2, 8, 4097, 1 + 2**24, P - 1])
def test_another_index(circuit: WitnessCalculator, state: RollupState, idx: int) -> None:
    """2^24 + 1 names the same leaf by its low bits: the contract would pay one account twice."""
    refused(circuit, inputs_of(state, 1) | {"idx": idx})


def test_neighbours_balance(circuit: WitnessCalculator) -> None:
    """The leaf of account 2 lies among the children of account 1's path: it must not count for account 1."""
    state = opened(1)
    richer = AccountState(commit_of(2), 10 * DEPOSIT, 0)
    state.accounts[2] = richer
    state.tree.set_leaf(2, poseidon((richer.key_commit, richer.balance, richer.spent)))
    refused(circuit, inputs_of(state, 2) | {"idx": 1})


@pytest.mark.parametrize("claimed", [AccountState(), AccountState(commit_of(3), 0, 0)])
def test_unused_account(circuit: WitnessCalculator, state: RollupState, claimed: AccountState) -> None:
    inputs: dict[str, Any] = {
        "root": state.root,
        "idx": 3,
        "balance": claimed.balance,
        "spent": claimed.spent,
    }
    inputs |= {"keyCommit": claimed.key_commit, "children": copy.deepcopy(state.tree.path(3))}
    refused(circuit, inputs)


def test_inner_node_is_no_leaf(circuit: WitnessCalculator, state: RollupState) -> None:
    """A path that begins a level too high ends at the root, but no leaf hashes to an inner node."""
    inputs = inputs_of(state, 4096)
    children = inputs["children"]
    shifted = inputs | {"idx": 4096 // TREE_ARITY, "children": [*children[1:], [0] * TREE_ARITY]}
    refused(circuit, shifted)


def test_old_root(circuit: WitnessCalculator, state: RollupState) -> None:
    later = opened(*ACCOUNTS, 77)
    refused(circuit, inputs_of(state, 1) | {"root": later.root})
    refused(circuit, inputs_of(state, 1) | {"children": later.tree.path(1)})


def test_empty_tree_pays_nobody(circuit: WitnessCalculator) -> None:
    empty = AccountTree()
    inputs: dict[str, Any] = {"root": empty.root, "idx": 0, "balance": 0, "keyCommit": 0, "spent": 0}
    refused(circuit, inputs | {"children": empty.path(0)})


def test_other_numbers_of_the_same_account(circuit: WitnessCalculator, state: RollupState) -> None:
    """Balance and spent are separate hash inputs: they cannot be traded for each other."""
    state = opened(1)
    account = replace(state.accounts[1], spent=5)
    state.tree.set_leaf(1, poseidon((account.key_commit, account.balance, account.spent)))
    inputs = dict(exit_inputs(state.tree, 1, account).circuit_inputs)
    circuit.calculate(inputs)
    refused(circuit, inputs | {"balance": DEPOSIT + 5, "spent": 0})
    refused(circuit, inputs | {"balance": 5, "spent": DEPOSIT})
