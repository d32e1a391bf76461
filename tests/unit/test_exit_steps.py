"""Which step out comes next, from every standing that an account can be in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.chain import Status
from bridge.exit.steps import Standing, Step, Wait, next_step
from mini_llm.wallet.limits import MAX_AMOUNT_BASE

NOW_S = 1_000_000
FUTURE_S, PAST_S = NOW_S, NOW_S - 1
"""A deadline is over in the second after it."""

EMPTY = Standing(
    idx=7, owner="0x" + "11" * 20, status=Status.OPEN, now_s=NOW_S, balance_base=0, pending_deposit_base=0,
    cancelling_base=0, cancel_deadline_s=0, pending_withdrawal_base=0, withdrawal_deadline_s=0, pending_key=0,
    key_deadline_s=0, withdrawable_base=0, frozen_root=0,
)  # fmt: skip


def step_of(**changes: int | Status) -> Step | Wait | None:
    return next_step(replace(EMPTY, **changes))


@pytest.mark.parametrize("status", [Status.UNOPENED, Status.OPEN, Status.FROZEN, Status.EXITED])
def test_an_empty_account_is_done(status: Status) -> None:
    assert step_of(status=status) is None


@pytest.mark.parametrize("status", [Status.UNOPENED, Status.OPEN, Status.FROZEN, Status.EXITED])
def test_what_is_withdrawable_is_withdrawn(status: Status) -> None:
    assert step_of(status=status, withdrawable_base=5) == Step("withdraw", (7,), pays_base=5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Step("announceCancelDeposit", (), by_owner=True)),
        # a batch may open it at the last moment: then the request is due as well
        (
            {"cancelling_base": 9, "cancel_deadline_s": FUTURE_S},
            Step("requestWithdrawal", (9,), by_owner=True),
        ),
        (
            {
                "cancelling_base": 9,
                "cancel_deadline_s": FUTURE_S,
                "pending_withdrawal_base": 9,
                "withdrawal_deadline_s": PAST_S,
            },
            Wait,
        ),
        ({"cancelling_base": 9, "cancel_deadline_s": PAST_S}, Step("cancelDeposit", (7,))),
    ],
)
def test_an_account_that_was_never_opened_takes_its_deposit_back(
    changes: dict[str, int], expected: Step | type[Wait]
) -> None:
    # a key request is outstanding from the first deposit on: it cannot be frozen all the same
    found = step_of(
        status=Status.UNOPENED, pending_deposit_base=9, pending_key=1, key_deadline_s=PAST_S, **changes
    )
    assert found == expected or (expected is Wait and found == Wait(FUTURE_S + 1, found.what))


def test_an_open_account_asks_for_all_it_has() -> None:
    announced = {"pending_deposit_base": 12, "cancelling_base": 12, "cancel_deadline_s": FUTURE_S}
    asked = step_of(balance_base=30, **announced)
    assert asked == Step("requestWithdrawal", (42,), by_owner=True)
    assert step_of(**announced) == Step("requestWithdrawal", (12,), by_owner=True)
    assert step_of(balance_base=2**60) == Step("requestWithdrawal", (MAX_AMOUNT_BASE,), by_owner=True)


def test_an_open_account_takes_its_deposit_back_meanwhile() -> None:
    """A request alone could be answered out of an empty tree for ever, with the deposit left pending."""
    deposit = {"pending_deposit_base": 12, "pending_withdrawal_base": 12, "withdrawal_deadline_s": FUTURE_S}
    assert step_of(**deposit) == Step("announceCancelDeposit", (), by_owner=True)
    due = deposit | {"cancelling_base": 12, "cancel_deadline_s": PAST_S}
    assert step_of(**due) == Step("cancelDeposit", (7,))
    waited = step_of(**deposit, cancelling_base=5, cancel_deadline_s=FUTURE_S - 50, now_s=NOW_S - 60)
    assert isinstance(waited, Wait)
    assert waited.until_s == FUTURE_S - 49


def test_a_request_is_waited_for_and_then_the_account_frozen() -> None:
    asked = {"balance_base": 30, "pending_withdrawal_base": 1}
    waited = step_of(**asked, withdrawal_deadline_s=FUTURE_S)
    assert isinstance(waited, Wait)
    assert waited.until_s == FUTURE_S + 1
    assert step_of(**asked, withdrawal_deadline_s=PAST_S) == Step("freeze", (7,))


def test_an_unserved_key_change_lets_an_account_out_too() -> None:
    key = {"balance_base": 30, "pending_key": 1}
    assert step_of(**key, key_deadline_s=PAST_S) == Step("freeze", (7,))
    # before its deadline a withdrawal is asked for; whichever deadline comes first then counts
    assert step_of(**key, key_deadline_s=FUTURE_S) == Step("requestWithdrawal", (30,), by_owner=True)
    both = {"pending_withdrawal_base": 30, "withdrawal_deadline_s": FUTURE_S + 50}
    waited = step_of(**key, **both, key_deadline_s=FUTURE_S)
    assert isinstance(waited, Wait)
    assert waited.until_s == FUTURE_S + 1


def test_what_can_be_paid_is_paid_while_the_rest_waits() -> None:
    waiting = {"balance_base": 30, "pending_withdrawal_base": 30, "withdrawal_deadline_s": FUTURE_S}
    assert step_of(**waiting, withdrawable_base=4) == Step("withdraw", (7,), pays_base=4)


def test_a_frozen_account_is_paid_its_refund_then_by_proof() -> None:
    frozen = {"status": Status.FROZEN, "frozen_root": 1}
    refunded = frozen | {"balance_base": 30, "withdrawable_base": 4}
    assert step_of(**refunded) == Step("withdraw", (7,), pays_base=4)
    assert step_of(**frozen, balance_base=30) == Step("exit", (7, 30), pays_base=30)
