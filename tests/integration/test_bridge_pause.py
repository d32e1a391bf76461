"""`vibes settle --once` while the guardian has paused the contract: it says so, ends, and sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES

from bridge.cli import main
from bridge.errors import SettlementPaused
from bridge.pipeline import Pipeline
from bridge.store import open_store


@pytest.fixture
def funded(operator: Operator) -> Operator:
    """An operator with one deposit to settle."""
    operator.stack.deposit(operator.stack.wallet("alice", 10 * VIBES), 4 * VIBES)
    return operator


def pause(operator: Operator) -> int:
    """Number of the block in which the guardian pauses."""
    stack = operator.stack
    return stack.send(stack.guardian, stack.settlement.functions.pause())["blockNumber"]


def unpause(operator: Operator) -> None:
    operator.stack.send(operator.stack.guardian, operator.stack.settlement.functions.unpause())


def settle(operator: Operator, *arguments: str) -> Result:
    runner = CliRunner(mix_stderr=False)
    return runner.invoke(main, ["settle", "--once", *arguments], env=operator.environment)


def sent(operator: Operator) -> int:
    """Transactions of the operator's account, those that wait in the pool included."""
    web3 = operator.stack.web3
    return web3.eth.get_transaction_count(operator.stack.operator.address, "pending")


def test_it_says_since_when_and_who_can_end_it(funded: Operator) -> None:
    stack, before = funded.stack, sent(funded)
    pause(funded)
    unpause(funded)
    block = pause(funded)
    pause(funded)
    since_s = stack.web3.eth.get_block(block)["timestamp"]
    told = settle(funded, "--json")
    assert told.exit_code == 6
    assert json.loads(told.stdout) == {
        "paused": {"guardian": stack.guardian.address, "block_number": block, "since_s": since_s}
    }
    (line,) = [line for line in told.stderr.splitlines() if line.startswith("vibes: ")]
    assert f"paused in block {block} at 20" in line
    assert f"{stack.guardian.address} has called unpause()" in line
    assert settle(funded).stdout == ""
    assert (sent(funded), open_store(funded.settings.store_url).batches()) == (before, [])
    unpause(funded)
    assert settle(funded).exit_code == 0
    assert sent(funded) == before + 1


def paused_once_proved(pipeline: Pipeline, operator: Operator) -> None:
    assert pipeline._seal(pipeline.sync()) is not None
    pipeline._prove()
    pipeline.wait_for_proof(60)
    pause(operator)


def paused_once_sent(pipeline: Pipeline, operator: Operator) -> None:
    operator.stack.anvil.rpc("evm_setAutomine", False)
    pipeline.turn()
    pipeline.wait_for_proof(60)
    pipeline.turn()
    (hung,) = open_store(operator.settings.store_url).attempts(1)
    operator.stack.anvil.rpc("anvil_dropTransaction", hung.tx_hash)
    operator.stack.anvil.rpc("evm_setAutomine", True)
    pause(operator)


@pytest.mark.parametrize("begun", [paused_once_proved, paused_once_sent])
def test_a_batch_under_way_waits_for_the_next_run(
    funded: Operator, begun: Callable[[Pipeline, Operator], None]
) -> None:
    with funded.pipeline() as pipeline:
        begun(pipeline, funded)
        before = sent(funded)
        with pytest.raises(SettlementPaused):
            pipeline.settle_once()
        assert sent(funded) == before
        unpause(funded)
        batch = pipeline.settle_once()
    assert batch is not None
    assert batch.number == 1


def test_a_pause_without_its_confirmations_is_known_by_the_refusal(funded: Operator) -> None:
    funded.stack.anvil.rpc("anvil_mine", hex(3))
    before = sent(funded)
    pause(funded)
    with (
        funded.pipeline(replace(funded.settings, confirmations=3)) as pipeline,
        pytest.raises(SettlementPaused) as told,
    ):
        pipeline.settle_once()
    assert (told.value.block_number, told.value.since_s) == (None, None)
    assert "was paused just now" in str(told.value)
    assert (sent(funded), open_store(funded.settings.store_url).attempts(1)) == (before, [])
