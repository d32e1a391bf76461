"""Proofs of batches and exits: made by a pool of workers, believed only when they verify here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final, cast

from bridge.errors import BridgeError
from bridge.groth16 import verify_proof
from bridge.proving.artifacts import DEVELOPMENT_CHAIN_IDS, Artifacts, DevelopmentKeyRefused
from bridge.proving.engines import fleet_engine, local_engine
from bridge.proving.worker import Job, Proof, load, prove

ATTEMPTS: Final = 2


class UnknownBatchSize(BridgeError):
    """No artefacts were loaded for batches of this many slots."""

    def __init__(self, slots: int, sizes: Sequence[int]) -> None:
        self.slots, self.sizes = slots, tuple(sizes)
        super().__init__(f"no circuit for {slots} slots, only for {', '.join(map(str, sizes)) or 'none'}")


class ProverFailed(BridgeError):
    """Workers died, did not answer in time or made proofs that do not verify; proving again may help."""

    def __init__(self, circuit: str, reason: str) -> None:
        self.circuit, self.reason = circuit, reason
        super().__init__(f"proving with {circuit} failed: {reason}")


class Prover:
    """Proves batches of the given sizes for one chain. Close it, or use it as a context manager."""

    def __init__(
        self,
        directory: Path,
        sizes: Sequence[int],
        chain_id: int,
        workers: int = 1,
        scheduler: str | None = None,
    ) -> None:
        """Check the artefacts and open the pool; a worker loads the keys of a size when it first needs them.

        Args:
            directory: folder with one `batch{N}` folder per size.
            sizes: slots per batch, each with its own circuit.
            chain_id: where the proofs will be settled.
            workers: processes of the local pool; each holds its own copy of the keys.
            scheduler: address of a Dask scheduler whose workers are to prove instead of the local pool.

        Raises:
            ArtifactsMissing: a size was not built.
            DevelopmentKeyRefused: a development key for a chain that is not local.
            SchedulerUnavailable, FleetNotInstalled: the fleet cannot be used.
        """
        self.artifacts = {slots: Artifacts.load(directory, slots) for slots in sorted(set(sizes))}
        if chain_id not in DEVELOPMENT_CHAIN_IDS and any(a.development for a in self.artifacts.values()):
            raise DevelopmentKeyRefused(chain_id)
        self._directory = Path(directory)
        self._engine = local_engine(workers) if scheduler is None else fleet_engine(scheduler)
        self._lock = threading.Lock()
        self._pool: Executor | None = self._engine.start()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Slots per batch that can be proved, rising."""
        return tuple(self.artifacts)

    def prove(self, slots: int, circuit_inputs: Mapping[str, Any]) -> Proof:
        """Prove one batch; blocks until a worker is done. Several threads may call it at a time.

        A job whose worker is lost, or whose proof does not verify, is given to the pool once more.

        Args:
            slots: batch size.
            circuit_inputs: every input signal by name, as `RollupState.prove_inputs` gives them.

        Raises:
            UnknownBatchSize: no artefacts for this size.
            WitnessRefused: the inputs are no valid batch.
            ProverFailed: both attempts came to nothing.
            ArtifactsMissing, ArtifactsDiffer: a worker of the fleet has no such circuit, or another one.
            SchedulerUnavailable: the fleet is gone.
        """
        artifacts, inputs = self._known(slots), dict(circuit_inputs)
        reason = ""
        for _ in range(ATTEMPTS):
            pool, answer = self._submit(prove, artifacts, inputs)
            try:
                proof = answer.result(self._engine.timeout_s)
            except self._engine.lost:
                self._discard(pool)
                reason = "the worker died"
                continue
            except TimeoutError:
                answer.cancel()
                raise ProverFailed(
                    artifacts.circuit, f"no answer within {self._engine.timeout_s} s"
                ) from None
            if _holds(artifacts, proof, inputs):
                return cast(Proof, proof)
            reason = "the worker's proof does not verify"
        raise ProverFailed(artifacts.circuit, reason)

    def warm_up(self, slots: int) -> None:
        """Have a worker load the keys of one size now, without waiting for it: loading takes seconds.

        Raises:
            UnknownBatchSize: no artefacts for this size.
        """
        self._submit(load, self._known(slots))

    def close(self) -> None:
        """Stop the workers of the local pool, or leave the fleet."""
        if self._pool is not None:
            self._engine.stop(self._pool)

    def __enter__(self) -> Prover:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known(self, slots: int) -> Artifacts:
        if slots not in self.artifacts:
            raise UnknownBatchSize(slots, self.sizes)
        return self.artifacts[slots]

    def _submit(
        self, task: Callable[..., Any], artifacts: Artifacts, *arguments: Any
    ) -> tuple[Executor, Any]:
        """The pool that took the job, and the job's future."""
        directory = None if self._engine.remote else self._directory
        job = Job(directory, artifacts.circuit, artifacts.circuit_hash, artifacts.key_hash)
        while True:
            with self._lock:  # else another thread could close the pool between these lines
                pool = self._pool = self._pool or self._engine.start()
                try:
                    return pool, pool.submit(task, job, *arguments)
                except self._engine.lost:  # broken while idle: the job has not been tried yet
                    self._pool = None

    def _discard(self, broken: Executor) -> None:
        """Closes a pool that lost a job, unless another thread has done so; the next job opens a new one."""
        with self._lock:
            if self._pool is broken:
                self._pool = None
                self._engine.stop(broken)


def prove_once(directory: Path, circuit: int | str, circuit_inputs: Mapping[str, Any]) -> Proof:
    """One proof in this process, for programs that make no second one.

    Args:
        directory: folder with the circuits.
        circuit: a batch size, or a circuit's name such as "exit".
        circuit_inputs: every input signal by name.

    Raises:
        ArtifactsMissing: the circuit was not built.
        WitnessRefused: the inputs satisfy no witness.
        ProverFailed: the proof does not verify: key and circuit do not belong together.
    """
    artifacts, inputs = Artifacts.load(directory, circuit), dict(circuit_inputs)
    job = Job(Path(directory), artifacts.circuit, artifacts.circuit_hash, artifacts.key_hash)
    proof = prove(job, inputs)
    if not _holds(artifacts, proof, inputs):
        raise ProverFailed(artifacts.circuit, "the proof does not verify")
    return proof


def _holds(artifacts: Artifacts, answer: object, inputs: dict[str, Any]) -> bool:
    """True if this is a proof for the public inputs that were asked for, by the key that the contract has."""
    if not isinstance(answer, Proof) or not all(isinstance(word, int) for word in answer.words):
        return False
    return verify_proof(artifacts.verifying_key, answer.words, artifacts.public_inputs(inputs))
