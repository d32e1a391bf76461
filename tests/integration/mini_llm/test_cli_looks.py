"""Usage, status and doctor."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

import pytest
from conftest import Cli
from support.model_server import ModelServer

from mini_llm.cli.app import SECTIONS, Commands
from mini_llm.settings import read_settings
from mini_llm.wallet.book import Book
from mini_llm.wallet.page import Link

PRICED = {
    "providers": {"home": {"base_url": ""}},
    "deployments": [
        {"model": "m", "provider": "home", "prompt_usd_per_mtok": "2", "completion_usd_per_mtok": "10"}
    ],
}


def priced(cli: Cli, server: ModelServer) -> None:
    cli.write(**PRICED | {"providers": {"home": {"base_url": f"{server.url}/v1"}}})


def findings(cli: Cli, level: str, code: int, **environ: str) -> dict[str, dict[str, Any]]:
    told = cli.json("doctor", code=code, **environ)
    assert told["ok"] is (code == 0)
    return {one["about"]: one for one in told["findings"] if one["level"] == level}


@pytest.mark.parametrize(
    "account", [{}, {"balance_base": "-5"}, {"balance_base": None, "available_base": 1.5}], ids=repr
)
def test_an_account_that_cannot_be_read_is_said_in_words(
    ready: Cli, server: ModelServer, account: dict[str, Any]
) -> None:
    server.account = account | {"owner": "0x\x1b[2J"}
    ready.write(wallet={"endpoint": server.url, "api_key": "k"})
    told = ready.run("balance")
    assert (told.returncode, "cannot be read" in told.stderr) == (3, True), told.stderr
    assert ready.json("status")["wallet"]["available_usd"] is None


def test_only_who_can_tell_is_asked_for_a_balance(ready: Cli, server: ModelServer) -> None:
    server.account = {"owner": "0x" + "ab" * 20}
    ready.write(wallet={"endpoint": server.url, "api_key": "k"})
    told = ready.run("balance", "0xabc")
    assert (told.returncode, "is not an address" in told.stderr) == (2, True), told
    told = ready.run("balance", "0x" + "cd" * 20)
    assert (told.returncode, "nobody to ask" in told.stderr) == (5, True), told
    told = ready.run("withdraw", "1", "--unsigned", "--from", "0x" + "ab" * 20)
    assert (told.returncode, "set wallet.rpc_url" in told.stderr) == (2, True), told


def test_charges_for_calls_that_were_not_made_here(ready: Cli, server: ModelServer) -> None:
    account = (
        "balance_base",
        "available_base",
        "reserved_base",
        "deficit_base",
        "spent_base",
        "ceiling_base",
    )
    server.account = dict.fromkeys(account, "9000000") | {"owner": "0xabc", "account": 7}
    wallet = {"endpoint": server.url, "api_key": "k", "chain_id": 1, "settlement": "0x" + "ab" * 20}
    ready.write(wallet=wallet)
    assert ready.json("balance")["elsewhere_base"] is None
    settings = read_settings(file=ready.file, environ={})
    assert settings.wallet is not None
    book = Book(ready.file.with_name("wallet.db"), f"1:{settings.wallet.settlement}:7")
    book.open_page(None, None, 0)
    book.take(Link(1, 2_500_000, 2_500_000, bytes(32), b"1" * 32, "call"), fetched=True)
    book.close()
    assert ready.json("balance")["elsewhere_base"] == "2500000"
    (line,) = (line for line in ready.run("balance").stdout.splitlines() if "not made here" in line)
    assert line.split()[-2:] == ["2.500000", "VIBES"]


def test_usage(cli: Cli, server: ModelServer) -> None:
    priced(cli, server)
    for model in ("m", "m", "home/other", "home/http-401"):
        cli.run("chat", "-m", model, "Hello")
    told = cli.json("usage", "--by", "model")
    assert [(one["key"], one["calls"], one["failed"], one["cost_usd"]) for one in told["rows"]] == [
        ("m", 2, 0, "0.000136"),
        ("home/http-401", 1, 1, "0"),
        ("home/other", 1, 0, "0"),
    ]
    assert told["total"] == {
        "calls": 4,
        "failed": 1,
        "prompt_tokens": 27,
        "completion_tokens": 15,
        "unpriced": 0,
        "cost_usd": "0.000136",
    }
    (day,) = cli.json("usage")["rows"]
    assert day["key"] == time.strftime("%Y-%m-%d")
    assert cli.json("usage", "--by", "provider")["rows"][0]["key"] == "home"
    shown = cli.run("usage", "--by", "model").stdout.splitlines()
    assert shown[0].split() == ["MODEL", "CALLS", "FAILED", "READ", "WRITTEN", "COST"]
    assert shown[1].split()[-2:] == ["$0.000136", "█" * 24]
    assert shown[-1].split()[:2] == ["all", "4"]


def test_usage_of_old_days_is_left_out(cli: Cli, server: ModelServer) -> None:
    priced(cli, server)
    cli.run("chat", "-m", "m", "Hello")
    with sqlite3.connect(cli.home / ".mini-llm" / "usage.db") as database:
        database.execute("UPDATE calls SET at_s = at_s - 3 * 86400")
    assert cli.json("usage", "--days", "3")["rows"] == []
    assert len(cli.json("usage", "--days", "4")["rows"]) == 1
    assert cli.run("usage", "--days", "3").stdout == "no calls in the last 3 days\n"
    assert cli.json("usage", "--days", "4", "--prune")["deleted"] == 0
    pruned = cli.run("usage", "--days", "3", "--prune")
    assert (pruned.stdout, pruned.stderr) == (
        "no calls in the last 3 days\n",
        f"deleted 1 calls from {cli.home / '.mini-llm' / 'usage.db'}\n",
    )
    assert cli.json("usage", "--days", "4")["rows"] == []


def test_usage_that_is_not_kept(cli: Cli, server: ModelServer) -> None:
    priced(cli, server)
    off = cli.run("usage", MINI_LLM_USAGE_LOG="off")
    assert (off.returncode, "usage_log is off" in off.stderr) == (1, True)


def test_status(cli: Cli, server: ModelServer) -> None:
    priced(cli, server)
    cli.run("chat", "-m", "m", "Hello")
    told = cli.json("status")
    assert told["wallet"] is None
    assert (told["today"]["calls"], told["today"]["cost_usd"]) == (1, "0.000068")
    assert [(one["name"], one["healthy"]) for one in told["providers"]] == [("home", True)]
    assert cli.run("status").stdout.startswith(
        "today: 1 calls, 9 tokens read, 5 written, $0.000068\nok   home: "
    )
    server.key = "sk-other"
    assert cli.run("status").returncode == 4
    cli.write()
    assert cli.run("status").returncode == 5


def test_doctor_of_a_sound_setup(ready: Cli) -> None:
    told = ready.json("doctor")
    assert told["ok"] is True
    assert {one["about"] for one in told["findings"] if one["level"] == "ok"} >= {
        str(ready.file),
        "provider home",
    }
    assert ready.run("doctor").stdout.endswith("0 problems\n")


def test_doctor_finds_an_open_file(ready: Cli) -> None:
    ready.write(
        providers={"home": json.loads(ready.file.read_text())["providers"]["home"] | {"api_key": "sk-x"}}
    )
    assert findings(ready, "problem", 0) == {}
    ready.file.chmod(0o644)
    found = findings(ready, "problem", 4)[str(ready.file)]
    assert found["mend"] == f"chmod 600 {ready.file}"
    ready.file.chmod(0o600)
    project = ready.project / "mini-llm.config.json"
    project.write_text(ready.file.read_text())
    assert "shared" in findings(ready, "problem", 4)[str(project)]["says"]
    project.write_text(ready.file.read_text().replace("sk-x", "${KEY}"))
    assert findings(ready, "problem", 0, KEY="sk-x") == {}


@pytest.mark.parametrize(
    ("text", "about", "says"),
    [
        ('{"providers": {', "config.json", "is not JSON"),
        (
            '{"providers":\n{"a": {"api_key": "${GONE}"}}}',
            "config.json:2: providers.a.api_key",
            "${GONE} is not set",
        ),
        ('{\n\n"alias": {}}', "config.json:3: alias", "did you mean 'aliases'"),
        ('{"providers": {"a": {"type": "opnai"}}}', "providers.a.type", "'opnai' is unknown"),
        ("{}", "setup", "no provider and no wallet"),
    ],
    ids=["JSON", "variable", "field", "type", "nothing"],
)
def test_doctor_finds_what_is_wrong_in_the_settings(cli: Cli, text: str, about: str, says: str) -> None:
    cli.write()
    cli.file.write_text(text)
    ((where, found),) = findings(cli, "problem", 4).items()
    assert where.endswith(about)
    assert says in found["says"]
    assert found["mend"]


def test_doctor_finds_providers_that_do_not_work(ready: Cli, server: ModelServer) -> None:
    ready.write(
        providers={
            "home": {"base_url": f"{server.url}/v1", "api_key": "sk-wrong"},
            "dead": {"base_url": "http://127.0.0.1:9/v1"},
        }
    )
    server.key, server.clock_s = "sk-right", 3600
    found = findings(ready, "problem", 4)
    assert "refuses the key" in found["provider home"]["says"]
    assert "mini-llm providers add" in found["provider home"]["mend"]
    assert "start that server" in found["provider dead"]["mend"]
    assert "behind the providers'" in found["clock"]["says"]
    assert "sk-wrong" not in json.dumps(found)


def test_doctor_hints(ready: Cli) -> None:
    hints = findings(ready, "hint", 0, HTTPS_PROXY="http://proxy:3128")
    assert "HTTPS_PROXY is set" in hints["proxy"]["says"]
    found = findings(ready, "problem", 4, SSL_CERT_FILE="/nowhere/ca.pem")
    assert "/nowhere/ca.pem" in found["SSL_CERT_FILE"]["says"]


def test_with_a_wallet_alone_its_router_lists_and_chooses(ready: Cli, server: ModelServer) -> None:
    ready.write(wallet={"type": "vibes", "endpoint": server.url, "api_key": "sk-wallet"})
    listed = {one["name"]: one["served_by"] for one in ready.json("models")["models"]}
    assert listed.items() >= {"wallet/llama3.2": "wallet", "wallet/nomic-embed": "wallet"}.items()
    assert ready.run("chat", "hi").returncode == 0
    assert server.calls[-1]["model"] == "auto"
    server.key = "another"
    told = ready.run("models")
    assert "wallet does not list its models now: see `mini-llm status`" in told.stderr


def test_the_wallet_is_looked_at(ready: Cli, server: ModelServer) -> None:
    wallet = {"type": "custom", "endpoint": server.url, "api_key": "sk-wallet"}
    ready.write(wallet=wallet)
    told = ready.json("status")["wallet"]
    assert (told["healthy"], told["endpoint"], told["available_usd"]) == (True, f"{server.url}/v1", None)
    server.key = "sk-other"
    told = ready.json("status", code=4)["wallet"]
    assert (told["healthy"], told["state"]) == (False, "key refused")
    assert findings(ready, "problem", 4)["wallet"]["mend"] == "run `mini-llm login`"
    ready.write(wallet=wallet | {"type": "vibes"})
    server.key = None
    server.account = {"account": 7, "available_base": "250000000"}
    told = ready.json("status")["wallet"]
    assert (told["account"], told["available_usd"]) == (7, "2.5")
    server.account = {"account": 7, "available_base": "0"}
    assert findings(ready, "problem", 4)["wallet"]["says"] == "has nothing left to spend"


def test_the_help_of_a_command_begins_as_the_list_of_commands_says(cli: Cli) -> None:
    group = Commands()
    for section in SECTIONS.values():
        for name in section:
            command = group.get_command(None, name)  # type: ignore[arg-type]
            assert command is not None
            assert command.name == name
