"""What a contract with a mistake might do to owners, the audit names: events that no honest one can emit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.audit.accounts import Accounts
from bridge.audit.chain import Log
from bridge.audit.checks import Mismatch, Place, Tally
from bridge.chain import Status
from bridge.rollup.batch import Slot

DEADLINE_S, BLOCK_S = 1_000, 10
OWNER, STRANGER = "0x" + "11" * 20, "0x" + "22" * 20
ROOT, BALANCE_BASE = 777, 40
ASKED, SERVED, OVERDUE = 1, 2, 200
"""Blocks: of the requests, of a batch, and of a moment when the requests are overdue."""


def log(name: str, block: int, idx: int = 1, **args: object) -> Log:
    return Log("settlement", name, {"idx": idx} | args, block, 0, "0x", 0)


def asked(name: str, block: int = ASKED, idx: int = 1, **args: object) -> Log:
    return log(name, block, idx, deadline=block * BLOCK_S + DEADLINE_S, **args)


@pytest.fixture
def accounts() -> Accounts:
    """Account 1 is in the tree and has an overdue withdrawal, account 2 only a deposit."""
    made = Accounts(Tally(), DEADLINE_S, lambda block: block * BLOCK_S)
    for idx in (1, 2):
        made.opened(log("AccountOpened", ASKED, idx, owner=OWNER))
        made.deposit(log("Deposited", ASKED, idx, amount=50))
        made.key_request(asked("SessionKeyRequested", idx=idx, keyCommit=9))
    made.serve(Slot(1, deposit=BALANCE_BASE, key_commit=9), Place(SERVED, 1))
    made.withdrawal_request(asked("WithdrawalRequested", amount=30))
    return made


def freeze(accounts: Accounts, block: int = OVERDUE, idx: int = 1, **changes: int) -> None:
    told = {"root": ROOT, "refundedDeposit": 10, "voidedWithdrawal": 30} | changes
    accounts.frozen(log("AccountFrozen", block, idx, **told), ROOT, BALANCE_BASE)


def leave(accounts: Accounts, amount: int = BALANCE_BASE, owner: str = OWNER) -> None:
    accounts.exited(log("AccountExited", OVERDUE, amount=amount, owner=owner))


def frozen_first(step: Callable[[Accounts], object]) -> Callable[[Accounts], object]:
    def both(accounts: Accounts) -> None:
        freeze(accounts)
        step(accounts)

    return both


def left_first(accounts: Accounts) -> None:
    freeze(accounts)
    leave(accounts)
    leave(accounts)


def paused_first(step: Callable[[Accounts], object]) -> Callable[[Accounts], object]:
    def both(accounts: Accounts) -> None:
        accounts.paused = True
        step(accounts)

    return both


def cancel(accounts: Accounts, block: int = OVERDUE, amount: int = 50) -> None:
    accounts.cancelled(log("DepositCancelled", block, 2, amount=amount))


def announced_first(step: Callable[[Accounts], object]) -> Callable[[Accounts], object]:
    def both(accounts: Accounts) -> None:
        accounts.cancel_announced(asked("DepositCancelAnnounced", idx=2, amount=50))
        step(accounts)

    return both


CASES: list[tuple[str, Callable[[Accounts], object], str]] = [
    ("early freeze", lambda a: freeze(a, block=101), "deadlines"),
    ("freeze of an account that is in no tree", lambda a: freeze(a, idx=2), "freezes"),
    ("freeze at another root", lambda a: freeze(a, root=ROOT + 1), "freezes"),
    ("other refund", lambda a: freeze(a, refundedDeposit=11), "freezes"),
    ("other request voided", lambda a: freeze(a, voidedWithdrawal=0), "freezes"),
    ("second freeze", frozen_first(freeze), "freezes"),
    ("exit without a freeze", leave, "exits"),
    ("exit with more", frozen_first(lambda a: leave(a, BALANCE_BASE + 1)), "exits"),
    ("exit to a stranger", frozen_first(lambda a: leave(a, owner=STRANGER)), "exits"),
    ("second exit", left_first, "exits"),
    (
        "batch after the freeze",
        frozen_first(lambda a: a.serve(Slot(1), Place(OVERDUE, 2))),
        "frozen accounts",
    ),
    (
        "deposit after the freeze",
        frozen_first(lambda a: a.deposit(log("Deposited", OVERDUE, amount=1))),
        "frozen accounts",
    ),
    (
        "request after the freeze",
        frozen_first(lambda a: a.withdrawal_request(asked("WithdrawalRequested", OVERDUE, amount=1))),
        "frozen accounts",
    ),
    ("deposit while paused", paused_first(lambda a: a.deposit(log("Deposited", SERVED, amount=1))), "pauses"),
    ("batch while paused", paused_first(lambda a: a.require_running(Place(SERVED, 2))), "pauses"),
    ("cancel without announcement", lambda a: cancel(a, amount=0), "deadlines"),
    ("early cancel", announced_first(lambda a: cancel(a, block=101)), "deadlines"),
    ("cancel of more", announced_first(lambda a: cancel(a, amount=51)), "cancelled deposits"),
    ("second cancel", announced_first(lambda a: (cancel(a), cancel(a))), "cancelled deposits"),
    (
        "announcement of more",
        lambda a: a.cancel_announced(asked("DepositCancelAnnounced", idx=2, amount=51)),
        "cancelled deposits",
    ),
]


@pytest.mark.parametrize(("happens", "check"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_must_not_happen_is_named(
    accounts: Accounts, happens: Callable[[Accounts], object], check: str
) -> None:
    with pytest.raises(Mismatch) as found:
        happens(accounts)
    assert found.value.check == check


def test_the_honest_ways_out_hold(accounts: Accounts) -> None:
    freeze(accounts, block=102)
    leave(accounts)
    record = accounts.records[1]
    assert (record.status, record.withdrawable, record.pending_deposit) == (Status.EXITED, 10, 0)
    accounts.withdrawn(log("Withdrawn", OVERDUE, amount=10, owner=OWNER))
    announced_first(cancel)(accounts)
    assert (accounts.records[2].withdrawable, accounts.records[2].pending_deposit) == (50, 0)


def test_a_batch_that_takes_an_announced_deposit_leaves_less_to_cancel(accounts: Accounts) -> None:
    accounts.cancel_announced(asked("DepositCancelAnnounced", idx=2, amount=50))
    accounts.serve(Slot(2, deposit=20, key_commit=9), Place(SERVED, 1))
    cancel(accounts, amount=30)
    assert accounts.records[2].withdrawable == 30
