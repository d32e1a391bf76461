"""Proofs by several real processes, here and on a fleet: some die, some lie; no batch is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.batches import authorise, opened
from support.fleet import Fleet, running_fleet

from bridge.groth16 import EXIT_SLOTS, verify_proof
from bridge.prover import Prover, ProverFailed
from bridge.proving import engines
from bridge.proving.artifacts import ArtifactsDiffer, ArtifactsMissing
from bridge.proving.engines import FleetNotInstalled, SchedulerUnavailable
from bridge.proving.worker import WITNESS_PREFIX, Proof
from bridge.rollup.batch import Slot
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import BatchWitness
from bridge.witness import WitnessRefused

CHAIN = 31337

Inputs = Mapping[str, Any]


@pytest.fixture(scope="module")
def batches() -> list[BatchWitness]:
    """Two batches in a row, as a bridge seals them: the second starts from the first one's root."""
    state = opened(1)
    return [state.prove_inputs(n, [Slot(1, charge=100)], {1: authorise(1)}, 4) for n in (1, 2)]


@pytest.fixture(scope="module")
def exits() -> list[Inputs]:
    """Two accounts to exit: the smallest proofs there are."""
    state = opened(1, 2)
    return [exit_inputs(state.tree, idx, state.accounts[idx]).circuit_inputs for idx in (1, 2)]


@pytest.fixture
def fleet(tmp_path: Path, circuits_dir: Path) -> Iterator[Fleet]:
    with running_fleet(tmp_path, circuits_dir) as running:
        yield running


def proving(folder: Path) -> set[int]:
    """Processes that are in the middle of a proof."""
    return {int(path.name.split("-")[2]) for path in folder.glob(f"{WITNESS_PREFIX}*")}


def wait_until_proving(folder: Path, count: int) -> set[int]:
    """The processes that prove at the same time."""
    deadline = time.monotonic() + 120
    while len(found := proving(folder)) < count:
        assert time.monotonic() < deadline, f"{found} are proving, not {count}"
        time.sleep(0.005)
    return found


def prove_with_one_killed(prover: Prover, batches: list[BatchWitness], folder: Path) -> None:
    """Both batches at once, on two workers; one of them is killed while it proves."""
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(prover.prove, 4, batch.circuit_inputs) for batch in batches]
        workers = wait_until_proving(folder, 2)
        os.kill(min(workers), signal.SIGKILL)
        proofs = [answer.result() for answer in answers]
    check(prover, proofs, batches)


def check(prover: Prover, proofs: list[Proof], batches: list[BatchWitness]) -> None:
    """Each proof is of its own batch."""
    key = prover.artifacts[4].verifying_key
    for proof, batch in zip(proofs, batches, strict=True):
        assert verify_proof(key, proof.words, batch.public)
    assert not verify_proof(key, proofs[0].words, batches[1].public)


