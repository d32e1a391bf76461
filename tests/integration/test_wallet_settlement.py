"""Deposits, withdrawals and balances from the command line, on a real chain with the real contracts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from support.anvil import ROOT
from support.stack import VIBES, Stack, Wallet

from mini_llm.wallet.money import read_vibes, vibes

WAIT_S = 120


class Shell:
    """Runs `mini-llm` with a home of its own, for a wallet with tokens and ether."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.wallet: Wallet = stack.wallet("shell user", 500 * VIBES)
        stack.fund_gas(self.wallet)
        self.key_file = folder / "wallet.key"
        self.key_file.write_text(bytes(self.wallet.account.key).hex())
        self.key_file.chmod(0o600)
        self.place = ("--rpc", stack.url, "--settlement", stack.settlement.address, "--chain-id", "31337")

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        keyring = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
        return subprocess.run(
            [sys.executable, "-m", "mini_llm.cli", *arguments],
            env=kept | keyring | environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def signing(self, *arguments: str, code: int = 0) -> str:
        done = self.run(*arguments, *self.place, "--key-file", str(self.key_file))
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    def holdings(self) -> dict[str, Any]:
        done = self.run("balance", self.wallet.address, *self.place, "--json")
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)["chain"]
        return told

    @property
    def nonce(self) -> int:
        return self.stack.web3.eth.get_transaction_count(self.wallet.account.address)


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Shell:
    return Shell(stack, tmp_path)


def test_a_deposit_by_permit_opens_the_account_for_the_wallets_session_key(shell: Shell) -> None:
    assert "nothing was sent: add --yes to send" in shell.signing("deposit", "100", code=1)
    assert "nothing was sent: add --yes to send" in shell.signing("deposit", "100", "--json", code=1)
    assert (shell.nonce, shell.holdings()["pending_deposit_base"]) == (0, "0")
    shell.signing("deposit", "100.5", "--yes")
    assert shell.nonce == 1
    holdings = shell.holdings()
    assert holdings["pending_deposit_base"] == str(100_500_000)
    assert (holdings["idx"], holdings["status"]) == (1, "unopened")
    account = shell.stack.settlement.functions.account(1).call()
    assert account[6] == shell.wallet.key_commit
    kept = json.loads((shell.folder / ".mini-llm" / "config.json").read_text())["wallet"]
    assert int(kept["session_key"], 16) == shell.wallet.session_secret
    assert kept["daily_cap_usd"] == "5"
    shell.signing("deposit", "2", "--yes", "--approve")
    assert shell.nonce == 3
    assert shell.holdings()["pending_deposit_base"] == str(102_500_000)


def test_unsigned_transactions_are_for_a_wallet_elsewhere_to_sign(shell: Shell) -> None:
    sender = shell.wallet.address
    commit = str(shell.wallet.key_commit)
    done = shell.run("deposit", "3", *shell.place, "--unsigned", "--from", sender, "--key-commit", commit)
    assert done.returncode == 0, done.stderr
    transactions = json.loads(done.stdout)["transactions"]
    assert [one["type"] for one in transactions] == [2, 2]
    assert {one["chainId"] for one in transactions} == {31337}
    for one in transactions:
        signed = Account.sign_transaction(one, shell.wallet.account.key)
        sent = shell.stack.web3.eth.send_raw_transaction(signed.raw_transaction)
        assert shell.stack.web3.eth.wait_for_transaction_receipt(sent, timeout=30)["status"] == 1
    assert shell.holdings()["pending_deposit_base"] == str(3 * VIBES)
    assert not (shell.folder / ".mini-llm" / "config.json").exists()


def test_a_keystore_asks_for_its_password(shell: Shell) -> None:
    keystore = Account.encrypt(shell.wallet.account.key, "open sesame", kdf="pbkdf2", iterations=1000)
    shell.key_file.write_text(json.dumps(keystore))
    arguments = ("deposit", "5", *shell.place, "--key-file", str(shell.key_file), "--yes", "--json")
    assert shell.run(*arguments).returncode == 2
    wrong = shell.run(*arguments, MINI_LLM_KEYSTORE_PASSWORD="sesame")
    assert (wrong.returncode, "password is wrong" in wrong.stderr) == (1, True)
    done = shell.run(*arguments, MINI_LLM_KEYSTORE_PASSWORD="open sesame")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["sent"]) == 1


def test_nothing_is_signed_for_another_chain(shell: Shell) -> None:
    place = ("--rpc", shell.stack.url, "--settlement", shell.stack.settlement.address, "--chain-id", "1")
    done = shell.run("deposit", "5", *place, "--key-file", str(shell.key_file), "--yes")
    assert done.returncode == 1
    assert "chain 31337" in done.stderr
    folder = shell.folder / ".mini-llm"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"wallet": {"chain_id": 1}}))
    done = shell.run("deposit", "5", *shell.place, "--key-file", str(shell.key_file), "--yes")
    assert done.returncode == 2
    assert "nothing is signed" in done.stderr
    assert shell.nonce == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deposit", "501"), "the wallet has 500.000000 VIBES"),
        (("deposit", "0.5"), "a first deposit is at least 1.000000 VIBES"),
        (("deposit", "0"), "no amount"),
        (("withdraw", "1"), "not open yet"),
        (("withdraw", "--finish"), "nothing is set aside"),
    ],
    ids=["too much", "too little", "nothing", "not open", "not served"],
)
def test_what_the_contract_would_refuse_is_said_in_words(
    shell: Shell, arguments: tuple[str, ...], words: str
) -> None:
    assert words in shell.signing(*arguments, code=1)
    assert shell.nonce == 0


def test_a_node_that_is_not_there_is_exit_code_3(shell: Shell) -> None:
    place = ("--rpc", "http://127.0.0.1:9", "--settlement", shell.stack.settlement.address, "--chain-id", "1")
    assert shell.run("balance", shell.wallet.address, *place).returncode == 3


def test_amounts_are_read_exactly_or_not_at_all() -> None:
    assert [read_vibes(text) for text in ("1", "0.000001", "12.5")] == [10**6, 1, 12_500_000]
    assert vibes(1_234_567_890) == "1,234.567890"
    for text in ("", ".", "1e3", "-1", "0.0000001", "١", "1,000", " 1"):
        with pytest.raises(ValueError, match="no amount"):
            read_vibes(text)
