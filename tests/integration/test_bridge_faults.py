"""What the bridge does when chain, node, store or settings are not what they should be."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.anvil import artifact
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES, Stack, Wallet, labelled_account

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract, load_abi
from bridge.cli import main
from bridge.config import read_settings
from bridge.errors import (
    BatchTaken,
    ContractReverted,
    LedgerBehindChain,
    NoContract,
    NotOperator,
    RpcUnavailable,
    SettlementFailed,
    SettlementTimeout,
    StateMismatch,
    WrongChain,
    WrongDomain,
    WrongStore,
)
from bridge.state import BatchHeader
from bridge.store import open_store
from bridge.tables import Attempt, BatchStep
from mini_llm.errors import ConfigError
from mini_llm.wallet.gas import Fees


@pytest.fixture
def alice(stack: Stack) -> Wallet:
    """A wallet with a deposit that no batch has consumed."""
    wallet = stack.wallet("alice", 10 * VIBES)
    stack.deposit(wallet, 4 * VIBES)
    return wallet


def change_event(operator: Operator, name: str, column: str, value: object) -> None:
    """Overwrites a stored event behind the bridge's back."""
    with sqlite3.connect(operator.folder / "bridge.db") as database:
        changed = database.execute(f"UPDATE event SET {column} = ? WHERE name = ?", (value, name))
        assert changed.rowcount
    database.close()


# -- chain


def test_events_wait_for_their_confirmations(operator: Operator, alice: Wallet) -> None:
    settings = replace(operator.settings, confirmations=5)
    with operator.pipeline(settings) as pipeline:
        operator.stack.anvil.rpc("anvil_mine", hex(4))
        pipeline.sync()
        assert pipeline.settle_once() is None
        operator.stack.anvil.rpc("anvil_mine", hex(1))
        pipeline.sync()
    assert open_store(settings.store_url).unmirrored_count() == 0
    names = [event.name for _, event in open_store(settings.store_url).events_after(0)]
    assert names[-3:] == ["AccountOpened", "SessionKeyRequested", "Deposited"]


def test_a_changed_slot_no_longer_leads_to_the_chains_root(operator: Operator, alice: Wallet) -> None:
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    store = open_store(operator.settings.store_url)
    settled = store.settled_batch(1)
    assert settled is not None
    args = dict(settled.args)
    args["words"] = [args["words"][0] - (1 << 132), *args["words"][1:]]  # one unit less deposited
    change_event(operator, "BatchSettled", "args", json.dumps(args))
    with operator.pipeline() as pipeline, pytest.raises(StateMismatch) as caught:
        pipeline.sync()
    assert caught.value.batch_number == 1
    assert caught.value.expected == settled.args["newRoot"]


def test_a_missed_batch_shows_in_the_root(operator: Operator, alice: Wallet) -> None:
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    change_event(operator, "BatchSettled", "name", "Unheard")
    with operator.pipeline() as pipeline, pytest.raises(StateMismatch):
        pipeline.sync()


def test_a_reverting_batch_is_shown_with_the_contracts_own_error(operator: Operator) -> None:
    stack = operator.stack
    contract = SettlementContract(ChainClient(stack.url, 5), stack.settlement.address)
    header = BatchHeader(1, 2, 3, "0x" + "00" * 32, 0)
    with pytest.raises(ContractReverted) as caught:
        contract.settle_call(stack.operator.address, header, [0] * 8, [], [0] * 8)
    root = stack.settlement.functions.stateRoot().call()
    assert (caught.value.error, caught.value.values) == ("StateMismatch", (root, 1))
    with pytest.raises(ContractReverted) as caught:
        contract.settle_call(stack.owner.address, header, [0] * 8, [], [0] * 8)
    assert caught.value.error == "NotOperator"


# -- the operator's transaction


def stuck_batch(operator: Operator) -> str:
    """Sends a batch while nobody mines and returns its transaction's hash."""
    operator.stack.anvil.rpc("evm_setAutomine", False)
    impatient = replace(operator.settings, mining_timeout_s=0)
    with operator.pipeline(impatient) as pipeline, pytest.raises(SettlementTimeout) as caught:
        pipeline.settle_once()
    return caught.value.tx_hash