def test_two_processes_and_one_killed(
    circuits_dir: Path, batches: list[BatchWitness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Prover(circuits_dir, [4], CHAIN, workers=2) as prover:
        prove_with_one_killed(prover, batches, tmp_path)


def test_a_worker_killed_while_idle_is_replaced(circuits_dir: Path, exits: list[Inputs]) -> None:
    with Prover(circuits_dir, [EXIT_SLOTS], CHAIN) as prover:
        prover.warm_up(EXIT_SLOTS)
        (worker,) = prover._pool._processes  # type: ignore[attr-defined]
        os.kill(worker, signal.SIGKILL)
        assert len(prover.prove(EXIT_SLOTS, exits[0]).words) == 8


def test_two_fleet_workers_and_one_killed(
    fleet: Fleet, circuits_dir: Path, batches: list[BatchWitness], tmp_path: Path
) -> None:
    workers = {fleet.add_worker(), fleet.add_worker()}
    with Prover(circuits_dir, [4], CHAIN, scheduler=fleet.address) as prover:
        prover._pool._client.wait_for_workers(2)  # type: ignore[attr-defined]
        prove_with_one_killed(prover, batches, tmp_path)
        with pytest.raises(WitnessRefused, match="input y holds -1"):  # errors keep their type on the way
            prover.prove(4, batches[0].circuit_inputs | {"y": -1})
    running = {pid for pid in workers if fleet.processes[pid].poll() is None}
    assert len(running) == 1, "leaving the fleet does not stop its workers"


def test_a_scheduler_that_was_lost_is_found_again(
    fleet: Fleet, circuits_dir: Path, exits: list[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CONNECT_TIMEOUT_S", 1)
    inputs = exits[0]
    worker = fleet.add_worker()
    with Prover(circuits_dir, [EXIT_SLOTS], CHAIN, scheduler=fleet.address) as prover:
        assert len(prover.prove(EXIT_SLOTS, inputs).words) == 8
        for process in (fleet.scheduler, worker):
            fleet.processes[process].kill()
            fleet.processes[process].wait()
        for _ in range(2):
            with pytest.raises(SchedulerUnavailable):
                prover.prove(EXIT_SLOTS, inputs)
        fleet.start_scheduler()
        fleet.add_worker()
        assert len(prover.prove(EXIT_SLOTS, inputs).words) == 8


LYING = """
import bridge.proving.worker as worker
honest = worker.prove
def prove(job, inputs):
    proof = honest(job, inputs)
    return worker.Proof((proof.words[0] + 1, *proof.words[1:]), 0, 0)
worker.prove = prove
"""


def test_a_fleet_worker_with_a_wrong_proof_is_caught(
    fleet: Fleet, circuits_dir: Path, exits: list[Inputs], tmp_path: Path
) -> None:
    (tmp_path / "lying.py").write_text(LYING)
    fleet.add_worker("--preload", "lying")
    with (
        Prover(circuits_dir, [EXIT_SLOTS], CHAIN, scheduler=fleet.address) as prover,
        pytest.raises(ProverFailed, match="exit failed: the worker's proof does not verify"),
    ):
        prover.prove(EXIT_SLOTS, exits[0])


def test_a_fleet_worker_with_another_key_says_so(
    fleet: Fleet, circuits_dir: Path, batches: list[BatchWitness], tmp_path: Path
) -> None:
    fleet.circuits_dir = tmp_path / "circuits"
    fleet.add_worker()
    with Prover(circuits_dir, [4], CHAIN, scheduler=fleet.address) as prover:
        with pytest.raises(ArtifactsMissing):
            prover.prove(4, batches[0].circuit_inputs)
        shutil.copytree(circuits_dir / "batch4", fleet.circuits_dir / "batch4")
        manifest = fleet.circuits_dir / "batch4" / "manifest.json"
        wanted = prover.artifacts[4].key_hash
        manifest.write_text(manifest.read_text().replace(wanted, "00" * 32))
        with pytest.raises(ArtifactsDiffer) as refusal:
            prover.prove(4, batches[0].circuit_inputs)
    assert (refusal.value.expected, refusal.value.actual) == (wanted, "00" * 32)


def test_no_scheduler_and_no_worker_are_told(
    fleet: Fleet, circuits_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "JOIN_TIMEOUT_S", 1)
    with pytest.raises(SchedulerUnavailable, match="no worker has joined"):
        Prover(circuits_dir, [4], CHAIN, scheduler=fleet.address)
    monkeypatch.setattr(engines, "CONNECT_TIMEOUT_S", 1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        for address in (nobody, "nonsense://x"):
            with pytest.raises(SchedulerUnavailable, match="no scheduler answers") as refusal:
                Prover(circuits_dir, [4], CHAIN, scheduler=address)
            assert refusal.value.address == address


def test_without_the_extra_only_the_fleet_is_missing(
    circuits_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    Prover(circuits_dir, [4], CHAIN).close()
    with pytest.raises(FleetNotInstalled, match=r"vibes-rails\[fleet\]"):
        Prover(circuits_dir, [4], CHAIN, scheduler="tcp://127.0.0.1:1")


class Scripted(Executor):
    """Gives prepared answers, one a job; an exception is raised by the job."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def submit(self, *_: Any, **__: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        elif answer is not None:
            future.set_result(answer)
        return future


@pytest.fixture
def scripted(circuits_dir: Path) -> Iterator[Any]:
    """A prover whose pool gives the answers that the test wants."""
    with Prover(circuits_dir, [EXIT_SLOTS], CHAIN) as prover:
        prover.close()

        def answering(*answers: Any) -> Prover:
            pool: Executor = Scripted(*answers)
            prover._pool, pools = pool, prover._engine
            prover._engine = replace(
                pools, start=lambda: pool, stop=lambda _: None, lost=(ConnectionError,), timeout_s=1
            )
            return prover

        yield answering


def test_a_wrong_answer_is_asked_for_once_more(
    scripted: Any, exit_prover: Prover, exits: list[Inputs]
) -> None:
    good, other = (exit_prover.prove(EXIT_SLOTS, wanted) for wanted in exits)
    for wrong in (other, 42, replace(good, words=good.words[:7]), replace(good, words=("1",) * 8)):
        assert scripted(wrong, good).prove(EXIT_SLOTS, exits[0]) == good
        with pytest.raises(ProverFailed, match="does not verify"):
            scripted(wrong, wrong, good).prove(EXIT_SLOTS, exits[0])
    assert scripted(ConnectionError(), good).prove(EXIT_SLOTS, exits[0]) == good
    with pytest.raises(ProverFailed, match="the worker died"):
        scripted(ConnectionError(), ConnectionError(), good).prove(EXIT_SLOTS, exits[0])
    with pytest.raises(ProverFailed, match="no answer within 1 s"):
        scripted().prove(EXIT_SLOTS, exits[0])


@pytest.fixture(scope="module")
def exit_prover(circuits_dir: Path) -> Iterator[Prover]:
    with Prover(circuits_dir, [EXIT_SLOTS], CHAIN) as prover:
        yield prover
