"""A wallet with an account, an API key and a spending ceiling: what the first paid call needs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

import httpx
from processes import ChildFailed
from stack import Stack
from wallet_flow import Wallet

from mini_llm.wallet.receipt import SignedReceipt

CREDIT_S = 60
"""How long a confirmed deposit may take to reach the ledger."""


@dataclass
class Customer:
    """Someone who pays for calls.

    Attributes:
        receipts: those of calls made and not yet checked.
    """

    wallet: Wallet
    api_key: str
    base_url: str
    receipts: list[SignedReceipt] = field(default_factory=list)

    def raise_ceiling(self, ceiling_base: int) -> None:
        """Signs a higher cumulative spending ceiling and uploads it."""
        self._account("POST", "/ceiling", self.wallet.ceiling(ceiling_base).to_json())

    def available_base(self) -> int:
        """What the account can spend now, base units."""
        return int(self._account("GET", "")["available_base"])

    def check_receipts(self) -> int:
        """Checks the receipts since the last check; returns all that the account has spent, base units."""
        spent_base = self.wallet.check_receipts(self.receipts)
        self.receipts.clear()
        return spent_base

    def _account(self, method: str, path: str, body: str | None = None) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self.api_key}", "content-type": "application/json"}
        answer = httpx.request(method, f"{self.base_url}/account{path}", content=body, headers=headers)
        if answer.is_error:
            raise RuntimeError(f"{method} {answer.url} answered {answer.status_code}: {answer.text}")
        account: dict[str, str] = answer.json()
        return account


def open_account(stack: Stack, deposit_base: int) -> Wallet:
    """Makes a wallet, gives it ``deposit_base`` base units of the token, and deposits them without gas."""
    wallet = Wallet(stack.contracts)
    gift = stack.contracts.token.functions.transfer(wallet.account.address, deposit_base)
    stack.contracts.send(stack.keys.owner, gift)
    wallet.deposit(deposit_base, stack.keys.relayer)
    return wallet


def make_customer(stack: Stack, wallet: Wallet, ceiling_base: int) -> Customer:
    """Gets an API key for a wallet's account and signs its first spending ceiling, base units.

    Raises:
        ChildFailed: the ledger did not learn of the deposit in time.
    """
    customer = Customer(wallet, _api_key(stack, wallet.idx), stack.base_url)
    customer.raise_ceiling(ceiling_base)
    return customer


def _api_key(stack: Stack, idx: int) -> str:
    """Asks for an API key until the ledger knows the account, which takes the deposit's confirmation."""
    deadline = time.monotonic() + CREDIT_S
    command = ("vibes-router", "keys", "create", "--account", str(idx), "--label", "demo", "--json")
    while True:
        try:
            answer = stack.run(*command)
        except ChildFailed:
            stack.processes.check()
            if time.monotonic() > deadline:
                raise
        else:
            api_key: str = json.loads(answer)["api_key"]
            return api_key
