"""Reorganisations on a real chain, with the real bridge and ledger: what was dropped is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hexbytes import HexBytes
from support.leaving import exit_account, pass_time
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import SERVICE_DEADLINE_S, VIBES, Wallet

from bridge.chain.client import ChainClient
from bridge.errors import FalseState, ReorgDetected, RpcUnavailable
from bridge.pipeline import Pipeline
from bridge.state import ChainState
from bridge.store import open_store
from router.ledger import AccountClosed, AccountInDeficit, AccountView, batches, book_errors, read
from router.ledger.models import ENTRY, Kind


def head(operator: Operator) -> int:
    return int(operator.stack.web3.eth.block_number)


def reorg_to(operator: Operator, block: int) -> None:
    """Replaces every block behind one by empty ones, and one more; their transactions are forgotten."""
    operator.stack.anvil.rpc("anvil_reorg", head(operator) - block, [])
    operator.stack.anvil.rpc("evm_mine")


def view(operator: Operator, wallet: Wallet) -> AccountView:
    return operator.ledger.read(lambda connection: read.account_view(connection, wallet.idx))


def settled_in(operator: Operator, wallet: Wallet, total_base: int) -> int | None:
    """The batch of the account's receipt with this running total."""
    found = operator.ledger.read(lambda c: batches.batch_of_total(c, wallet.idx, total_base))
    return None if found is None else found.number


def reversals(operator: Operator) -> int:
    query = ENTRY.select().where(ENTRY.c.kind == Kind.REVERSAL)
    return operator.ledger.read(lambda connection: len(connection.execute(query).all()))


def chain_state(operator: Operator) -> ChainState:
    """The chain's state as the store alone tells it."""
    state = ChainState(operator.stack.domain)
    for _, event in open_store(operator.settings.store_url).events_after(0):
        state.apply(event)
    return state


def followed(pipeline: Pipeline, operator: Operator) -> None:
    """The bridge catches up, and then books and chain agree."""
    pipeline.sync()
    operator.assert_books_match_chain()


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    """A wallet with a deposit of 10 that no batch has consumed."""
    wallet = operator.stack.wallet("alice", 40 * VIBES)
    operator.stack.deposit(wallet, 10 * VIBES)
    return wallet


def test_a_dropped_deposit_that_was_spent_leaves_a_deficit_that_the_next_deposit_covers(
    operator: Operator, alice: Wallet
) -> None:
    with operator.pipeline() as pipeline:
        before = head(operator)
        operator.stack.deposit(alice, 5 * VIBES)
        pipeline.sync()
        operator.sign_ceiling(alice, 30 * VIBES)
        operator.charge(alice, 9 * VIBES)
        operator.charge(alice, 3 * VIBES)
        reorg_to(operator, before)
        followed(pipeline, operator)
        assert operator.ledger.read(read.deficits) == {alice.idx: 2 * VIBES}
        assert (view(operator, alice).balance_base, view(operator, alice).available_base) == (0, 0)
        with pytest.raises(AccountInDeficit) as refused:
            operator.open_call(alice, 1)
        assert refused.value.deficit_base == 2 * VIBES
        # what the chain still covers is settled meanwhile: the first call, not the second
        batch = pipeline.settle_once()
        assert batch is not None
        assert batch.header.receipts_total == 9 * VIBES
        operator.stack.deposit(alice, 3 * VIBES)
        followed(pipeline, operator)
        assert operator.ledger.read(read.deficits) == {}
        assert view(operator, alice).balance_base == VIBES
        operator.charge(alice, VIBES)
        batch = pipeline.settle_once()
        assert batch is not None
        assert batch.header.receipts_total == 4 * VIBES
        operator.assert_books_match_chain()
    assert sum("the chain dropped blocks" in line for line in operator.reports) == 1
    codes = [alert.code for alert in open_store(operator.settings.store_url).alerts()]
    assert "reorg" in codes


