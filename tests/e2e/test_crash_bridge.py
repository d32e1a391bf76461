"""`kill -9` of the bridge wherever it is: the next run goes on, nothing is lost or settled twice."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable

import pytest
from support.killing import (
    RUN_S,
    VIBES_COMMAND,
    finish,
    kill,
    kill_at_proved,
    kill_at_sealed,
    kill_before_sending,
    kill_when_mined,
    kill_when_sent,
    silent_node,
    start,
)
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES, Wallet

from bridge.store import open_store
from bridge.tables import Batch, BatchStep


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    """An account with a deposit and two unsettled calls."""
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(wallet, 8 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
    operator.sign_ceiling(wallet, 6 * VIBES)
    operator.charge(wallet, 1_000_001)
    operator.charge(wallet, 2_000_002, partner_id=2)
    return wallet


def assert_settled_once(operator: Operator, alice: Wallet, gross_base: int, batches: int = 1) -> None:
    settlement = operator.stack.settlement
    events = settlement.events.BatchSettled().get_logs(from_block=0)
    assert [event["args"]["batchNumber"] for event in events] == list(range(1, batches + 1))
    assert sum(event["args"]["gross"] for event in events) == gross_base
    assert settlement.functions.account(alice.idx).call()[1] == 0  # the deposit was consumed
    operator.assert_books_match_chain()


@pytest.mark.parametrize(
    ("killed_at", "step"),
    [
        (kill_at_sealed, BatchStep.SEALED),
        (kill_at_proved, BatchStep.PROVED),
        (kill_before_sending, BatchStep.SUBMITTED),
        (kill_when_sent, BatchStep.SUBMITTED),
        (kill_when_mined, BatchStep.SUBMITTED),
    ],
)
def test_killed_at_a_step_the_same_batch_is_settled_once(
    operator: Operator, alice: Wallet, killed_at: Callable[[Operator], Batch], step: BatchStep
) -> None:
    before = killed_at(operator)
    store = open_store(operator.settings.store_url)
    assert store.batch(1).step is step
    finish(operator)
    after = store.batch(1)
    assert after.step is BatchStep.FINAL
    assert (after.header, after.words, after.partner_words) == (
        before.header,
        before.words,
        before.partner_words,
    )
    assert before.proof in ((), after.proof)
    assert before.tx_hash in (None, after.tx_hash)
    assert_settled_once(operator, alice, 3_000_003)


def test_killed_at_random_moments_nothing_is_lost_or_settled_twice(operator: Operator, alice: Wallet) -> None:
    moments = random.Random(20260)
    gross_base = 3_000_003
    for _ in range(4):
        process = start(operator)
        time.sleep(moments.uniform(0.8, 6))
        kill(process)
        charge_base = moments.randrange(1, 1000)
        operator.charge(alice, charge_base)
        gross_base += charge_base
    operator.stack.deposit(alice, VIBES)
    finish(operator)
    batches = operator.stack.settlement.functions.batchNumber().call()
    assert_settled_once(operator, alice, gross_base, batches)


# -- two batches in flight


@pytest.fixture
def crowd(operator: Operator) -> list[Wallet]:
    """Eight accounts with a deposit each: two full batches."""
    wallets = [operator.stack.wallet(f"user {number}", VIBES) for number in range(8)]
    for wallet in wallets:
        operator.stack.deposit(wallet, VIBES)
    return wallets


def watch(operator: Operator, **changes: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [VIBES_COMMAND, "settle", "--watch", "--interval", "1"],
        env=os.environ | operator.environment | {"VIBES_PROVER_WORKERS": "2"} | changes,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def wait_for_steps(operator: Operator, *wanted: BatchStep) -> None:
    store = open_store(operator.settings.store_url)
    deadline = time.monotonic() + RUN_S
    while [batch.step for batch in store.batches()] != list(wanted):
        if time.monotonic() > deadline:
            raise TimeoutError(wanted)
        time.sleep(0.01)


def kill_both_sealed(operator: Operator) -> None:
    process = watch(operator)
    wait_for_steps(operator, BatchStep.SEALED, BatchStep.SEALED)
    kill(process)


def kill_both_proved(operator: Operator) -> None:
    process = watch(operator)
    wait_for_steps(operator, BatchStep.SEALED, BatchStep.SEALED)
    with silent_node(operator):
        wait_for_steps(operator, BatchStep.PROVED, BatchStep.PROVED)
        kill(process)


def kill_first_sent(operator: Operator) -> None:
    operator.stack.anvil.rpc("evm_setAutomine", False)
    process = watch(operator)
    wait_for_steps(operator, BatchStep.SUBMITTED, BatchStep.PROVED)
    kill(process)
    operator.stack.anvil.rpc("evm_setAutomine", True)


def kill_both_mined(operator: Operator) -> None:
    operator.stack.anvil.rpc("anvil_mine", hex(2))
    process = watch(operator, VIBES_CONFIRMATIONS="2")
    wait_for_steps(operator, BatchStep.SUBMITTED, BatchStep.SUBMITTED)
    while operator.stack.settlement.functions.batchNumber().call() < 2:
        time.sleep(0.01)
    kill(process)


@pytest.mark.parametrize("killed_at", [kill_both_sealed, kill_both_proved, kill_first_sent, kill_both_mined])
def test_killed_with_two_batches_in_flight_both_are_settled_once(
    operator: Operator, crowd: list[Wallet], killed_at: Callable[[Operator], None]
) -> None:
    killed_at(operator)
    store = open_store(operator.settings.store_url)
    before = store.batches()
    finish(operator)
    after = store.batches()
    assert [batch.step for batch in after] == [BatchStep.FINAL] * 2
    for old, new in zip(before, after, strict=True):
        assert (old.header, old.words) == (new.header, new.words)
        assert old.proof in ((), new.proof)
        assert old.tx_hash in (None, new.tx_hash)
    for wallet in crowd:
        assert_settled_once(operator, wallet, 0, batches=2)
