"""`vibes-router` as its operator runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from router_world import World

from mini_llm.wallet.receipt import SignedReceipt


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


def test_receipts_are_exported(world: World, tmp_path: Path) -> None:
    user = world.user()
    for _ in range(2):
        user.client().chat.completions.create(model="plain", messages=[{"role": "user", "content": "x"}])
    file = tmp_path / "receipts.jsonl"
    assert run(world, "receipts", "export", "-o", str(file)).returncode == 0
    signed = [SignedReceipt.from_json(json.loads(line)) for line in file.read_text().splitlines()]
    assert [item.receipt.account_sequence for item in signed if item.receipt.account == user.idx] == [1, 2]
    assert run(world, "receipts", "export").stdout == file.read_text()


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
        assert failed.returncode == 1
        assert words in failed.stderr
        assert "Traceback" not in failed.stderr
