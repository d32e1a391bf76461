"""The whole cycle on a real chain with real proofs: deposits in, charges settled, money out."""

from __future__ import annotations

import pytest
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import PARTNERS, VIBES, Stack, Wallet

from bridge.tables import BatchStep
from router.ledger import AccountPaused
from router.ledger.read import account_view


def funded(operator: Operator, label: str, deposit_base: int) -> Wallet:
    wallet = operator.stack.wallet(label, deposit_base)
    operator.stack.deposit(wallet, deposit_base)
    return wallet


def balance_base(stack: Stack, address: str) -> int:
    return int(stack.token.functions.balanceOf(address).call())


def test_charges_of_a_partner_that_is_not_registered_wait_and_hold_up_nobody(operator: Operator) -> None:
    """The operator's configuration is ahead of the timelock: the contract would refuse such a batch."""
    stack = operator.stack
    alice, bob = funded(operator, "alice", 10 * VIBES), funded(operator, "bob", 5 * VIBES)
    unknown = len(PARTNERS) + 1
    with operator.pipeline() as pipeline:
        pipeline.sync()
        for wallet in (alice, bob):
            operator.sign_ceiling(wallet, 4 * VIBES)
        for partner_id, charge_base in ((1, 700), (unknown, 11), (2, 5)):
            operator.charge(alice, charge_base, partner_id=partner_id)
        operator.charge(bob, 13, partner_id=2)
        stack.request_withdrawal(bob, VIBES)
        batch = pipeline.settle_once()
        assert batch is not None
        assert batch.header.receipts_total == 700 + 13
        assert stack.settlement.functions.account(bob.idx).call()[3] == VIBES
        assert pipeline.settle_once() is None
        stack.as_timelock(stack.registry.functions.addPartner("late", stack.relayer.address, 0))
        batch = pipeline.settle_once()
        assert batch is not None
        assert batch.header.receipts_total == 11 + 5
        operator.assert_books_match_chain()


def test_money_goes_in_is_spent_and_comes_out(operator: Operator) -> None:
    stack = operator.stack
    settlement = stack.settlement.functions
    alice = funded(operator, "alice", 10 * VIBES)
    bob = funded(operator, "bob", 5 * VIBES)
    with operator.pipeline() as pipeline:
        # batch 1: both accounts are opened, credited and charged at once
        pipeline.sync()
        operator.assert_books_match_chain()
        for wallet in (alice, bob):
            operator.sign_ceiling(wallet, 4 * VIBES)
        for charge_base in (1_234_567, 1, 999_999):
            operator.charge(alice, charge_base, partner_id=1)
        operator.charge(bob, 700_001, partner_id=2)
        operator.charge(bob, 11, partner_id=0)
        first = pipeline.settle_once()
        assert first is not None
        assert (first.number, first.accounts, first.step) == (1, 2, BatchStep.FINAL)
        assert first.header.receipts_total == 1_234_567 + 1 + 999_999 + 700_001 + 11
        operator.assert_books_match_chain()
        assert pipeline.settle_once() is None

        # batch 2: a withdrawal in full beside new charges, and one that drains
        operator.charge(alice, 345_678, partner_id=2)
        stack.request_withdrawal(alice, 3 * VIBES)
        stack.request_withdrawal(bob, 5 * VIBES)
        second = pipeline.settle_once()
        assert second is not None
        assert second.number == 2
        bob_left_base = 5 * VIBES - 700_012
        for wallet, paid_base in ((alice, 3 * VIBES), (bob, bob_left_base)):
            assert settlement.account(wallet.idx).call()[3] == paid_base
            stack.send(stack.relayer, settlement.withdraw(wallet.idx))
            assert balance_base(stack, wallet.address) == paid_base
        pipeline.sync()
        operator.assert_books_match_chain()

        # batch 3: a key change; the account waits for it, and the old ceiling is void after it
        stack.change_key(alice, index=1)
        pipeline.sync()
        with pytest.raises(AccountPaused):
            operator.charge(alice, 1)
        third = pipeline.settle_once()
        assert third is not None
        assert third.number == 3
        assert operator.ledger.read(lambda connection: account_view(connection, alice.idx)).ceiling_base == 0
        operator.sign_ceiling(alice, 4 * VIBES)
        operator.charge(alice, 222_222, partner_id=2)
        fourth = pipeline.settle_once()
        assert fourth is not None
        assert fourth.number == 4

        # payouts: each partner gets the floor of its share of its own gross, once
        for partner_id, gross_base in ((1, 2_234_567), (2, 700_001 + 345_678 + 222_222)):
            share_base = gross_base * PARTNERS[partner_id - 1][1] // 10_000
            stack.send(stack.relayer, settlement.claimPartner(partner_id))
            assert balance_base(stack, stack.payouts[partner_id - 1].address) == share_base
        stack.send(stack.relayer, settlement.claimFee())
        stack.send(stack.relayer, settlement.claimTreasury())
        pipeline.sync()
        operator.assert_books_match_chain()
    assert settlement.batchNumber().call() == 4


def test_a_running_call_holds_back_a_draining_withdrawal_and_a_key_change(operator: Operator) -> None:
    stack = operator.stack
    alice = funded(operator, "alice", 5 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        operator.sign_ceiling(alice, 5 * VIBES)
        running = operator.open_call(alice, 2 * VIBES)
        stack.request_withdrawal(alice, 4 * VIBES)
        opened = pipeline.settle_once()  # opens the account, serves nothing yet
        assert opened is not None
        assert stack.settlement.functions.account(alice.idx).call()[2] == 4 * VIBES
        stack.change_key(alice, index=1)
        assert pipeline.settle_once() is None
        operator.finish_call(running, 1_500_000)
        settled = pipeline.settle_once()
        assert settled is not None
        assert settled.header.receipts_total == 1_500_000
        account = stack.settlement.functions.account(alice.idx).call()
        assert (account[2], account[3], account[6]) == (0, 3_500_000, 0)
        operator.assert_books_match_chain()


def test_more_accounts_than_slots_settle_oldest_first(operator: Operator) -> None:
    wallets = [funded(operator, f"user {number}", VIBES) for number in range(5)]
    with operator.pipeline() as pipeline:
        first = pipeline.settle_once()
        second = pipeline.settle_once()
        assert first is not None
        assert second is not None
        assert (first.accounts, second.accounts) == (4, 1)
        assert pipeline.settle_once() is None
    pending = [operator.stack.settlement.functions.account(one.idx).call()[1] for one in wallets]
    assert pending == [0] * 5
