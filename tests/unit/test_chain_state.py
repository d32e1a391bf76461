"""The fold of the chain's events: what owners ask for, take back and leave with."""

from __future__ import annotations

import pytest
from support.books import DOMAIN, session_commit

from bridge.errors import UnexpectedEvent
from bridge.rollup.batch import Slot, encode_slot
from bridge.state import ChainEvent, ChainState, Requests


class Chain:
    """Applies events, each in a block of its own."""

    def __init__(self) -> None:
        self.state = ChainState(DOMAIN)
        self.height = 0

    def emit(self, name: str, **args: object) -> None:
        self.height += 1
        self.state.apply(ChainEvent(name, args, self.height, "", f"tx{self.height}", 0, 100 + self.height))

    def settle(self, *slots: Slot) -> None:
        after = self.state.rollup.copy()
        after.apply(slots)
        words = [word for slot in slots for word in encode_slot(slot)]
        self.emit(
            "BatchSettled",
            batchNumber=self.state.batch_number + 1,
            oldRoot=self.state.rollup.root,
            newRoot=after.root,
            words=words,
        )

    def requests(self) -> Requests | None:
        return self.state.requests.get(1)


@pytest.fixture
def chain() -> Chain:
    """Account 1 with a deposit of 50, of which 30 are in the tree."""
    chain = Chain()
    chain.emit("SessionKeyRequested", idx=1, keyCommit=session_commit(1))
    chain.emit("Deposited", idx=1, amount=50)
    chain.settle(Slot(1, deposit=30, key_commit=session_commit(1)))
    return chain


def test_a_cancelled_deposit_is_pending_until_it_goes(chain: Chain) -> None:
    chain.emit("DepositCancelAnnounced", idx=1, amount=20, deadline=0)
    assert chain.requests() == Requests(deposit_base=20, cancelling_base=20, since=101)
    chain.emit("Deposited", idx=1, amount=5)
    assert chain.requests() == Requests(deposit_base=25, cancelling_base=20, since=101)
    chain.emit("DepositCancelled", idx=1, amount=20)
    assert chain.requests() == Requests(deposit_base=5, since=101)
    chain.settle(Slot(1, deposit=5))
    assert chain.requests() is None


@pytest.mark.parametrize(("consumed", "left"), [(5, 15), (19, 1), (20, 0)])
def test_a_batch_may_consume_an_announced_deposit(chain: Chain, consumed: int, left: int) -> None:
    chain.emit("DepositCancelAnnounced", idx=1, amount=20, deadline=0)
    chain.settle(Slot(1, deposit=consumed))
    found = chain.requests() or Requests()
    assert (found.deposit_base, found.cancelling_base) == (left, left)


def test_what_is_consumed_comes_from_what_is_not_announced_first(chain: Chain) -> None:
    chain.emit("DepositCancelAnnounced", idx=1, amount=20, deadline=0)
    chain.emit("Deposited", idx=1, amount=10)
    chain.settle(Slot(1, deposit=10))
    assert chain.requests() == Requests(deposit_base=20, cancelling_base=20, since=101)


def test_a_frozen_account_has_no_requests_and_no_slot(chain: Chain) -> None:
    chain.emit("WithdrawalRequested", idx=1, amount=9, deadline=0)
    chain.emit("SessionKeyRequested", idx=1, keyCommit=5)
    chain.emit("AccountFrozen", idx=1, root=chain.state.rollup.root, refundedDeposit=20, voidedWithdrawal=9)
    assert (chain.requests(), chain.state.frozen, chain.state.exited) == (None, {1}, set())
    with pytest.raises(UnexpectedEvent, match="frozen account 1"):
        chain.settle(Slot(1, withdraw=1))
    with pytest.raises(UnexpectedEvent, match="frozen account 1"):
        chain.emit("Deposited", idx=1, amount=1)
    chain.emit("AccountExited", idx=1, owner="0x", amount=30)
    assert (chain.state.frozen, chain.state.exited) == ({1}, {1})
    with pytest.raises(UnexpectedEvent):
        chain.emit("AccountExited", idx=1, owner="0x", amount=30)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("DepositCancelAnnounced", {"amount": 21}),
        ("DepositCancelled", {"amount": 1}),
        ("AccountFrozen", {"refundedDeposit": 19}),
        ("AccountExited", {"amount": 30}),
    ],
)
def test_what_the_contract_cannot_say_is_refused(chain: Chain, name: str, args: dict[str, int]) -> None:
    with pytest.raises(UnexpectedEvent):
        chain.emit(name, idx=1, **args)


def test_an_exit_pays_what_the_tree_holds(chain: Chain) -> None:
    chain.emit("AccountFrozen", idx=1, root=0, refundedDeposit=20, voidedWithdrawal=0)
    with pytest.raises(UnexpectedEvent, match="exits with 31 of 30"):
        chain.emit("AccountExited", idx=1, owner="0x", amount=31)


def test_pauses_are_noted(chain: Chain) -> None:
    chain.emit("Paused")
    assert chain.state.paused
    chain.emit("Unpaused")
    assert not chain.state.paused
