"""A router without a chain: the operator credits accounts, and calls are charged and checked as ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from router_upstream import Upstream
from router_world import World, make_world
from test_router_cli import run

from mini_llm.wallet.receipt import SignedReceipt
from mini_llm.wallet.signature import recover_address
from router.config_money import NO_CHAIN

NOWHERE = {"VIBES_CHAIN_ID": "", "VIBES_SETTLEMENT": "", "VIBES_CREDIT_ONLY": "yes"}


@pytest.fixture(scope="module")
def credited(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Any:
    world = make_world(tmp_path_factory.mktemp("credited"), upstream, **NOWHERE)
    yield world
    world.router.stop()
    world.ledger.close()


def opened(world: World, usd: str, reference: str) -> dict[str, Any]:
    made = run(world, "credit", "open", "--usd", usd, "--reference", reference, "--json")
    assert made.returncode == 0, made.stderr
    return dict(json.loads(made.stdout))


def client(world: World, made: dict[str, Any]) -> httpx.Client:
    headers = {"authorization": f"Bearer {made['api_key']}"}
    return httpx.Client(base_url=world.router.url, headers=headers, timeout=30)


def test_credit_pays_for_calls_until_it_is_used_up_and_is_added_once(credited: World) -> None:
    made = opened(credited, "0.01", "invoice 1")
    assert made["amount_base"] == "1000000"
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
    with client(credited, made) as http:
        answer = http.post("/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        (shown,) = http.get("/receipts").json()["data"]
        signed = SignedReceipt.from_json({name: shown[name] for name in ("receipt", "signature")})
        signer = recover_address(signed.receipt.digest(NO_CHAIN), signed.signature)
        told = http.get("/account").json()
        assert int(told["available_base"]) == 1_000_000 - int(answer.headers["x-vibes-charge-base"])
        while (last := http.post("/chat/completions", json=body)).status_code == 200:
            pass
        assert (last.status_code, last.json()["error"]["type"]) == (402, "insufficient_funds")
        told = http.get("/account").json()
        idx = str(made["account"])
        add = ("credit", "add", "--account", idx, "--usd", "1000", "--reference", "invoice 2")
        assert run(credited, *add).stdout.startswith("added 100000000000 base units")
        assert run(credited, *add).stdout == "already added\n"
        more = int(http.get("/account").json()["available_base"])
        assert more == int(told["available_base"]) + 10**11
        assert http.post("/chat/completions", json=body).status_code == 200
    checked = run(credited, "ledger", "check", "--signer", signer, "--json")
    assert json.loads(checked.stdout)["receipts_checked"] is True
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "path", ["/", "/batches", "/partners", "/partners/1", "/wallet", "/device", "/v1/deposits"]
)
def test_no_page_breaks(credited: World, path: str) -> None:
    answer = httpx.get(credited.router.url.removesuffix("/v1") + path, headers={"accept": "text/html"})
    assert answer.status_code < 500


def test_one_payment_opens_one_account(credited: World) -> None:
    opened(credited, "1", "invoice 3")
    again = run(credited, "credit", "open", "--usd", "1", "--reference", "invoice 3")
    assert again.returncode == 1
    assert "'invoice 3' was credited before, to another account" in again.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"VIBES_CHAIN_ID": "1"}, "VIBES_CHAIN_ID: needs a chain"),
        ({"VIBES_PUBLIC_URL": "http://x"}, "VIBES_PUBLIC_URL: needs a chain"),
        ({"VIBES_CREDIT_ONLY": "true"}, "VIBES_CREDIT_ONLY: 'true' is neither yes nor no"),
    ],
)
def test_what_needs_a_chain_is_refused(credited: World, settings: dict[str, str], words: str) -> None:
    failed = run(credited, "serve", "--port", "0", **settings)
    assert failed.returncode == 2
    assert words in failed.stderr


def test_a_relay_is_refused(credited: World, tmp_path: Path) -> None:
    (tmp_path / "relay.key").write_text("0x" + "11" * 32)
    file = Path(credited.router.environ["VIBES_CONFIG"])
    relay = {"key_file": str(tmp_path / "relay.key"), "rpc_url": "http://127.0.0.1:9"}
    relay["asset"] = "0x" + "11" * 20
    other = tmp_path / "config.json"
    other.write_text(json.dumps(json.loads(file.read_text()) | {"relay": relay}))
    failed = run(credited, "serve", "--port", "0", VIBES_CONFIG=str(other))
    assert failed.returncode == 2
    assert "relay: needs a chain" in failed.stderr


def test_play_money_points_to_credit(credited: World) -> None:
    failed = run(credited, "dev-account")
    assert failed.returncode == 1
    assert "vibes-router credit open" in failed.stderr


def test_where_there_is_a_chain_nobody_is_credited(world: World) -> None:
    for command in (("open",), ("add", "--account", "1")):
        failed = run(world, "credit", *command, "--usd", "1", "--reference", "r")
        assert failed.returncode == 1
        assert "this router has a chain" in failed.stderr
