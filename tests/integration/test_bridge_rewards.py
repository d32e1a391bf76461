"""Rewards on a real chain: what has vested is paid by a proved batch, once, inside the chain's bounds."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import insert, select
from support.auditing import run_audit
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.rewarding import configured
from support.stack import VIBES, Wallet

from bridge.pipeline import Pipeline
from mini_llm.wallet.receipt import SignedReceipt
from router.ledger import read, rewards
from router.ledger.models import ACCOUNT, ENTRY
from router.ledger.reward_tables import CALL_SCORE
from router.receipts import receipt_line
from router.rewards import close_epoch


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    return spending(operator, "alice", 40 * VIBES)


@pytest.fixture
def bob(operator: Operator) -> Wallet:
    return spending(operator, "bob", 40 * VIBES)


def spending(operator: Operator, label: str, deposit_base: int) -> Wallet:
    """A wallet whose account may be charged as much as it deposited."""
    wallet = operator.stack.wallet(label, deposit_base)
    operator.stack.deposit(wallet, deposit_base)
    with operator.pipeline() as pipeline:
        pipeline.sync()
    operator.sign_ceiling(wallet, deposit_base)
    return wallet


def close(operator: Operator) -> None:
    """An epoch ends; the first call begins rewards."""
    close_epoch(operator.ledger, configured(), int(time.time()), early=True)


def scored(operator: Operator, signed: SignedReceipt, score: int) -> None:
    number = select(ENTRY.c.number).where(ENTRY.c.id == signed.receipt.request_id.hex()).scalar_subquery()
    fingerprint = int.from_bytes(signed.receipt.request_id[-7:], "big")
    values = {"entry_number": number, "score": score, "fingerprint": fingerprint}
    operator.ledger.run(lambda connection: connection.execute(insert(CALL_SCORE).values(values)))


def paid_base(operator: Operator, wallet: Wallet) -> int:
    return operator.ledger.read(lambda connection: rewards.reward_view(connection, wallet.idx)).paid_base


def audit(operator: Operator) -> dict[str, Any]:
    """The auditor's report, from the chain and the receipts alone."""
    receipts = operator.folder / "receipts.jsonl"
    lines = operator.ledger.read(lambda connection: list(map(receipt_line, read.iter_receipts(connection))))
    receipts.write_text("".join(f"{line}\n" for line in lines))
    audited = run_audit(operator.stack.url, operator.stack.settlement.address, receipts, "--json")
    assert audited.code == 0, audited.output
    return audited.report


def test_an_epochs_rewards_settle_in_a_proved_batch_and_the_audit_agrees(
    operator: Operator, alice: Wallet, bob: Wallet
) -> None:
    close(operator)
    scored(operator, operator.charge(alice, 20 * VIBES), 90)
    scored(operator, operator.charge(bob, 3 * VIBES, partner_id=2), 61)
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
        close(operator)
        assert pipeline.settle_once() is None  # it vests with the next epoch
        close(operator)
        first = pipeline.settle_once()
        assert first is not None
        assert (first.accounts, first.header.receipts_total) == (1, 0)  # bob's is not worth a slot of its own
        assert (paid_base(operator, alice), paid_base(operator, bob)) == (2 * VIBES, 0)
        operator.charge(bob, 1)
        second = pipeline.settle_once()
        assert second is not None
        weights = 20 * 50 + 3 * 25
        assert paid_base(operator, bob) == (23 * VIBES // 10) * (3 * 25) // weights
        assert pipeline.settle_once() is None
        operator.assert_books_match_chain()
        left_base = 40 * VIBES - 20 * VIBES + 2 * VIBES
        operator.stack.request_withdrawal(alice, left_base)  # and it can be withdrawn as any other money
        assert pipeline.settle_once() is not None
        operator.assert_books_match_chain()
    report = audit(operator)
    assert report["ok"] is True
    assert report["totals"]["rewards"] == 2 * VIBES + paid_base(operator, bob)


def vested(operator: Operator, *wallets: Wallet) -> None:
    """Each has settled charges of 20 VIBES and a vested reward of 2."""
    close(operator)
    for wallet in wallets:
        scored(operator, operator.charge(wallet, 20 * VIBES), 100)
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    close(operator)
    close(operator)


def sealed(pipeline: Pipeline) -> int:
    """Takes whatever step is due; how many batches are sealed and not final."""
    pipeline.turn()
    return len(pipeline.steps())


def test_a_bridge_that_dies_after_sealing_pays_once(operator: Operator, alice: Wallet) -> None:
    vested(operator, alice)
    with operator.pipeline() as pipeline:
        assert sealed(pipeline) == 1
        assert sealed(pipeline) == 1  # the reward is in the first already
    with operator.pipeline() as pipeline:
        while pipeline.settle_once() is not None:
            pass
        assert paid_base(operator, alice) == 2 * VIBES
        operator.assert_books_match_chain()
    assert audit(operator)["ok"] is True


def test_a_ledger_that_lets_too_much_vest_is_held_to_what_the_chain_allows(
    operator: Operator, alice: Wallet, bob: Wallet
) -> None:
    """Else the contract would refuse the batch, or the audit the account."""
    vested(operator, alice, bob)
    with operator.pipeline() as pipeline:
        too_much = ACCOUNT.update().where(ACCOUNT.c.idx == alice.idx).values(vested_base=30 * VIBES)
        operator.ledger.run(lambda connection: connection.execute(too_much))
        assert pipeline.settle_once() is not None
        assert (paid_base(operator, alice), paid_base(operator, bob)) == (2 * VIBES, 2 * VIBES)
        assert pipeline.settle_once() is None
    assert audit(operator)["ok"] is True


def test_rewards_come_with_the_money_when_an_account_is_emptied(operator: Operator, alice: Wallet) -> None:
    vested(operator, alice)
    operator.stack.request_withdrawal(alice, 40 * VIBES)  # more than there is: the slot drains
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
        withdrawable_base = operator.stack.settlement.functions.account(alice.idx).call()[3]
        assert withdrawable_base == 22 * VIBES
        operator.assert_books_match_chain()
