"""Whatever somebody changes in a ledger's tables, the check of the books names it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.books import CHAIN_ID, SETTLEMENT, SIGNER, new_books, reservation

import router.cli as cli
from mini_llm.wallet.signature import signing_address
from router.ledger.reservations import Budget, Reserved

DAY = Budget("key:1:day:2026-11-21", 10_000)
FIRST = "(SELECT min(entry_number) FROM call)"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with two accounts and six charged calls, no longer open."""
    folder = tmp_path_factory.mktemp("books")
    with new_books(f"sqlite:///{folder / 'ledger.db'}") as books:
        for idx in (1, 2):
            books.fund(idx, 10_000)
        for number in range(6):
            held = books.ledger.run(replace(reservation(1 + number % 2, 600), budgets=(DAY,)))
            assert isinstance(held, Reserved)
            books.post(held.entry_id, 500 + number)
    return folder / "ledger.db"


@pytest.fixture
def copy(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    """The same without its triggers; the environment names it."""
    (tmp_path / "receipt.key").write_text("0x" + SIGNER.private_key.hex())
    monkeypatch.setenv("VIBES_LEDGER_URL", f"sqlite:///{tmp_path / 'copy.db'}")
    monkeypatch.setenv("VIBES_CHAIN_ID", str(CHAIN_ID))
    monkeypatch.setenv("VIBES_SETTLEMENT", SETTLEMENT)
    monkeypatch.setenv("VIBES_RECEIPT_KEY_FILE", str(tmp_path / "receipt.key"))
    made = sqlite3.connect(tmp_path / "copy.db")
    with sqlite3.connect(ledger) as source:
        source.backup(made)
    source.close()
    for (name,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        made.execute(f'DROP TRIGGER "{name}"')
    made.commit()
    return made


def differences(*options: str) -> list[str]:
    result = CliRunner().invoke(cli.main, ["ledger", "check", "--json", *options])
    said = json.loads(result.stdout)
    assert (result.exit_code, said["ok"]) == ((1, False) if said["differences"] else (0, True))
    found: list[str] = said["differences"]
    return found


CHANGES = {
    "a charge above its reservation": (
        f"UPDATE entry SET quote_base = 1 WHERE number = {FIRST}",
        "of 1 reserved",
    ),
    "a loss beside money left over": (
        f"UPDATE call SET lost_base = 9 WHERE entry_number = {FIRST}",
        "and lost 9",
    ),
    "money of nobody's share": (
        f"UPDATE posting SET amount_base = amount_base - 5 WHERE entry_number = {FIRST}"
        f" AND account = 'treasury'; INSERT INTO posting VALUES ({FIRST}, 90, 'partner:9', 5)",
        "partner:9: earned 0, its postings say 5",
    ),
    "a partner's gross": ("UPDATE share SET gross_base = gross_base + 1 WHERE code = 'fee'", "fee: gross is"),
    "no budgets": ("DELETE FROM budget", "budget key:1:day"),
    "a receipt's total": (
        f"UPDATE call SET account_total_base = account_total_base + 1 WHERE entry_number = {FIRST}",
        "account 1: numbers or totals of 1 receipts",
    ),
    "a partner's total": (
        f"UPDATE call SET partner_total_base = partner_total_base + 1 WHERE entry_number = {FIRST}",
        "partner 1: numbers or totals of 1 receipts",
    ),
    "a receipt's signature": (
        f"UPDATE call SET signature = zeroblob(65) WHERE entry_number = {FIRST}",
        "account 1: receipt 1 has no valid signature",
    ),
    "a receipt's tokens": (
        f"UPDATE call SET prompt_tokens = 99 WHERE entry_number = {FIRST}",
        "account 1: receipt",
    ),
    "the last receipt": ("UPDATE account SET last_receipt = zeroblob(32)", "is not the one"),
    "a ceiling": ("UPDATE account SET ceiling_base = 1 WHERE idx = 1", "account 1: ceiling is 1"),
    "a ceiling everywhere": (
        "UPDATE account SET ceiling_base = 1 WHERE idx = 1;"
        "UPDATE ceiling SET ceiling_base = 1 WHERE account_idx = 1",
        "its keys signed for 1",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_named(copy: sqlite3.Connection, change: str) -> None:
    assert differences() == []
    statements, told = CHANGES[change]
    copy.executescript(statements)
    copy.close()
    assert told in "\n".join(differences())


def test_a_former_key_of_the_router_is_named(
    copy: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.close()
    (tmp_path / "receipt.key").write_text("0x" + "22" * 32)
    former = signing_address(SIGNER.private_key)
    assert len([told for told in differences() if f"is signed by {former}" in told]) == 2
    assert differences("--signer", former.lower()) == []
    monkeypatch.delenv("VIBES_RECEIPT_KEY_FILE")
    assert differences() == differences("--signer", former) == []
    assert len(differences("--signer", SETTLEMENT)) == 2
    mistyped = CliRunner().invoke(cli.main, ["ledger", "check", "--signer", former[:-1]])
    assert (mistyped.exit_code, "is not an address" in mistyped.output) == (2, True)


def test_it_is_said_that_receipts_were_left_out(
    copy: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.close()
    monkeypatch.delenv("VIBES_SETTLEMENT")
    result = CliRunner().invoke(cli.main, ["ledger", "check"])
    assert "the books balance\n" in result.output
    assert "the receipts were not checked" in result.output
