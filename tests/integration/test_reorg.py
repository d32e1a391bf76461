"""Reorganisations on a real chain, with the real bridge and ledger: what was dropped is taken back."""

from __future__ import annotations

import pytest
from support.operator import Operator
from support.stack import VIBES, Wallet

from router.ledger import AccountInDeficit, AccountView, read


def reorg(operator: Operator, depth: int) -> None:
    """Replaces the newest blocks by empty ones; their transactions are gone from the pool, too."""
    operator.stack.anvil.rpc("anvil_reorg", depth, [])


def mark(operator: Operator) -> int:
    return int(operator.stack.web3.eth.block_number)


def reorg_to(operator: Operator, block: int) -> None:
    """Drops every block behind one."""
    reorg(operator, mark(operator) - block)


def view(operator: Operator, wallet: Wallet) -> AccountView:
    return operator.ledger.read(lambda connection: read.account_view(connection, wallet.idx))


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    """A wallet with a deposit, an open account in the tree and a ceiling."""
    wallet = operator.stack.wallet("alice", 30 * VIBES)
    operator.stack.deposit(wallet, 10 * VIBES)
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
        operator.sign_ceiling(wallet, 30 * VIBES)
    return wallet


def test_a_dropped_deposit_that_was_spent_leaves_a_deficit_that_the_next_deposit_covers(
    operator: Operator, alice: Wallet
) -> None:
    with operator.pipeline() as pipeline:
        before = mark(operator)
        operator.stack.deposit(alice, 5 * VIBES)
        pipeline.sync()
        operator.charge(alice, 12 * VIBES)
        reorg_to(operator, before)
        pipeline.sync()
        operator.assert_books_match_chain()
        assert operator.ledger.read(read.deficits) == {alice.idx: 2 * VIBES}
        assert (view(operator, alice).balance_base, view(operator, alice).available_base) == (0, 0)
        with pytest.raises(AccountInDeficit) as refused:
            operator.open_call(alice, 1)
        assert refused.value.deficit_base == 2 * VIBES
        operator.stack.deposit(alice, 3 * VIBES)
        pipeline.sync()
        operator.assert_books_match_chain()
        assert operator.ledger.read(read.deficits) == {}
        assert view(operator, alice).balance_base == VIBES
        operator.charge(alice, VIBES)
        assert pipeline.settle_once() is not None
        operator.assert_books_match_chain()
        assert view(operator, alice).settled_spent_base == 13 * VIBES
    assert any("the chain dropped blocks" in line for line in operator.reports)