def test_a_dropped_transaction_is_sent_again_byte_for_byte(operator: Operator, alice: Wallet) -> None:
    tx_hash = stuck_batch(operator)
    operator.stack.anvil.rpc("anvil_dropTransaction", tx_hash)
    operator.stack.anvil.rpc("evm_setAutomine", True)
    with operator.pipeline() as pipeline:
        batch = pipeline.settle_once()
    assert batch is not None
    assert (batch.number, batch.step, batch.tx_hash) == (1, BatchStep.FINAL, tx_hash)
    assert operator.stack.settlement.functions.batchNumber().call() == 1


def test_a_taken_nonce_makes_the_bridge_sign_the_same_batch_anew(operator: Operator, alice: Wallet) -> None:
    stack = operator.stack
    tx_hash = stuck_batch(operator)
    proof = open_store(operator.settings.store_url).batch(1).proof
    stack.anvil.rpc("anvil_dropTransaction", tx_hash)
    stack.anvil.rpc("evm_setAutomine", True)
    stack.send(stack.operator, stack.token.functions.approve(stack.owner.address, 1))
    with operator.pipeline() as pipeline:
        batch = pipeline.settle_once()
    assert batch is not None
    assert batch.step is BatchStep.FINAL
    assert batch.tx_hash != tx_hash
    assert batch.proof == proof
    assert stack.settlement.functions.batchNumber().call() == 1


def test_a_batch_that_reverts_on_chain_is_said_to_and_can_be_sent_again(
    operator: Operator, alice: Wallet
) -> None:
    """The timelock takes the operator's role away while the batch waits, and gives it back."""
    stack = operator.stack
    stuck_batch(operator)
    for new_operator in (stack.relayer, stack.operator):
        # Mined before the batch, whose fees are lower.
        fees = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**11}
        stack.send_as_timelock(stack.settlement.functions.setOperator(new_operator.address), fees)
        stack.anvil.rpc("evm_mine")
    stack.anvil.rpc("evm_setAutomine", True)
    with operator.pipeline() as pipeline:
        with pytest.raises(SettlementFailed) as caught:
            pipeline.settle_once()
        assert caught.value.batch_number == 1
        batch = pipeline.settle_once()
    assert batch is not None
    assert (batch.step, stack.settlement.functions.batchNumber().call()) == (BatchStep.FINAL, 1)


def test_a_batch_that_another_bridge_settled_first_is_given_up(operator: Operator, alice: Wallet) -> None:
    """Two stores for one operator: the slower one's batch 1 has no place any more, its work is redone."""
    stack = operator.stack
    second = replace(operator.settings, store_url=f"sqlite:///{operator.folder}/second.db")
    tx_hash = stuck_batch(operator)
    stack.anvil.rpc("anvil_dropTransaction", tx_hash)
    stack.anvil.rpc("evm_setAutomine", True)
    stack.deposit(alice, VIBES)  # so that the other bridge's batch has other content
    with operator.pipeline(second) as pipeline:
        assert pipeline.settle_once() is not None
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is None
    assert stack.settlement.functions.batchNumber().call() == 1
    assert open_store(operator.settings.store_url).batches() == []
    operator.assert_books_match_chain()


# -- store and ledger


def test_a_batch_number_is_sealed_once_and_keeps_its_first_proof(operator: Operator, alice: Wallet) -> None:
    with operator.pipeline() as pipeline:
        settled = pipeline.settle_once()
    assert settled is not None
    store = open_store(operator.settings.store_url)
    with pytest.raises(BatchTaken):
        store.seal(settled)
    store.store_proof(settled, [9] * 8, 1, 1)
    store.add_attempt(1, Attempt("0x00", "0x00", 7, Fees(1, 1), 0))
    assert store.batch(1) == settled


def test_a_ledger_that_lost_charges_is_found_out(operator: Operator, alice: Wallet, tmp_path: Path) -> None:
    with operator.pipeline() as pipeline:
        pipeline.sync()
        operator.sign_ceiling(alice, 2 * VIBES)
        operator.charge(alice, 1_000_000)
        assert pipeline.settle_once() is not None
    with sqlite3.connect(operator.folder / "ledger.db") as ledger:
        ledger.execute("UPDATE account SET spent_base = 0, settled_spent_base = 0")
    ledger.close()
    operator.stack.deposit(alice, VIBES)
    with operator.pipeline() as pipeline, pytest.raises(LedgerBehindChain) as caught:
        pipeline.settle_once()
    assert (caught.value.idx, caught.value.settled_base, caught.value.posted_base) == (1, 1_000_000, 0)