def test_a_dropped_batch_is_unsettled_in_the_ledger_until_it_is_sent_again(
    operator: Operator, alice: Wallet
) -> None:
    with operator.pipeline() as pipeline:
        pipeline.sync()
        operator.sign_ceiling(alice, 10 * VIBES)
        operator.charge(alice, 4 * VIBES)
        operator.stack.request_withdrawal(alice, 2 * VIBES)
        before = head(operator)
        unsettled = view_after_sync(pipeline, operator, alice)
        batch = pipeline.settle_once()
        assert batch is not None
        operator.stack.send(operator.stack.relayer, operator.stack.settlement.functions.withdraw(alice.idx))
        followed(pipeline, operator)
        settled = view(operator, alice)
        assert settled.settled_spent_base == 4 * VIBES
        assert settled_in(operator, alice, 4 * VIBES) == batch.number
        reorg_to(operator, before)
        followed(pipeline, operator)
        assert view(operator, alice) == unsettled
        assert settled_in(operator, alice, 4 * VIBES) is None
        assert operator.ledger.read(lambda c: read.unsettled(c, {}))[0].posted_total_base == 4 * VIBES
        again = pipeline.settle_once()
        assert again is not None
        assert (again.number, again.words) == (batch.number, batch.words)
        operator.assert_books_match_chain()
        assert view(operator, alice) == settled
        assert settled_in(operator, alice, 4 * VIBES) == batch.number
        assert pipeline.settle_once() is None


def view_after_sync(pipeline: Pipeline, operator: Operator, wallet: Wallet) -> AccountView:
    pipeline.sync()
    return view(operator, wallet)


def test_a_transaction_that_comes_back_in_another_block_counts_again(
    operator: Operator, alice: Wallet
) -> None:
    stack = operator.stack
    with operator.pipeline() as pipeline:
        before = head(operator)
        stack.deposit(alice, 5 * VIBES)
        raw = stack.web3.eth.get_raw_transaction_by_block(head(operator), 0)
        pipeline.sync()
        for _ in range(2):
            credited = view(operator, alice)
            assert credited.balance_base == 15 * VIBES
            reorg_to(operator, before)
            followed(pipeline, operator)
            assert view(operator, alice).balance_base == 10 * VIBES
            stack.web3.eth.wait_for_transaction_receipt(stack.web3.eth.send_raw_transaction(raw))
            followed(pipeline, operator)
            assert view(operator, alice) == credited
    assert reversals(operator) == 2


def test_a_reorganisation_up_to_the_confirmations_goes_unnoticed(operator: Operator, alice: Wallet) -> None:
    settings = replace(operator.settings, confirmations=6)
    with operator.pipeline(settings) as pipeline:
        operator.stack.anvil.rpc("anvil_mine", hex(6))
        pipeline.sync()
        assert view(operator, alice).balance_base == 10 * VIBES
        for depth in (1, 6, 6):
            operator.stack.anvil.rpc("anvil_reorg", depth, [])
            pipeline.sync()
        assert reversals(operator) == 0
        assert open_store(settings.store_url).rewinds() == 0
        operator.stack.anvil.rpc("anvil_reorg", 7, [])  # one deeper: it takes the last block that was read
        pipeline.sync()
        assert open_store(settings.store_url).rewinds() == 1


def test_accounts_keys_and_withdrawals_of_dropped_blocks_are_taken_back(
    operator: Operator, alice: Wallet
) -> None:
    stack = operator.stack
    with operator.pipeline() as pipeline:
        before = head(operator)
        bob = stack.wallet("bob", 10 * VIBES)
        stack.deposit(bob, 6 * VIBES)
        stack.request_withdrawal(alice, VIBES)
        pipeline.sync()
        operator.sign_ceiling(bob, 6 * VIBES)
        operator.charge(bob, 2 * VIBES)
        reorg_to(operator, before)
        followed(pipeline, operator)
        assert view(operator, alice).withdraw_requested_base == 0
        lost = view(operator, bob)
        assert (lost.status, lost.usable_key_commit, lost.deficit_base) == ("dropped", None, 2 * VIBES)
        with pytest.raises(AccountClosed):
            operator.open_call(bob, 1)
    # the index goes to another wallet now, which owes nothing of that; a restarted bridge sees the same
    carol = stack.wallet("carol", 10 * VIBES)
    assert stack.deposit(carol, 7 * VIBES) == bob.idx
    with operator.pipeline() as pipeline:
        followed(pipeline, operator)
        given = view(operator, carol)
        assert (given.owner, given.status) == (carol.address, "reassigned")
        assert (given.balance_base, given.deficit_base, given.written_off_base) == (7 * VIBES, 0, 2 * VIBES)
        stack.request_withdrawal(carol, 7 * VIBES)
        settled = pipeline.settle_once()
        assert settled is not None
        assert settled.header.receipts_total == 0
        operator.assert_books_match_chain()
        assert stack.settlement.functions.account(carol.idx).call()[3] == 7 * VIBES


