"""Real proofs: they verify, they fit one deployment and one statement, and only local chains get them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.batches import DOMAIN, OTHER_DOMAIN, RawSlot, authorise, opened, unchecked_inputs

from bridge.groth16 import Q, key_words, snarkjs_key, solidity_words, verify_proof
from bridge.prover import Prover, UnknownBatchSize
from bridge.proving.artifacts import Artifacts, ArtifactsMissing, DevelopmentKeyRefused
from bridge.proving.worker import Proof
from bridge.rollup.batch import Slot
from bridge.rollup.transition import BatchWitness
from bridge.witness import WitnessCalculator, WitnessRefused
from mini_llm.wallet.field import P

SLOT = Slot(1, charge=100)


@pytest.fixture(scope="module")
def batch() -> BatchWitness:
    return opened(1).prove_inputs(1, [SLOT], {1: authorise(1)}, 4)


@pytest.fixture(scope="module")
def proof(prover: Prover, batch: BatchWitness) -> Proof:
    return prover.prove(4, batch.circuit_inputs)


@pytest.fixture(scope="module")
def key(circuits_dir: Path) -> tuple[int, ...]:
    return Artifacts.load(circuits_dir, 4).verifying_key


def test_proof_verifies(key: tuple[int, ...], proof: Proof, batch: BatchWitness) -> None:
    assert verify_proof(key, proof.words, batch.public)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_other_public_inputs(key: tuple[int, ...], proof: Proof, batch: BatchWitness, position: int) -> None:
    for change in (1, P, -P, 2**256):  # another value; the same in another encoding; no word
        public = list(batch.public)
        public[position] += change
        assert not verify_proof(key, proof.words, (public[0], public[1], public[2]))


@pytest.mark.parametrize("position", range(8))
def test_altered_proof(key: tuple[int, ...], proof: Proof, batch: BatchWitness, position: int) -> None:
    for value in ((proof.words[position] + 1) % Q, proof.words[position] + Q, 0, -1, 2**256):
        words = [*proof.words[:position], value, *proof.words[position + 1 :]]
        assert not verify_proof(key, words, batch.public)


def test_proof_of_wrong_length(key: tuple[int, ...], proof: Proof, batch: BatchWitness) -> None:
    assert not verify_proof(key, proof.words[:7], batch.public)
    assert not verify_proof(key, (*proof.words, 0), batch.public)
    with pytest.raises(ValueError, match="256 bytes"):
        solidity_words(bytes(255))


def test_malformed_verifying_key(key: tuple[int, ...], proof: Proof, batch: BatchWitness) -> None:
    for wrong in (key[:21], (Q, *key[1:]), (key[0] + 1, *key[1:])):
        with pytest.raises(ValueError, match="verifying key"):
            verify_proof(wrong, proof.words, batch.public)


def test_verifying_key_words_round_trip(key: tuple[int, ...]) -> None:
    assert key_words(snarkjs_key(key)) == key


def test_proof_for_one_deployment_fails_on_another(
    key: tuple[int, ...], proof: Proof, batch: BatchWitness
) -> None:
    """The other contract builds its words with its own domain, so it asks for another C, r and y."""
    elsewhere = opened(1, domain=OTHER_DOMAIN).prove_inputs(
        1, [SLOT], {1: authorise(1, domain=OTHER_DOMAIN)}, 4
    )
    assert elsewhere.words[1:] == batch.words[1:]
    assert not verify_proof(key, proof.words, elsewhere.public)
    # Neither can the header's C be carried over: r and y follow from the other domain.
    assert not verify_proof(key, proof.words, (batch.public[0], *elsewhere.public[1:]))


def test_ceiling_for_one_deployment_proves_nothing_on_another(prover: Prover) -> None:
    inputs = unchecked_inputs(opened(1, domain=OTHER_DOMAIN), [RawSlot(SLOT, authorise(1, domain=DOMAIN))])
    with pytest.raises(WitnessRefused, match="SignatureCheck") as refusal:
        prover.prove(4, inputs)
    assert refusal.value.reason == "a constraint does not hold"


def test_replayed_batch_number_changes_the_challenge(
    key: tuple[int, ...], proof: Proof, batch: BatchWitness
) -> None:
    again = opened(1).prove_inputs(2, [SLOT], {1: authorise(1)}, 4)
    assert again.words == batch.words
    assert not verify_proof(key, proof.words, again.public)


@pytest.mark.parametrize("chain_id", [1, 137, 1101, 2442, 80002])
def test_development_key_is_refused_on_public_chains(circuits_dir: Path, chain_id: int) -> None:
    with pytest.raises(DevelopmentKeyRefused) as refusal:
        Prover(circuits_dir, [4], chain_id)
    assert refusal.value.chain_id == chain_id


@pytest.mark.parametrize("chain_id", [31337, 31338])
def test_development_key_serves_local_chains(circuits_dir: Path, chain_id: int) -> None:
    with Prover(circuits_dir, [10, 4], chain_id) as local:
        assert local.sizes == (4, 10)


def test_missing_artefacts_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(ArtifactsMissing, match="make setup"):
        Prover(tmp_path, [4], 31337)


def test_unknown_size(prover: Prover, batch: BatchWitness) -> None:
    with pytest.raises(UnknownBatchSize, match="no circuit for 5 slots, only for 4"):
        prover.prove(5, batch.circuit_inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": P}, "input y holds .* no field element"),
        ({"y": -1}, "input y holds -1"),
        ({"s": [0, 0, 0]}, "input s has 3 elements, the circuit takes 4"),
        ({"nonsense": 1}, "input nonsense has 1 elements, the circuit takes 0"),
    ],
)
def test_malformed_inputs(
    prover: Prover, batch: BatchWitness, change: dict[str, object], message: str
) -> None:
    with pytest.raises(WitnessRefused, match=message):
        prover.prove(4, batch.circuit_inputs | change)


def test_witnesses_leave_no_memory_behind(circuit4: WitnessCalculator, batch: BatchWitness) -> None:
    """A bridge proves for months in one process; each computation has gigabytes of address space."""

    def address_space_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0])

    circuit4.calculate(batch.circuit_inputs)
    before = address_space_pages()
    for _ in range(3):
        circuit4.calculate(batch.circuit_inputs)
        with pytest.raises(WitnessRefused):
            circuit4.calculate(batch.circuit_inputs | {"y": 0})
    assert address_space_pages() - before < 2**18  # 1 GiB


def test_missing_input(prover: Prover, batch: BatchWitness) -> None:
    inputs = {name: value for name, value in batch.circuit_inputs.items() if name != "y"}
    with pytest.raises(WitnessRefused, match="251 of 252 input elements"):
        prover.prove(4, inputs)


PARENT = """
import sys, time
from pathlib import Path
from bridge.prover import Prover
if __name__ == "__main__":
    prover = Prover(Path(sys.argv[1]), [4], 31337)
    prover.warm_up(4)
    print(*prover._pool._processes, flush=True)
    time.sleep(600)
"""


def test_worker_ends_with_its_parent(circuits_dir: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script, circuits_dir], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 60
    while _is_running(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
