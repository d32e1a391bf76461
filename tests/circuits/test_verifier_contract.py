"""The generated verifier on a real chain says what the Python verifier says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.anvil import Anvil, artifact, running_anvil
from support.batches import authorise, opened
from web3.contract import Contract
from web3.exceptions import ContractLogicError

from bridge.groth16 import EXIT_SLOTS, Q, verifier_name
from bridge.prover import Prover
from bridge.proving.artifacts import Artifacts
from bridge.rollup.batch import Slot
from bridge.rollup.transition import BatchWitness
from mini_llm.wallet.field import P

GAS_BUDGET = 250_000  # the pairing alone takes 181,000, the transaction and its calldata 27,000


@pytest.fixture(scope="module")
def batch() -> BatchWitness:
    return opened(1).prove_inputs(1, [Slot(1, charge=100)], {1: authorise(1)}, 4)


@pytest.fixture(scope="module")
def words(prover: Prover, batch: BatchWitness) -> tuple[int, ...]:
    return prover.prove(4, batch.circuit_inputs).words


def deploy(node: Anvil, name: str) -> Contract:
    abi, bytecode = artifact(name)
    sender = node.web3.eth.accounts[0]
    transaction = node.web3.eth.contract(abi=abi, bytecode=bytecode).constructor().transact({"from": sender})
    receipt = node.web3.eth.wait_for_transaction_receipt(transaction)
    return node.web3.eth.contract(receipt["contractAddress"], abi=abi)


@pytest.fixture(scope="module")
def verifier() -> Any:
    with running_anvil() as node:
        yield deploy(node, "BatchVerifier4")


def call(verifier: Contract, words: Sequence[int], public: Sequence[int]) -> Any:
    a, b, c = words[0:2], [words[2:4], words[4:6]], words[6:8]
    return verifier.functions.verifyProof(a, b, c, public)


def test_proof_holds_within_the_gas_budget(
    verifier: Contract, words: tuple[int, ...], batch: BatchWitness
) -> None:
    # No estimate: with too little gas for the pairing the verifier returns False, which is no failed call.
    assert call(verifier, words, batch.public).call({"gas": GAS_BUDGET}) is True


@pytest.mark.parametrize("position", range(3))
def test_other_public_inputs(
    verifier: Contract, words: tuple[int, ...], batch: BatchWitness, position: int
) -> None:
    for change in (1, P):
        public = list(batch.public)
        public[position] += change
        assert call(verifier, words, public).call() is False


@pytest.mark.parametrize("position", range(8))
def test_altered_proof(
    verifier: Contract, words: tuple[int, ...], batch: BatchWitness, position: int
) -> None:
    for value in ((words[position] + 1) % Q, words[position] + Q, 0):
        altered = [*words[:position], value, *words[position + 1 :]]
        assert call(verifier, altered, batch.public).call() is False


def test_points_at_infinity(verifier: Contract, batch: BatchWitness) -> None:
    assert call(verifier, [0] * 8, batch.public).call() is False


@pytest.mark.parametrize("size", [EXIT_SLOTS, 4, 10])
def test_constants_are_those_of_the_artefacts(anvil: Anvil, circuits_dir: Path, size: int) -> None:
    contract = deploy(anvil, verifier_name(size)).functions
    artifacts = Artifacts.load(circuits_dir, size)
    assert contract.slots().call() == size
    assert contract.isDevelopment().call() is True
    assert contract.circuitHash().call().hex() == artifacts.circuit_hash
    assert tuple(contract.verifyingKey().call()) == artifacts.verifying_key


@pytest.mark.parametrize(("chain_id", "served"), [(31338, True), (1, False), (137, False), (80002, False)])
def test_development_verifier_serves_local_chains_only(
    words: tuple[int, ...], batch: BatchWitness, chain_id: int, served: bool
) -> None:
    with running_anvil("--chain-id", str(chain_id)) as node:
        verifier = deploy(node, "BatchVerifier4")
        if served:
            assert call(verifier, words, batch.public).call() is True
        else:
            with pytest.raises(ContractLogicError):
                call(verifier, words, batch.public).call()
