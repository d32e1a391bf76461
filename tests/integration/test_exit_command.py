"""`vibes exit` on a real chain: what it says, what it refuses, and that nobody can keep an account in."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.anvil import circuits
from support.auditing import Refused, lying_node
from support.leaving import Exited, pass_time, run_exit, save_key
from support.lies import calldata, change_calldata, change_log, is_transaction, topic
from support.settling import Scenario
from support.stack import SERVICE_DEADLINE_S, VIBES, Wallet
from web3.exceptions import ContractLogicError

from bridge.cli import main
from bridge.exit import leave
from bridge.rollup.batch import Slot

PENDING_BASE = 3 * VIBES


@pytest.fixture
def alice(scenario: Scenario) -> Iterator[Wallet]:
    """An open account with a balance and a pending deposit; what a test does is undone."""
    with scenario.settling.branch():
        stack, alice = scenario.stack, scenario.alice
        stack.fund_gas(alice)
        stack.send(stack.relayer, stack.settlement.functions.withdraw(alice.idx))
        yield scenario.alice


@pytest.fixture
def balance_base(scenario: Scenario, alice: Wallet) -> int:
    return scenario.settling.state.accounts[alice.idx].balance


def as_owner(scenario: Scenario, folder: Path, wallet: Wallet, *options: object, url: str = "") -> Exited:
    return run_exit(scenario.stack, "--key-file", save_key(folder, wallet.account), *options, url=url)


def tokens_base(scenario: Scenario, wallet: Wallet) -> int:
    return int(scenario.stack.token.functions.balanceOf(wallet.address).call())


def test_a_dry_run_says_what_would_be_sent(scenario: Scenario, alice: Wallet, balance_base: int) -> None:
    before = scenario.stack.web3.eth.block_number
    found = run_exit(scenario.stack, "--owner", alice.address, "--dry-run")
    planned = found.report["next"]
    assert (found.code, found.report["state"], found.report["status"]) == (0, "planned", "open")
    assert (found.report["balance_base"], found.report["pending_deposit_base"]) == (
        balance_base,
        PENDING_BASE,
    )
    assert (planned["function"], planned["arguments"]) == ("announceCancelDeposit", [])
    assert planned["cost_wei"] > planned["gas"] > 21_000
    assert scenario.stack.web3.eth.block_number == before
    # a wallet that keeps its key to itself can send the very call
    fields = {name: planned[name] for name in ("to", "data")}
    scenario.stack.web3.eth.call({"from": alice.address, **fields})
    stranger = scenario.stack.owner.address
    with pytest.raises(ContractLogicError):
        scenario.stack.web3.eth.call({"from": stranger, **fields})


def test_the_key_may_be_in_a_keystore(
    scenario: Scenario, alice: Wallet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystore = tmp_path / "wallet.json"
    keystore.write_text(json.dumps(alice.account.encrypt("correct horse", kdf="pbkdf2", iterations=10)))
    monkeypatch.setenv("VIBES_EXIT_PASSWORD", "correct horse")
    assert run_exit(scenario.stack, "--key-file", keystore, "--dry-run").report["owner"] == alice.address
    monkeypatch.setenv("VIBES_EXIT_PASSWORD", "wrong")
    refused = run_exit(scenario.stack, "--key-file", keystore, "--dry-run")
    assert (refused.code, "the password is wrong" in refused.report["error"]) == (2, True)


def test_a_key_that_others_can_read_is_not_used(scenario: Scenario, alice: Wallet, tmp_path: Path) -> None:
    file = save_key(tmp_path, alice.account)
    file.chmod(0o644)
    refused = run_exit(scenario.stack, "--key-file", file, "--dry-run")
    assert (refused.code, "chmod 600" in refused.report["error"]) == (2, True)


def test_an_account_frozen_long_ago_leaves_whatever_the_operator_does(
    scenario: Scenario, alice: Wallet, balance_base: int, tmp_path: Path
) -> None:
    settling, stack, had_base = scenario.settling, scenario.stack, tokens_base(scenario, alice)
    asked = as_owner(scenario, tmp_path, alice)
    requests = ["announceCancelDeposit", "requestWithdrawal"]
    assert (asked.code, asked.sent, asked.report["state"]) == (4, requests, "waiting")
    again = as_owner(scenario, tmp_path, alice)  # nothing is asked twice
    assert (again.code, again.sent) == (4, [])
    assert again.report["waiting_until_s"] == asked.report["waiting_until_s"]
    pass_time(stack, SERVICE_DEADLINE_S + 1)
    stack.send(stack.relayer, stack.settlement.functions.freeze(alice.idx))
    # the root moves on: the proof has to be for the one that the freeze kept
    settling.open = []
    settling.settle(Slot(scenario.bob.idx, reward=1))
    left = as_owner(scenario, tmp_path, alice)
    assert (left.code, left.sent, left.report["status"]) == (0, ["withdraw", "exit"], "exited")
    assert left.report["paid_base"] == balance_base + PENDING_BASE
    assert tokens_base(scenario, alice) == had_base + balance_base + PENDING_BASE
    assert as_owner(scenario, tmp_path, alice).sent == []


def test_waiting_goes_through_the_deadline(
    scenario: Scenario, alice: Wallet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave, "LONGEST_NAP_S", 0.1)
    stack, found = scenario.stack, []
    thread = threading.Thread(
        target=lambda: found.append(as_owner(scenario, tmp_path, alice, "--wait")), daemon=True
    )
    thread.start()
    until = time.monotonic() + 60
    while not stack.settlement.functions.account(alice.idx).call()[2]:
        assert time.monotonic() < until
        time.sleep(0.05)
    pass_time(stack, SERVICE_DEADLINE_S + 1)
    thread.join(120)
    requests = ["announceCancelDeposit", "requestWithdrawal"]
    assert (found[0].code, found[0].sent) == (0, [*requests, "freeze", "withdraw", "exit"])


def test_an_exit_circuit_of_another_key_is_not_used(
    scenario: Scenario, alice: Wallet, tmp_path: Path
) -> None:
    stack = scenario.stack
    stack.request_withdrawal(alice, 1)
    pass_time(stack, SERVICE_DEADLINE_S + 1)
    stack.send(stack.relayer, stack.settlement.functions.freeze(alice.idx))
    other = tmp_path / "circuits"
    shutil.copytree(circuits() / "exit", other / "exit")
    shutil.copy(circuits() / "batch4" / "verifying_key.json", other / "exit")
    refused = as_owner(scenario, tmp_path, alice, "--circuits", other)
    assert (refused.code, refused.report["state"]) == (1, "failed")
    assert "another key" in refused.report["error"]
    missing = as_owner(scenario, tmp_path, alice, "--circuits", tmp_path)
    assert missing.code == 1
    assert "is missing" in missing.report["error"]


def test_a_node_that_hides_or_changes_a_batch_is_found(
    scenario: Scenario, alice: Wallet, tmp_path: Path
) -> None:
    tx_hash, call = calldata(scenario, 2)
    word = call["words"][0]
    settled = topic(scenario, "settlement", "BatchSettled")

    def missing(method: str, params: list[Any], result: Any) -> Any:
        return None if is_transaction(method, result, tx_hash) else result

    for lie, reason in (
        (change_calldata(tx_hash, (word, word + (1 << 24))), "the rebuilt tree has root"),
        (change_calldata(tx_hash, (word, word | 1 << 241)), "batch 2 cannot be read"),
        (change_log(settled, lambda log: None, 1), "batch 2 cannot be read"),
        (change_log(settled, lambda log: None, 2), "the rebuilt tree has root"),
        (missing, "batch 2 cannot be read"),
    ):
        with lying_node(scenario.stack.url, lie) as url:
            found = as_owner(scenario, tmp_path, alice, url=url)
        assert found.code == 1
        assert reason in found.report["error"]
        assert found.report["error"] in found.errors


@pytest.mark.parametrize("status", [200, 400])
def test_nodes_that_limit_ranges_are_asked_in_pieces(
    scenario: Scenario, alice: Wallet, tmp_path: Path, status: int
) -> None:
    def limited(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 5:
            raise Refused("block range too large", status)
        return result

    with lying_node(scenario.stack.url, limited) as url:
        assert as_owner(scenario, tmp_path, alice, "--dry-run", url=url).code == 0


@pytest.mark.parametrize("answer", [None, "0xzz", {}, []])
def test_a_node_that_answers_nonsense_is_told_from_a_verdict(
    scenario: Scenario, alice: Wallet, tmp_path: Path, answer: Any
) -> None:
    for broken in (
        "eth_chainId",
        "eth_call",
        "eth_getLogs",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_estimateGas",
    ):

        def garble(method: str, _: list[Any], result: Any, *, at: str = broken) -> Any:
            return answer if method == at else result

        with lying_node(scenario.stack.url, garble) as url:
            found = as_owner(scenario, tmp_path, alice, "--dry-run", url=url)
        assert found.code in (1, 3), broken
        assert found.report["state"] == "failed"


def test_a_node_that_finds_old_transactions_by_no_hash_will_do(
    scenario: Scenario, alice: Wallet, tmp_path: Path
) -> None:
    def forgetful(method: str, params: list[Any], result: Any) -> Any:
        return None if method == "eth_getTransactionByHash" else result

    with lying_node(scenario.stack.url, forgetful) as url:
        assert as_owner(scenario, tmp_path, alice, "--dry-run", url=url).code == 0


def test_a_node_without_pending_blocks_will_do(scenario: Scenario, alice: Wallet, tmp_path: Path) -> None:
    def no_pending(method: str, params: list[Any], result: Any) -> Any:
        return None if method == "eth_getBlockByNumber" and params[0] == "pending" else result

    with lying_node(scenario.stack.url, no_pending) as url:
        assert as_owner(scenario, tmp_path, alice, "--dry-run", url=url).code == 0


def test_only_the_owner_asks_and_only_a_key_sends(scenario: Scenario, alice: Wallet, tmp_path: Path) -> None:
    before = scenario.stack.web3.eth.block_number
    payer = save_key(tmp_path, scenario.stack.relayer)
    foreign = run_exit(scenario.stack, "--owner", alice.address, "--key-file", payer)
    assert foreign.code == 2
    assert f"key file of {alice.address}" in foreign.report["error"]
    keyless = run_exit(scenario.stack, "--owner", alice.address)
    assert keyless.code == 2
    assert "--key-file" in keyless.report["error"]
    assert run_exit(scenario.stack).code == 2
    assert scenario.stack.web3.eth.block_number == before


def test_what_cannot_be_done_is_said(scenario: Scenario, alice: Wallet, tmp_path: Path) -> None:
    stranger = as_owner(scenario, tmp_path, Wallet(scenario.stack.relayer, 1, 1))
    assert stranger.code == 1
    assert "has no account" in stranger.report["error"]
    secret = tmp_path / "secret.key"
    secret.write_text("my hidden words")
    bad_key = run_exit(scenario.stack, "--key-file", secret)
    assert bad_key.code == 2
    assert "hidden" not in bad_key.output + bad_key.errors
    dead = as_owner(scenario, tmp_path, alice, url="http://127.0.0.1:1")
    assert (dead.code, dead.report["state"]) == (3, "failed")
    assert run_exit(scenario.stack, "--owner", "0x12").code == 2


def test_people_are_told_where_they_stand(scenario: Scenario, alice: Wallet, tmp_path: Path) -> None:
    arguments = [
        "exit", "--rpc", scenario.stack.url, "--settlement", scenario.stack.settlement.address,
        "--key-file", str(save_key(tmp_path, alice.account)), "--circuits", str(circuits()),
    ]  # fmt: skip
    planned = CliRunner(mix_stderr=False).invoke(main, [*arguments, "--dry-run"])
    assert (planned.exit_code, planned.stdout.splitlines()[-1]) == (0, "dry run: nothing was sent")
    asked = CliRunner(mix_stderr=False).invoke(main, arguments)
    lines = asked.stdout.splitlines()
    assert asked.exit_code == 4
    assert lines[0] == f"account {alice.idx} of {alice.address}: open"
    assert lines[-1].startswith("waiting until ")
    assert lines[-1].endswith("; run this again then")