def test_a_store_serves_one_deployment(operator: Operator, alice: Wallet) -> None:
    with operator.pipeline() as pipeline:
        pipeline.sync()
    other = Stack(operator.stack.anvil)
    with (
        pytest.raises(WrongStore),
        operator.pipeline(replace(operator.settings, settlement=other.settlement.address)),
    ):
        pass


# -- settings and node


def test_wrong_node_contract_or_key_is_refused_before_anything_is_done(operator: Operator) -> None:
    settings = operator.settings
    cases = [
        (replace(settings, chain_id=1), WrongChain),
        (replace(settings, settlement=labelled_account("nobody").address), NoContract),
        (replace(settings, rpc_url="http://127.0.0.1:9"), RpcUnavailable),
    ]
    for wrong, error in cases:
        with pytest.raises(error), operator.pipeline(wrong):
            pass
    key_file = operator.folder / "other.key"
    key_file.write_text(bytes(operator.stack.owner.key).hex())
    with pytest.raises(NotOperator), operator.pipeline(replace(settings, operator_key_file=key_file)):
        pass


def test_a_contract_moved_to_another_chain_id_is_refused(operator: Operator) -> None:
    operator.stack.anvil.rpc("anvil_setChainId", 31338)
    with pytest.raises(WrongDomain), operator.pipeline(replace(operator.settings, chain_id=31338)):
        pass


def test_settings_name_what_is_wrong_and_never_show_the_key(tmp_path: Path) -> None:
    good = {
        "VIBES_RPC_URL": "http://127.0.0.1:8545",
        "VIBES_SETTLEMENT": "0x" + "11" * 20,
        "VIBES_LEDGER_URL": "sqlite://",
        "VIBES_BRIDGE_URL": "sqlite://",
    }
    for name, value in [
        ("VIBES_RPC_URL", ""),
        ("VIBES_RPC_URL", "ws://x"),
        ("VIBES_SETTLEMENT", "0x12"),
        ("VIBES_CONFIRMATIONS", "-1"),
        ("VIBES_START_BLOCK", "x"),
        ("VIBES_LEDGER_URL", ""),
    ]:
        with pytest.raises(ConfigError) as caught:
            read_settings(good | {name: value})
        assert caught.value.where == name
    bad_key = tmp_path / "key"
    bad_key.write_text("0x" + "ab" * 31)
    with pytest.raises(ConfigError) as caught:
        read_settings(good | {"VIBES_OPERATOR_KEY_FILE": str(bad_key)}).operator_key()
    assert "abab" not in str(caught.value)


def test_the_command_line_has_documented_exit_codes(
    operator: Operator, alice: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str, **changes: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, arguments, env=operator.environment | changes)
        return result.exit_code, result.output

    code, output = run("status", "--json")
    assert (code, "bridge.db, which does not exist" in output) == (2, True)
    assert not (operator.folder / "bridge.db").exists()
    assert run("settle")[0] == 2
    assert run("settle", "--once", VIBES_SETTLEMENT="0x1")[0] == 2
    assert run("settle", "--once", VIBES_RPC_URL="http://127.0.0.1:9")[0] == 3
    assert run("settle", "--once", VIBES_CHAIN_ID="1")[0] == 1
    code, output = run("settle", "--once", "--json")
    assert code == 0
    assert json.loads(output.splitlines()[-1])["number"] == 1
    code, output = run("settle", "--once")
    assert (code, output.splitlines()[-1]) == (0, "nothing to settle")
    code, output = run("status", "--json")
    found = json.loads(output)
    assert (found["accounts"], found["batches"], found["unsettled_base"]) == (1, 1, 0)
    monkeypatch.chdir("/")
    monkeypatch.setattr("bridge.commands.up.__file__", "/nowhere/bridge/commands/up.py")
    code, output = run("up")
    assert code == 1
    assert "checkout" in output


def test_committed_abis_are_the_compilers() -> None:
    for name in ("Settlement", "VibesToken", "PartnerRegistry"):
        assert list(load_abi(name)) == artifact(name)[0]
    assert list(load_abi("Verifier")) == artifact("IVerifier")[0]


def test_reading_an_event_twice_stores_it_once(operator: Operator, alice: Wallet) -> None:
    with operator.pipeline() as pipeline:
        pipeline.sync()
    store = open_store(operator.settings.store_url)
    events = [event for _, event in store.events_after(0)]
    block, block_hash = store.indexed()
    store.add_events([replace(event, seen_at=int(time.time()) + 9) for event in events], block, block_hash)
    assert [event for _, event in store.events_after(0)] == events
