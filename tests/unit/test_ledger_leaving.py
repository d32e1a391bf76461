"""How money leaves: cancelled deposits, frozen accounts, exits. The user never pays for what went wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.books import DOMAIN, Books, apply, new_books, session_commit, signed_ceiling, slot

from router.ledger import (
    AccountClosed,
    AccountInDeficit,
    CeilingRejected,
    IdempotencyMismatch,
    InsufficientFunds,
    LedgerMismatch,
    UnknownAccount,
    chain,
    check_ceiling,
    leaving,
    read,
    store_ceiling,
)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10_000)
        yield books


def opened(books: Books) -> None:
    """Puts account 1 into the tree: 6,000 consumed, 4,000 of the deposit still pending."""
    books.settle(1, slot(1, deposit=6_000, key_commit=session_commit(1)))


def test_an_announced_deposit_is_not_counted_from_then_on(books: Books) -> None:
    opened(books)
    apply(books, leaving.announce_cancel, 1, 4_000, "tx:1")
    account = books.account(1)
    assert (account.balance_base, account.cancelling_base, account.available_base) == (10_000, 4_000, 6_000)
    with pytest.raises(InsufficientFunds):
        books.reserve(1, 6_001)
    books.call(1, 6_000)
    apply(books, leaving.cancel_deposit, 1, 4_000, "tx:2")
    account = books.account(1)
    assert (account.balance_base, account.cancelling_base, account.pending_deposit_base) == (0, 0, 0)
    assert books.balances()["withdrawable:1"] == 4_000
    assert books.ledger.read(read.deficits) == {}


def test_a_batch_that_consumes_an_announced_deposit_leaves_less_to_cancel(books: Books) -> None:
    opened(books)
    apply(books, leaving.announce_cancel, 1, 4_000, "tx:1")
    books.settle(2, slot(1, deposit=1_000))
    account = books.account(1)
    assert (account.pending_deposit_base, account.cancelling_base) == (3_000, 3_000)
    with pytest.raises(LedgerMismatch):
        apply(books, leaving.cancel_deposit, 1, 4_000, "tx:2")
    apply(books, leaving.cancel_deposit, 1, 3_000, "tx:2")
    assert books.balances()["withdrawable:1"] == 3_000


def test_a_later_deposit_is_not_part_of_an_announcement(books: Books) -> None:
    apply(books, leaving.announce_cancel, 1, 10_000, "tx:1")
    apply(books, chain.credit_deposit, 1, 500, "tx:2")
    assert books.account(1).available_base == 500
    apply(books, leaving.cancel_deposit, 1, 10_000, "tx:3")
    assert books.account(1).balance_base == 500


def test_a_cancelled_deposit_that_was_spent_before_leaves_a_deficit(books: Books) -> None:
    books.call(1, 7_000)
    apply(books, leaving.announce_cancel, 1, 10_000, "tx:1")
    assert books.account(1).available_base == 0
    apply(books, leaving.cancel_deposit, 1, 10_000, "tx:2")
    assert books.ledger.read(read.deficits) == {1: 7_000}
    assert books.balances()["deficit:1"] == -7_000
    with pytest.raises(AccountInDeficit):
        books.reserve(1, 0)


def test_more_than_is_pending_cannot_be_cancelled(books: Books) -> None:
    opened(books)
    with pytest.raises(LedgerMismatch):
        apply(books, leaving.announce_cancel, 1, 4_001, "tx:1")
    with pytest.raises(LedgerMismatch):
        books.settle(2, slot(1, deposit=4_001))


def test_a_frozen_account_has_what_its_leaf_says_and_the_operator_bears_the_rest(books: Books) -> None:
    opened(books)
    books.call(1, 1_500)
    books.settle(2, slot(1, charge=1_500), burned_base=75)
    books.call(1, 2_500)
    apply(books, chain.request_withdrawal, 1, 100, "tx:1")
    running = books.reserve(1, 300)
    apply(books, leaving.freeze_account, 1, 4_000, "tx:2")
    account = books.account(1)
    assert (account.status, account.balance_base, account.reserved_base) == ("frozen", 4_500, 0)
    assert (account.withdraw_requested_base, account.pending_deposit_base) == (0, 0)
    assert (account.spent_base, account.written_off_base, account.unsettled_base) == (4_000, 2_500, 0)
    assert books.ledger.read(lambda c: read.unsettled(c, {1: 1_500})) == []
    assert books.ledger.read(read.written_off_base) == 2_500
    late = books.post(running.entry_id, 300)
    assert (late.charge_base, late.lost_base, late.late) == (0, 300, True)
    with pytest.raises(AccountClosed, match="frozen on chain"):
        books.reserve(1, 0)
    with pytest.raises(LedgerMismatch, match="state of account 1"):
        books.settle(3, slot(1, deposit=0))
    apply(books, leaving.exit_account, 1, 4_500, "tx:3")
    account = books.account(1)
    assert (account.status, account.balance_base) == ("exited", 0)
    balances = books.balances()
    assert (balances["user:1"], balances["loss"], balances["withdrawable:1"]) == (0, -2_500, 4_000)
    assert balances["custody"] == -(10_000 - 75 - 4_500)
    with pytest.raises(AccountClosed, match="exited"):
        books.reserve(1, 0)


def test_charges_above_the_leaf_are_the_operators_loss_and_no_deficit(books: Books) -> None:
    opened(books)
    books.call(1, 9_000)
    apply(books, leaving.freeze_account, 1, 4_000, "tx:1")
    assert (books.account(1).balance_base, books.account(1).deficit_base) == (6_000, 0)
    apply(books, leaving.exit_account, 1, 6_000, "tx:2")


@pytest.mark.parametrize("refunded_base", [0, 3_999, 4_001])
def test_a_freeze_refunds_exactly_what_is_pending(books: Books, refunded_base: int) -> None:
    opened(books)
    with pytest.raises(LedgerMismatch):
        apply(books, leaving.freeze_account, 1, refunded_base, "tx:1")
    assert books.account(1).status == "open"


def test_an_exit_needs_a_frozen_account_and_its_exact_balance(books: Books) -> None:
    opened(books)
    with pytest.raises(LedgerMismatch):
        apply(books, leaving.exit_account, 1, 6_000, "tx:1")
    apply(books, leaving.freeze_account, 1, 4_000, "tx:2")
    with pytest.raises(LedgerMismatch):
        apply(books, leaving.exit_account, 1, 6_001, "tx:1")
    assert apply(books, leaving.exit_account, 1, 6_000, "tx:1")
    with pytest.raises(LedgerMismatch):
        apply(books, leaving.exit_account, 1, 6_000, "tx:3")


def test_a_frozen_account_takes_no_ceiling(books: Books) -> None:
    opened(books)
    apply(books, leaving.freeze_account, 1, 4_000, "tx:1")
    with pytest.raises(CeilingRejected):
        books.ledger.run(lambda c: store_ceiling(c, check_ceiling(DOMAIN, signed_ceiling(1, 20_000))))


def test_each_is_applied_once_and_never_with_other_content(books: Books) -> None:
    opened(books)
    for operation, amount_base in (
        (leaving.announce_cancel, 4_000),
        (leaving.cancel_deposit, 4_000),
        (leaving.freeze_account, 0),
        (leaving.exit_account, 6_000),
    ):
        assert apply(books, operation, 1, amount_base, "tx:1")
        before = (books.account(1), books.balances())
        assert not apply(books, operation, 1, amount_base, "tx:1")
        with pytest.raises(IdempotencyMismatch):
            apply(books, operation, 1, amount_base + 1, "tx:1")
        assert (books.account(1), books.balances()) == before
        with pytest.raises(UnknownAccount):
            apply(books, operation, 2, 1, "tx:2")
