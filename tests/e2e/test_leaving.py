"""The operator is gone for good, and everybody gets all the money out, from the chain alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import openai
from support.anvil import circuits
from support.auditing import run_audit
from support.gateway import BIN, router, run
from support.leaving import pass_time, run_exit, save_key
from support.operator import Operator, operating
from support.stack import SERVICE_DEADLINE_S, VIBES, Stack, Wallet

START_BASE, DEPOSIT_BASE = 20 * VIBES, 5 * VIBES
NAMES = ("pending", "topped-up", "unserved", "new-key", "charged", "served")


def settle_all(environment: dict[str, str]) -> None:
    """Runs the bridge until nothing is left to settle."""
    while json.loads(run(environment, BIN / "vibes", "settle", "--once", "--json")) is not None:
        pass


def call_three_times(operator: Operator, environment: dict[str, str], base_url: str, wallet: Wallet) -> None:
    """Three paid calls through the router."""
    api_key = run(environment, BIN / "vibes-router", "keys", "create", "--account", wallet.idx).strip()
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
    ceiling = wallet.ceiling(3 * VIBES).to_json()
    accepted = httpx.post(f"{base_url}/account/ceiling", content=ceiling, headers=headers)
    assert accepted.status_code == 200, accepted.text
    client = openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0)
    for question in ("What is a ceiling?", "What is a receipt?", "What is a batch?"):
        client.chat.completions.create(model="pithy-1", messages=[{"role": "user", "content": question}])


def live(operator: Operator, receipts: Path) -> dict[str, Wallet]:
    """A life with the operator, which ends in the middle of everything; returns the users."""
    stack = operator.stack
    users = {name: stack.wallet(name, START_BASE) for name in NAMES}
    pending, topped_up, unserved, new_key, charged, served = users.values()
    with router(operator) as (environment, base_url):
        for wallet in (topped_up, unserved, new_key, charged, served):
            stack.deposit(wallet, DEPOSIT_BASE)
        settle_all(environment)
        stack.request_withdrawal(served, 2 * VIBES)
        call_three_times(operator, environment, base_url, charged)
        settle_all(environment)
        run(environment, BIN / "vibes-router", "receipts", "export", "-o", receipts)

        stack.deposit(pending, 3 * VIBES)
        stack.deposit(topped_up, 2 * VIBES + 1)
        stack.request_withdrawal(unserved, 4 * VIBES)
        stack.change_key(new_key, 1)
    return users


def leave(stack: Stack, keys: Path, wallet: Wallet) -> tuple[int, dict[str, Any]]:
    """One run of the command, as its owner."""
    stack.fund_gas(wallet)
    left = run_exit(stack, "--key-file", save_key(keys, wallet.account))
    assert left.code in (0, 4), left.errors
    return left.code, left.report


def test_every_user_leaves_with_everything_after_the_operator_is_gone(stack: Stack, tmp_path: Path) -> None:
    operators, keys, receipts = tmp_path / "operator", tmp_path / "keys", tmp_path / "receipts.jsonl"
    operators.mkdir()
    keys.mkdir()
    with operating(stack, operators, circuits()) as operator:
        users = live(operator, receipts)
    shutil.rmtree(operators)  # router and bridge have ended; with this their databases are gone too

    exported = [json.loads(line)["receipt"] for line in receipts.read_text().splitlines()]
    spent_base = sum(int(receipt["chargeBase"]) for receipt in exported)
    assert spent_base > 0
    first = {name: leave(stack, keys, wallet) for name, wallet in users.items()}
    assert {name: [call["function"] for call in report["sent"]] for name, (_, report) in first.items()} == {
        "pending": ["announceCancelDeposit", "requestWithdrawal"],
        "topped-up": ["announceCancelDeposit", "requestWithdrawal"],
        "unserved": [],
        "new-key": ["requestWithdrawal"],
        "charged": ["requestWithdrawal"],
        "served": ["withdraw", "requestWithdrawal"],
    }
    assert {code for code, _ in first.values()} == {4}

    pass_time(stack, SERVICE_DEADLINE_S + 1)
    second = {name: leave(stack, keys, wallet) for name, wallet in users.items() if name != "charged"}
    frozen = ["freeze", "exit"]
    assert {name: [call["function"] for call in report["sent"]] for name, (_, report) in second.items()} == {
        "pending": ["cancelDeposit", "withdraw"],
        "topped-up": ["freeze", "withdraw", "exit"],
        "unserved": frozen,
        "new-key": frozen,
        "served": frozen,
    }
    assert {code for code, _ in second.values()} == {0}

    # one as a program of its own, with nothing of the operator's in its environment; a stranger pays the gas
    payer = save_key(keys, stack.relayer)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VIBES_")}
    command = [
        BIN / "vibes", "exit", "--rpc", stack.url, "--settlement", stack.settlement.address,
        "--circuits", circuits(), "--owner", users["charged"].address, "--key-file", payer,
    ]  # fmt: skip
    ended = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "done: nothing is left in the contract")

    for name, wallet in users.items():
        charges_base = spent_base if name == "charged" else 0
        assert stack.token.functions.balanceOf(wallet.address).call() == START_BASE - charges_base, name
        code, report = leave(stack, keys, wallet)
        assert (code, report["state"], report["sent"]) == (0, "done", [])

    found = run_audit(stack.url, stack.settlement.address, receipts, "--json")
    assert found.code == 0, found.output
    liabilities, held_base = found.report["totals"]["liabilities"], found.report["totals"]["held"]
    assert [liabilities[part] for part in ("balances", "pending_deposits", "withdrawable")] == [0, 0, 0]
    # what is left is the partners', the operator's and the pool's: what was charged, less what was burned
    assert sum(liabilities.values()) == held_base == spent_base - spent_base * 500 // 10_000
    assert found.report["accounts"] == {"unopened": 1, "open": 0, "frozen": 0, "exited": 5}
