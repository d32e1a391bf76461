"""An operator for tests: its settings, its ledger, and calls charged straight to the ledger."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bridge.config import BridgeSettings, read_settings
from bridge.pipeline import Pipeline
from bridge.reconcile import reconcile
from mini_llm.wallet.receipt import ReceiptDomain, SignedReceipt
from router.ledger import (
    CallFacts,
    Charge,
    Ledger,
    ReceiptSigner,
    Reservation,
    Terms,
    book_errors,
    check_ceiling,
    open_database,
    store_ceiling,
    trial_balance,
)
from support.stack import BURN_BPS, FEE_BPS, PARTNERS, POOL_BPS, Stack, Wallet


@dataclass
class Operator:
    """Bridge and ledger of one deployment, in one folder."""

    stack: Stack
    folder: Path
    circuits_dir: Path
    ledger: Ledger
    reports: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The `VIBES_*` variables of a real operator."""
        key_file = self.folder / "operator.key"
        key_file.write_text("0x" + bytes(self.stack.operator.key).hex())
        return {
            "VIBES_RPC_URL": self.stack.url,
            "VIBES_CHAIN_ID": str(self.stack.chain_id),
            "VIBES_SETTLEMENT": self.stack.settlement.address,
            "VIBES_LEDGER_URL": f"sqlite:///{self.folder}/ledger.db",
            "VIBES_BRIDGE_URL": f"sqlite:///{self.folder}/bridge.db",
            "VIBES_OPERATOR_KEY_FILE": str(key_file),
            "VIBES_CIRCUITS_DIR": str(self.circuits_dir),
        }

    @property
    def settings(self) -> BridgeSettings:
        return read_settings(self.environment)

    @contextmanager
    def pipeline(self, settings: BridgeSettings | None = None) -> Iterator[Pipeline]:
        with Pipeline(settings or self.settings, self.reports.append) as pipeline:
            yield pipeline

    def sign_ceiling(self, wallet: Wallet, ceiling_base: int) -> None:
        checked = check_ceiling(self.stack.domain, wallet.ceiling(ceiling_base))
        self.ledger.run(lambda connection: store_ceiling(connection, checked))

    def open_call(self, wallet: Wallet, quote_base: int) -> str:
        """Reserves money for a call and returns its entry id."""
        request = Reservation(
            account_idx=wallet.idx,
            endpoint="/v1/chat/completions",
            client_key=None,
            body_hash=hashlib.sha256(b"body").digest(),
            quote_base=quote_base,
            lease_s=600,
            now_s=int(time.time()),
        )
        return self.ledger.run(request).entry_id

    def finish_call(self, entry_id: str, charge_base: int, partner_id: int = 1) -> SignedReceipt:
        """Charges an open call."""
        facts = CallFacts(
            provider="pithy",
            deployment="pithy-1",
            model="pithy-1",
            prompt_tokens=12,
            completion_tokens=34,
            estimated=False,
            prompt_price_base_per_mtok=15_000_000,
            completion_price_base_per_mtok=max(60_000_000, -(-charge_base * 10**6 // 34)),
            vibes_per_usd=100,
            actual_base=charge_base,
            time_s=int(time.time()),
            prompt_salt=bytes(16),
            prompt_hash=bytes(32),
        )
        bps = dict(enumerate((bps for _, bps in PARTNERS), 1)).get(partner_id, 0)
        terms = Terms(partner_id, bps, FEE_BPS, BURN_BPS, POOL_BPS)
        signer = ReceiptSigner(
            ReceiptDomain(self.stack.chain_id, self.stack.settlement.address),
            bytes(self.stack.receipt_signer.key),
        )
        posted = self.ledger.run(Charge(entry_id, facts, terms, signer))
        assert posted.receipt is not None
        return posted.receipt

    def charge(self, wallet: Wallet, charge_base: int, partner_id: int = 1) -> SignedReceipt:
        """One paid call."""
        return self.finish_call(self.open_call(wallet, charge_base), charge_base, partner_id)

    def assert_books_match_chain(self, settings: BridgeSettings | None = None) -> None:
        """The books balance, custody is what the token contract says, and ledger = chain + unsettled."""
        assert self.ledger.read(book_errors) == []
        balances = self.ledger.read(trial_balance).balances
        assert -balances["custody"] == self.stack.custody_base()
        assert reconcile(settings or self.settings).differences == ()


@contextmanager
def operating(stack: Stack, folder: Path, circuits_dir: Path) -> Iterator[Operator]:
    """An operator whose ledger is open."""
    engine = open_database(f"sqlite:///{folder}/ledger.db")
    with Ledger(engine) as ledger:
        yield Operator(stack, folder, circuits_dir, ledger)
    engine.dispose()
