"""`vibes-router promo`, `ledger check` and `costs` on a ledger with history."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.books import SIGNER, TERMS, Books, facts, new_books

import router.cli as cli
from router.ledger import AttemptFacts, Charge


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    config = tmp_path / "router.json"
    config.write_text(json.dumps({"providers": {}, "promotion": {"sponsor": 9}}))
    monkeypatch.setenv("VIBES_CONFIG", str(config))
    monkeypatch.setenv("VIBES_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    with new_books(f"sqlite:///{tmp_path}/ledger.db") as books:
        yield books


def run(*command: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, list(command))
    return result.exit_code, result.output


def test_credit_is_granted_once(books: Books) -> None:
    books.fund(1, 5)
    books.fund(9, 5)
    grant = ("promo", "grant", "--account", "1", "--usd", "0.5", "--reference", "r")
    assert run(*grant) == (0, "granted 50000000 base units to account 1\n")
    assert run(*grant) == (0, "already granted\n")
    shown = json.loads(run("promo", "show", "--account", "1")[1])
    assert shown == {"granted_base": 50_000_000, "spent_base": 0, "left_base": 50_000_000}
    assert run("promo", "grant", "--account", "7", "--usd", "1", "--reference", "x")[0] == 1


def test_the_books_are_checked(books: Books, tmp_path: Path) -> None:
    books.fund(1, 500)
    assert run("ledger", "check")[1].startswith("the books balance\n")
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE account SET balance_base = 501")
    code, output = run("ledger", "check", "--json")
    assert (code, json.loads(output)["ok"]) == (1, False)
    assert "account 1: balance is 501" in run("ledger", "check")[1]
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE account SET balance_base = 500")
    connection.close()


def test_costs_tell_what_calls_and_failed_tries_cost(books: Books) -> None:
    books.fund(1, 10_000)
    held, now_s = books.reserve(1, 1_000), int(time.time())
    tries = (AttemptFacts("other/terse-1", "UpstreamTimeout", 5, 30),)
    used = facts(900, time_s=now_s)._replace(wholesale_base=500, attempts=tries)
    books.ledger.run(Charge(held.entry_id, used, TERMS, SIGNER))
    late = books.reserve(1, 100)
    used = facts(150, time_s=now_s)._replace(wholesale_base=80)
    books.ledger.run(Charge(late.entry_id, used, TERMS, SIGNER))
    code, output = run("costs", "--json", "--days", "36500")
    lines = {line["provider"]: line for line in map(json.loads, output.splitlines())}
    assert code == 0
    house, other = lines["house"], lines["other"]
    assert (house["gross_base"], house["wholesale_base"], house["lost_base"]) == (1_000, 580, 50)
    assert (house["calls"], house["margin_base"]) == (2, 420)
    assert (other["attempts_base"], other["margin_base"], other["calls"]) == (30, -30, 0)
    assert run("costs", "--days", "36500")[1].endswith("margin in all: 390\n")