def test_a_dropped_freeze_opens_the_account_again_and_an_exit_closes_it(
    operator: Operator, alice: Wallet
) -> None:
    stack = operator.stack
    functions = stack.settlement.functions
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
        operator.sign_ceiling(alice, 20 * VIBES)
        stack.deposit(alice, 5 * VIBES)
        stack.request_withdrawal(alice, VIBES)
        pipeline.sync()
        operator.charge(alice, 3 * VIBES)
        open_view = view(operator, alice)
        pass_time(stack, SERVICE_DEADLINE_S + 1)
        before = head(operator)
        stack.send(stack.relayer, functions.freeze(alice.idx))
        followed(pipeline, operator)
        assert view(operator, alice).status == "frozen"
        with pytest.raises(AccountClosed):
            operator.open_call(alice, 1)
        reorg_to(operator, before)
        followed(pipeline, operator)
        assert view(operator, alice) == open_view

        stack.send(stack.relayer, functions.freeze(alice.idx))
        exit_account(stack, chain_state(operator).rollup, alice.idx)
        stack.send(stack.relayer, functions.withdraw(alice.idx))
        followed(pipeline, operator)
        left = view(operator, alice)
        assert (left.status, left.balance_base, left.written_off_base) == ("exited", 0, 3 * VIBES)
        assert stack.token.functions.balanceOf(alice.address).call() == 40 * VIBES
        assert pipeline.settle_once() is None


def test_an_announced_deposit_is_spent_no_more_and_goes_back(operator: Operator, alice: Wallet) -> None:
    stack = operator.stack
    stack.fund_gas(alice)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        operator.sign_ceiling(alice, 10 * VIBES)
        before = head(operator)
        stack.send(alice.account, stack.settlement.functions.announceCancelDeposit())
        followed(pipeline, operator)
        assert (view(operator, alice).cancelling_base, view(operator, alice).available_base) == (
            10 * VIBES,
            0,
        )
        reorg_to(operator, before)
        followed(pipeline, operator)
        assert view(operator, alice).available_base == 10 * VIBES
        stack.send(alice.account, stack.settlement.functions.announceCancelDeposit())
        pass_time(stack, SERVICE_DEADLINE_S + 1)
        stack.send(stack.relayer, stack.settlement.functions.cancelDeposit(alice.idx))
        stack.send(stack.relayer, stack.settlement.functions.withdraw(alice.idx))
        followed(pipeline, operator)
        assert view(operator, alice).balance_base == 0
        assert stack.token.functions.balanceOf(alice.address).call() == 40 * VIBES


def test_a_node_that_lags_behind_takes_nothing_back(operator: Operator, alice: Wallet) -> None:
    with operator.pipeline() as pipeline:
        pipeline.sync()
        operator.stack.anvil.rpc("anvil_rollback", 2)
        with pytest.raises(RpcUnavailable):
            pipeline.sync()
        assert view(operator, alice).balance_base == 10 * VIBES
        operator.stack.anvil.rpc("anvil_mine", hex(3))
        followed(pipeline, operator)
        assert view(operator, alice).status == "dropped"


def test_a_chain_that_lost_its_start_is_refused(operator: Operator, alice: Wallet) -> None:
    settings = replace(operator.settings, start_block=head(operator) - 1)
    with operator.pipeline(settings) as pipeline:
        pipeline.sync()
        reorg_to(operator, head(operator) - 4)
        with pytest.raises(ReorgDetected) as refused:
            pipeline.sync()
    assert refused.value.actual != refused.value.expected
    assert operator.ledger.read(book_errors) == []


def test_what_a_node_made_up_is_forgotten_once_it_is_found_out(
    operator: Operator, alice: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = ChainClient.logs

    def twice_the_amount(client: ChainClient, *query: Any) -> list[Any]:
        logs = [dict(log) for log in honest(client, *query)]
        for log in logs:
            if bytes(log["topics"][0]) == bytes(HexBytes(operator.stack.settlement.events.Deposited().topic)):
                log["data"] = HexBytes((20 * VIBES).to_bytes(32, "big"))
        return logs

    with operator.pipeline() as pipeline:
        monkeypatch.setattr(ChainClient, "logs", twice_the_amount)
        for _ in range(2):
            with pytest.raises(FalseState):
                pipeline.sync()
        assert operator.ledger.read(read.accounts) == []
        monkeypatch.setattr(ChainClient, "logs", honest)
        followed(pipeline, operator)
        assert view(operator, alice).balance_base == 10 * VIBES
