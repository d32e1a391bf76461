"""`kill -9` of the bridge at every step of a batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.store import open_store
from bridge.tables import Batch, BatchStep
from support.operator import Operator

VIBES_COMMAND = Path(sys.executable).parent / "vibes"
STEPS = list(BatchStep)
RUN_S = 120


def start(operator: Operator, **changes: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [VIBES_COMMAND, "settle", "--once"],
        env=os.environ | operator.environment | changes,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the bridge alone: its workers must notice by themselves."""
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def finish(operator: Operator) -> None:
    """Runs the bridge undisturbed until it has nothing to settle."""
    with operator.pipeline() as pipeline:
        while pipeline.settle_once() is not None:
            pass


def batch_at(operator: Operator, step: BatchStep) -> Batch:
    """Waits until batch 1 has come to a step or beyond."""
    store = open_store(operator.settings.store_url)
    deadline = time.monotonic() + RUN_S
    while time.monotonic() < deadline:
        batches = store.batches()
        if batches and STEPS.index(batches[0].step) >= STEPS.index(step):
            return batches[0]
        time.sleep(0.01)
    raise TimeoutError(step)


@contextmanager
def silent_node(operator: Operator) -> Iterator[None]:
    """The node hangs: whoever asks it waits."""
    operator.stack.anvil.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        operator.stack.anvil.process.send_signal(signal.SIGCONT)


def kill_at_sealed(operator: Operator) -> Batch:
    process = start(operator)
    batch = batch_at(operator, BatchStep.SEALED)
    kill(process)
    return batch


def kill_at_proved(operator: Operator) -> Batch:
    process = start(operator)
    batch_at(operator, BatchStep.SEALED)
    with silent_node(operator):  # it can prove, not submit
        batch = batch_at(operator, BatchStep.PROVED)
        kill(process)
    return batch


def kill_when_sent(operator: Operator) -> Batch:
    operator.stack.anvil.rpc("evm_setAutomine", False)
    process = start(operator)
    batch = batch_at(operator, BatchStep.SUBMITTED)
    while operator.stack.anvil.rpc("eth_getTransactionByHash", batch.tx_hash) is None:
        time.sleep(0.01)
    kill(process)
    operator.stack.anvil.rpc("evm_setAutomine", True)
    return batch


def kill_before_sending(operator: Operator) -> Batch:
    """As if killed between storing the signed transaction and sending it: the node never kept it."""
    batch = kill_when_sent(operator)
    operator.stack.anvil.rpc("anvil_dropTransaction", batch.tx_hash)
    return batch


def kill_when_mined(operator: Operator) -> Batch:
    process = start(operator, VIBES_CONFIRMATIONS="2")
    batch = batch_at(operator, BatchStep.SUBMITTED)
    while operator.stack.settlement.functions.batchNumber().call() == 0:
        time.sleep(0.01)
    kill(process)
    return batch
