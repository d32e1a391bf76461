"""Proofs of batches, made by a pool of worker processes that keep their keys loaded."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

import groth16py

from bridge.errors import BridgeError
from bridge.groth16 import key_words, solidity_words, verify_proof
from bridge.witness import WitnessCalculator, wtns_file

DEVELOPMENT_CHAIN_IDS: Final = frozenset({31337, 31338})
"""Chains on which a single-party key may be used: nobody's money is there."""

BUILD_COMMAND: Final = "make setup"


class ArtifactsMissing(BridgeError):
    """A circuit's proving artefacts are not there or not complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is missing: run `{BUILD_COMMAND}`")


class DevelopmentKeyRefused(BridgeError):
    """Proofs by a single-party development key are worth nothing: whoever made the key can forge them."""

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id
        super().__init__(
            f"development proving keys are refused on chain {chain_id}, only local chains may use them"
        )


class UnknownBatchSize(BridgeError):
    """No artefacts were loaded for batches of this many slots."""

    def __init__(self, slots: int, sizes: Sequence[int]) -> None:
        self.slots, self.sizes = slots, tuple(sizes)
        super().__init__(f"no circuit for {slots} slots, only for {', '.join(map(str, sizes)) or 'none'}")


class ProverFailed(BridgeError):
    """A worker died or made a proof that does not verify; the same batch may be proved again."""

    def __init__(self, slots: int, reason: str) -> None:
        self.slots, self.reason = slots, reason
        super().__init__(f"proving a batch of {slots} slots failed: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:  # crosses from the worker process
        return type(self), (self.slots, self.reason)


@dataclass(frozen=True)
class Artifacts:
    """What `scripts/build_circuits.py` made for one batch size.

    circuit_hash: sha256 of the r1cs, hex without 0x.
    key_hash: sha256 of the verifying key's 22 words of 32 bytes, hex without 0x.
    constraints: number of constraints, for reports.
    development: True if the key is from a single-party setup.
    """

    slots: int
    wasm: Path
    proving_key: Path
    verifying_key: tuple[int, ...]
    circuit_hash: str
    key_hash: str
    constraints: int
    development: bool

    @classmethod
    def load(cls, directory: Path, slots: int) -> Artifacts:
        """Read the manifest and verifying key of `directory/batch{slots}`.

        Raises:
            ArtifactsMissing: a file is not there.
        """
        folder = Path(directory) / f"batch{slots}"
        files = [
            folder / name for name in ("manifest.json", "verifying_key.json", "batch.wasm", "proving.pk")
        ]
        for file in files:
            if not file.is_file():
                raise ArtifactsMissing(file)
        manifest_file, key_file, wasm, proving_key = files
        manifest = json.loads(manifest_file.read_text())
        return cls(
            slots=int(manifest["slots"]),
            wasm=wasm,
            proving_key=proving_key,
            verifying_key=key_words(key_file.read_text()),
            circuit_hash=str(manifest["circuit_hash"]),
            key_hash=str(manifest["key_hash"]),
            constraints=int(manifest["constraints"]),
            development=bool(manifest["development"]),
        )


@dataclass(frozen=True)
class Proof:
    """A proof that was verified before it left its worker.

    words: [a.x, a.y, b.x1, b.x0, b.y1, b.y0, c.x, c.y], as `settleBatch` takes them.
    witness_s, prove_s: seconds spent, for reports.
    """

    words: tuple[int, ...]
    witness_s: float
    prove_s: float


class Prover:
    """Proves batches of the given sizes for one chain. Close it, or use it as a context manager."""

    def __init__(self, directory: Path, sizes: Sequence[int], chain_id: int, workers: int = 1) -> None:
        """Check the artefacts; keys are loaded by the workers when a size is first used.

        Args:
            directory: folder with one `batch{N}` folder per size.
            sizes: slots per batch, each with its own circuit.
            chain_id: where the proofs will be settled.
            workers: processes; each proof takes one, and each holds its own copy of the keys.

        Raises:
            ArtifactsMissing: a size was not built.
            DevelopmentKeyRefused: a development key for a chain that is not local.
        """
        self.artifacts = {slots: Artifacts.load(directory, slots) for slots in sorted(set(sizes))}
        if chain_id not in DEVELOPMENT_CHAIN_IDS and any(a.development for a in self.artifacts.values()):
            raise DevelopmentKeyRefused(chain_id)
        self._directory = Path(directory)
        self._workers = workers
        self._pool = self._new_pool()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Slots per batch that can be proved, rising."""
        return tuple(self.artifacts)

    def prove(self, slots: int, circuit_inputs: Mapping[str, Any]) -> Proof:
        """Prove one batch; blocks until a worker is done. Several threads may call it.

        Args:
            slots: batch size.
            circuit_inputs: every input signal by name, as `RollupState.prove_inputs` gives them.

        Raises:
            UnknownBatchSize: no artefacts for this size.
            WitnessRefused: the inputs are no valid batch.
            ProverFailed: the worker died, or its proof does not verify.
        """
        pool = self._pool
        try:
            proof: Proof = self._submit(pool, _prove, slots, dict(circuit_inputs)).result()
            return proof
        except BrokenProcessPool as error:
            if self._pool is pool:
                self._pool = self._new_pool()
            raise ProverFailed(slots, "the worker process died") from error

    def warm_up(self, slots: int) -> None:
        """Have a worker load the keys of one size now, without waiting for it: loading takes seconds."""
        self._submit(self._pool, _load_for_use, slots)

    def close(self) -> None:
        """Stop the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Prover:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_pool(self) -> ProcessPoolExecutor:
        # Forking a process that has threads or database connections is unsafe: workers start fresh.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=_exit_with_parent)

    def _submit(self, pool: ProcessPoolExecutor, task: Any, slots: int, *arguments: Any) -> Future[Any]:
        if slots not in self.artifacts:
            raise UnknownBatchSize(slots, self.sizes)
        return pool.submit(task, self._directory, slots, *arguments)


@dataclass(frozen=True)
class _Circuit:
    """What a worker keeps in memory for one batch size."""

    artifacts: Artifacts
    calculator: WitnessCalculator
    proving_key: groth16py.ProvingKey


def _exit_with_parent() -> None:
    """End this worker when the process that started it is gone, even by SIGKILL."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@cache
def _circuit(directory: Path, slots: int) -> _Circuit:
    artifacts = Artifacts.load(directory, slots)
    key = groth16py.ProvingKey.load(str(artifacts.proving_key))
    return _Circuit(artifacts, WitnessCalculator(artifacts.wasm), key)


def _load_for_use(directory: Path, slots: int) -> None:
    _circuit(directory, slots)


def _prove(directory: Path, slots: int, inputs: dict[str, Any]) -> Proof:
    circuit = _circuit(directory, slots)
    started = time.perf_counter()
    witness = circuit.calculator.calculate(inputs)
    calculated = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="vibes-witness-") as folder:  # readable by this user only
        wtns = Path(folder) / "batch.wtns"
        wtns.write_bytes(wtns_file(witness))
        words = solidity_words(groth16py.prove_wtns(circuit.proving_key, str(wtns)))
    proved = time.perf_counter()
    public = (int(inputs["C"]), int(inputs["r"]), int(inputs["y"]))
    if not verify_proof(circuit.artifacts.verifying_key, words, public):
        raise ProverFailed(slots, "the proof does not verify")
    return Proof(words, witness_s=calculated - started, prove_s=proved - calculated)
