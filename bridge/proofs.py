"""Proofs under way: one thread waits for each, and stores it the moment that it is there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from bridge.batches import Batches
from bridge.chain.settlement import SettlementContract
from bridge.config import BridgeSettings
from bridge.errors import NoBatchSize, VerifierMismatch
from bridge.prover import Prover
from bridge.tables import Batch

Report = Callable[[str], None]

Key = tuple[int, int, int]


def open_prover(settings: BridgeSettings, contract: SettlementContract) -> Prover:
    """A prover for the sizes that were built and registered. Raises VerifierMismatch, NoBatchSize."""
    built = settings.built_sizes()
    registered = {size: found for size in built if (found := contract.verifier(size)) is not None}
    if not registered:
        raise NoBatchSize(tuple(built), settings.circuits_dir)
    prover = Prover(
        settings.circuits_dir,
        tuple(registered),
        contract.client.chain_id,
        workers=settings.prover_workers,
        scheduler=settings.prover_scheduler,
    )
    for size, artifacts in prover.artifacts.items():
        circuit_hash, key_hash = registered[size]
        if artifacts.circuit_hash != circuit_hash:
            raise VerifierMismatch(size, "circuit", artifacts.circuit_hash, circuit_hash)
        if artifacts.key_hash != key_hash:
            raise VerifierMismatch(size, "key", artifacts.key_hash, key_hash)
    return prover


class Proofs:
    """Proves sealed batches in parallel, in a pool that may be on other machines.

    allowed: called before a proof is stored; raises if this process may not go on.
    """

    def __init__(
        self, prover: Prover, store: Batches, workers: int, allowed: Callable[[], None], report: Report
    ) -> None:
        self._prover, self._store, self._allowed, self._report = prover, store, allowed, report
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="proof")
        self._running: dict[Key, Future[None]] = {}

    def start(self, batch: Batch) -> None:
        """Has a sealed batch proved, unless it is being proved already."""
        key = _key(batch)
        if key not in self._running:
            self._report(f"batch {batch.number}: proving")
            self._running[key] = self._threads.submit(self._prove, batch)

    def wait(self, timeout_s: float) -> None:
        """Waits until any proof is there, at most so long.

        Raises what proving raised: ProverFailed, SchedulerUnavailable, WitnessRefused, LeadershipLost. The
        batch is proved anew when it is started again.
        """
        done = wait(self._running.values(), timeout_s, return_when="FIRST_COMPLETED").done
        ended = [self._running.pop(key) for key, future in list(self._running.items()) if future in done]
        for future in ended:
            future.result()

    def await_any(self, timeout_s: float) -> None:
        """Waits until any proof is there or has failed, at most so long; the next `wait` says which."""
        wait(self._running.values(), timeout_s, return_when="FIRST_COMPLETED")

    def close(self) -> None:
        """Drops what waits for a worker and ends with what is being proved."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _prove(self, batch: Batch) -> None:
        proof = self._prover.prove(batch.size, batch.witness)
        self._allowed()
        self._store.store_proof(
            batch, proof.words, round(proof.witness_s * 1000), round(proof.prove_s * 1000)
        )
        self._report(f"batch {batch.number}: proved in {proof.witness_s + proof.prove_s:.1f} s")


def _key(batch: Batch) -> Key:
    """A number can be sealed anew with other content; the proof belongs to the content."""
    return batch.number, batch.header.new_root, batch.header.commitment
