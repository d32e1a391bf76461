"""`vibes-router` as its operator runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from router_world import World

from mini_llm.wallet.receipt import SignedReceipt
from router.auth import CACHE_S
from router.ledger import read


def run(world: World, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "router.cli", *arguments]
    return subprocess.run(
        command, env=world.router.environ | environ, capture_output=True, text=True, timeout=60, check=False
    )


def status_of(world: World, api_key: str) -> int:
    headers = {"authorization": f"Bearer {api_key}"}
    return httpx.get(f"{world.router.url}/account", headers=headers).status_code


def test_help_teaches_by_example(world: World) -> None:
    text = run(world, "--help").stdout
    for lesson in ("vibes-router serve", "keys create --account 1", "curl", "receipts export -o"):
        assert lesson in text
    assert "prompt_usd_per_mtok" in run(world, "serve", "--help").stdout


def test_key_is_made_used_listed_and_revoked(world: World) -> None:
    user = world.user()
    made = json.loads(
        run(world, "keys", "create", "--account", str(user.idx), "--label", "laptop", "--json").stdout
    )
    api_key = made["api_key"]
    assert status_of(world, api_key) == 200
    listed = run(world, "keys", "list", "--account", str(user.idx), "--json").stdout
    assert api_key not in listed
    (key,) = [item for item in map(json.loads, listed.splitlines()) if item["label"] == "laptop"]
    assert run(world, "keys", "revoke", key["id"]).returncode == 0
    assert "revoked" in run(world, "keys", "list").stdout
    again = run(world, "keys", "revoke", key["id"])
    assert again.returncode == 1
    assert "no valid key" in again.stderr
    for _ in range(40):
        if status_of(world, api_key) == 401:
            return
    pytest.fail("a revoked key still works")


def test_a_key_is_changed_and_what_is_not_named_stays(world: World) -> None:
    user = world.user()
    options = ("--account", str(user.idx), "--label", "ci", "--days", "30", "--day-limit", "50000000")
    made = json.loads(run(world, "keys", "create", *options, "--model", "plain", "--json").stdout)

    def change(*arguments: str) -> dict[str, Any]:
        done = run(world, "keys", "change", made["id"], *arguments, "--json")
        assert done.returncode == 0, done.stderr
        changed: dict[str, Any] = json.loads(done.stdout)
        return changed

    before = change()
    assert (before["models"], before["day_limit_base"], before["label"]) == (["plain"], 50_000_000, "ci")
    after = change("--model", "tools", "--parallel", "3", "--scope", "chat", "--label", "build")
    kept = ("id", "account", "created_s", "expires_s", "day_limit_base", "month_limit_base")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (after["models"], after["parallel"], after["scopes"]) == (["tools"], 3, ["chat"])
    assert after["label"] == "build"

    def status(model: str) -> int:
        headers = {"authorization": f"Bearer {made['api_key']}"}
        body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
        return httpx.post(f"{world.router.url}/chat/completions", headers=headers, json=body).status_code

    deadline = time.monotonic() + 10
    while status("plain") == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (status("plain"), status("tools")) == (403, 200)
    free = change("--unlimit", "model", "--unlimit", "days", "--unlimit", "day-limit")
    assert (free["models"], free["expires_s"], free["day_limit_base"]) == (None, None, None)
    assert free["parallel"] == 3
    paced = change("--auto-day", "7000000", "--auto-month", "90000000")
    assert (paced["auto_day_base"], paced["auto_month_base"]) == (7_000_000, 90_000_000)
    assert change("--unlimit", "auto-day")["auto_day_base"] is None
    both = run(world, "keys", "change", made["id"], "--unlimit", "parallel", "--parallel", "1")
    assert both.returncode == 2
    for arguments, words in (
        (("0" * 16, "--parallel", "1"), "no valid API key"),
        ((made["id"], "--parallel", "0"), "parallel"),
    ):
        failed = run(world, "keys", "change", *arguments)
        assert failed.returncode == 1
        assert words in failed.stderr
        assert "Traceback" not in failed.stderr


def test_play_money_is_for_a_local_chain_and_a_ledger_of_its_own(
    new_world: Any, world: World, tmp_path: Path
) -> None:
    played: World = new_world()
    new = tmp_path / "new.db"
    for changes in ({}, {"VIBES_LEDGER_URL": f"sqlite:///{new}"}):
        dry = run(played, "dev-account", "--usd", "2", "--dry-run", **changes)
        assert dry.stdout == "would open account 1 with 200000000 base units (2 USD) and make an API key\n"
    assert not new.exists()
    assert played.ledger.read(read.accounts) == []
    for idx in (1, 2):
        made = json.loads(run(played, "dev-account", "--usd", "2", "--json").stdout)
        assert (made["account"], made["amount_base"]) == (idx, "200000000")
    headers = {"authorization": f"Bearer {made['api_key']}"}
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
    assert httpx.post(f"{played.router.url}/chat/completions", headers=headers, json=body).status_code == 200
    shown = httpx.get(f"{played.router.url}/account", headers=headers).json()
    assert int(shown["available_base"]) == 200_000_000 - int(shown["spent_base"]) < 200_000_000
    assert run(played, "ledger", "check").stdout == "the books balance\n"

    user = world.user()
    before = world.ledger.read(read.accounts)
    for refused, words in (
        (run(played, "dev-account", VIBES_CHAIN_ID="137"), "VIBES_CHAIN_ID is 137: play money is for"),
        (
            run(played, "dev-account", "--dry-run", VIBES_CHAIN_ID="1"),
            "VIBES_CHAIN_ID is 1: play money is for",
        ),
        (run(world, "dev-account"), "take a ledger of its own"),
    ):
        assert refused.returncode == 1
        assert words in refused.stderr
    for amount in ("-1", "0", "1e3", "99999999999999"):
        assert run(played, "dev-account", "--usd", amount).returncode == 2
    assert user.idx in [view.idx for view in before]
    assert len(played.ledger.read(read.accounts)) == 2


def test_receipts_are_exported(world: World, tmp_path: Path) -> None:
    user = world.user()
    for _ in range(2):
        user.client().chat.completions.create(model="plain", messages=[{"role": "user", "content": "x"}])
    file = tmp_path / "receipts.jsonl"
    assert run(world, "receipts", "export", "-o", str(file)).returncode == 0
    signed = [SignedReceipt.from_json(json.loads(line)) for line in file.read_text().splitlines()]
    assert [item.receipt.account_sequence for item in signed if item.receipt.account == user.idx] == [1, 2]
    assert run(world, "receipts", "export").stdout == file.read_text()


def test_a_pseudonymous_export_leads_to_no_account_and_no_receipt(world: World) -> None:
    users = [world.user(), world.user()]
    for user in (*users, users[0]):
        user.client().chat.completions.create(model="plain", messages=[{"role": "user", "content": "x"}])
    signed = [json.loads(line) for line in run(world, "receipts", "export").stdout.splitlines()]
    files = [run(world, "receipts", "export", "--pseudonymous").stdout for _ in range(2)]
    lines = [json.loads(line) for line in files[0].splitlines()]
    accounts = [one["receipt"]["account"] for one in signed]
    names = [one["account"] for one in lines]
    assert len(set(zip(accounts, names, strict=True))) == len(set(names)) == len(set(accounts))
    assert [one["chargeBase"] for one in lines] == [one["receipt"]["chargeBase"] for one in signed]
    assert not {"requestId", "accountTotalBase", "previousReceipt", "promptHash"} & lines[0].keys()
    for one in signed:
        assert one["signature"] not in files[0]
        assert one["receipt"]["requestId"] not in files[0]
    assert not set(names) & {json.loads(line)["account"] for line in files[1].splitlines()}


def test_an_account_is_erased_once_that_is_confirmed(world: World) -> None:
    user = world.user()
    assert run(world, "erase", "--account", str(user.idx)).returncode == 1
    assert user.http().get("/account").status_code == 200
    done = run(world, "erase", "--account", str(user.idx), "--yes")
    assert "API keys: 1" in done.stdout
    time.sleep(CACHE_S + 0.5)
    assert user.http().get("/account").status_code == 401


def test_mistakes_are_told_in_one_line(world: World, tmp_path: Path) -> None:
    misfit = tmp_path / "misfit.json"
    misfit.write_text('{"providers": {}, "deployments": [{"model": "m", "provider": "nobody"}]}')
    for arguments, environ, words in (
        (("keys", "create", "--account", "999999"), {}, "account 999999 is unknown"),
        (("serve",), {"VIBES_CONFIG": ""}, "VIBES_CONFIG: is not set"),
        (("serve",), {"VIBES_SETTLEMENT": "0x12"}, "VIBES_SETTLEMENT"),
        (("serve",), {"VIBES_CONFIG": str(misfit)}, "deployments.0.provider"),
    ):
        failed = run(world, *arguments, **environ)
        assert failed.returncode == (2 if environ else 1)
        assert words in failed.stderr
        assert "Traceback" not in failed.stderr
