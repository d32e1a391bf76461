"""One proof, made in a process that keeps circuits and keys loaded: by the local pool or on a fleet."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import groth16py

from bridge.groth16 import solidity_words
from bridge.proving.artifacts import CEREMONY_KEY, Artifacts, ArtifactsDiffer
from bridge.witness import WitnessCalculator, wtns_file

CIRCUITS_VARIABLE: Final = "VIBES_CIRCUITS_DIR"
"""Where a worker on another machine has its circuits."""

WITNESS_PREFIX: Final = "vibes-witness-"


@dataclass(frozen=True)
class Job:
    """One circuit to be loaded or proved with.

    directory: folder with the circuits, None for the one in the worker's own environment: the paths of the
        bridge's machine mean nothing on another.
    circuit: `batch{N}` or `exit`.
    circuit_hash, key_hash: what the caller will verify against.
    """

    directory: Path | None
    circuit: str
    circuit_hash: str
    key_hash: str


@dataclass(frozen=True)
class Proof:
    """A Groth16 proof.

    words: [a.x, a.y, b.x1, b.x0, b.y1, b.y0, c.x, c.y], as `settleBatch` and `exit` take them.
    witness_s, prove_s: seconds spent, for reports.
    """

    words: tuple[int, ...]
    witness_s: float
    prove_s: float


@dataclass(frozen=True)
class _Circuit:
    """What a worker keeps in memory of one circuit."""

    artifacts: Artifacts
    calculator: WitnessCalculator
    proving_key: groth16py.ProvingKey


def load(job: Job) -> None:
    """Loads what proofs of this circuit need; seconds for a development key.

    Raises:
        ArtifactsMissing, ArtifactsDiffer: this worker has no such circuit, or another one.
    """
    _circuit(job)


def prove(job: Job, inputs: dict[str, Any]) -> Proof:
    """Computes the witness and proves it. The caller verifies: this process may be anybody's.

    Raises:
        WitnessRefused: the inputs satisfy no witness.
        ArtifactsMissing, ArtifactsDiffer: this worker has no such circuit, or another one.
    """
    circuit = _circuit(job)
    started = time.perf_counter()
    witness = circuit.calculator.calculate(inputs)
    calculated = time.perf_counter()
    # Readable by this user only; the name says which process is proving.
    with tempfile.TemporaryDirectory(prefix=f"{WITNESS_PREFIX}{os.getpid()}-") as folder:
        wtns = Path(folder) / "witness.wtns"
        wtns.write_bytes(wtns_file(witness))
        words = solidity_words(groth16py.prove_wtns(circuit.proving_key, str(wtns)))
    proved = time.perf_counter()
    return Proof(words, witness_s=calculated - started, prove_s=proved - calculated)


@cache
def _circuit(job: Job) -> _Circuit:
    directory = job.directory or Path(os.environ.get(CIRCUITS_VARIABLE) or "build/circuits")
    artifacts = Artifacts.load(directory, job.circuit)
    for expected, actual in (
        (job.circuit_hash, artifacts.circuit_hash),
        (job.key_hash, artifacts.key_hash),
    ):
        if expected != actual:
            raise ArtifactsDiffer(job.circuit, expected, actual)
    return _Circuit(artifacts, WitnessCalculator(artifacts.wasm), _proving_key(artifacts.proving_key))


def _proving_key(path: Path) -> groth16py.ProvingKey:
    if path.name == CEREMONY_KEY:
        key, _ = groth16py.import_zkey(str(path))
        return key
    return groth16py.ProvingKey.load(str(path))
