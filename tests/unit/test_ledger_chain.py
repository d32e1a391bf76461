"""Chain events in the ledger: each once, and custody always equals what the contract holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.books import DOMAIN, Books, apply, new_books, owner, session_commit, signed_ceiling, slot

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment
from mini_llm.wallet.field import P
from router.ledger import (
    AccountPaused,
    AmountOutOfRange,
    Applied,
    CeilingRejected,
    IdempotencyMismatch,
    InsufficientFunds,
    LedgerMismatch,
    UnknownAccount,
    chain,
    check_ceiling,
    read,
    store_ceiling,
)

NEW_SECRET = 99
NEW_COMMIT = key_commitment(public_key(NEW_SECRET))


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10_000)
        yield books


def test_an_event_is_applied_once_and_never_with_other_content(books: Books) -> None:
    books.call(1, 4000)
    books.settle(1, slot(1, charge=4000, key_commit=session_commit(1)), burned_base=200)
    events: list[tuple[Callable[..., Applied], tuple[Any, ...], tuple[Any, ...]]] = [
        (chain.credit_deposit, (1, 5), (1, 6)),
        (chain.request_key, (1, NEW_COMMIT), (1, NEW_COMMIT + 1)),
        (chain.request_withdrawal, (1, 5), (1, 6)),
        (chain.withdrawn, (1, 5), (1, 6)),
        (chain.partner_claimed, (1, 5), (2, 5)),
        (chain.fee_claimed, (5,), (6,)),
        (chain.treasury_claimed, (5,), (6,)),
    ]
    for operation, args, other in events:
        assert apply(books, operation, *args, "tx:1")
        before = (books.account(1), books.balances())
        assert not apply(books, operation, *args, "tx:1")
        with pytest.raises(IdempotencyMismatch):
            apply(books, operation, *other, "tx:1")
        assert (books.account(1), books.balances()) == before


def test_opening_again_changes_nothing_but_another_owner_is_refused(books: Books) -> None:
    before = books.account(1)
    books.ledger.run(lambda c: chain.open_account(c, 1, owner(1)))
    assert books.account(1) == before
    with pytest.raises(LedgerMismatch):
        books.ledger.run(lambda c: chain.open_account(c, 1, owner(2)))


@pytest.mark.parametrize("idx", [0, -1, 2**24])
def test_an_index_outside_the_tree_is_refused(books: Books, idx: int) -> None:
    with pytest.raises(LedgerMismatch):
        books.ledger.run(lambda c: chain.open_account(c, idx, owner(9)))


def test_events_of_unknown_accounts_are_refused(books: Books) -> None:
    for operation, args in (
        (chain.credit_deposit, (2, 5)),
        (chain.request_key, (2, 5)),
        (chain.request_withdrawal, (2, 5)),
    ):
        with pytest.raises(UnknownAccount):
            apply(books, operation, *args, "tx:1")
    with pytest.raises(UnknownAccount):
        books.settle(1, slot(2, deposit=5))


@pytest.mark.parametrize("amount_base", [0, -1, 2**54])
def test_amounts_fit_a_slot(books: Books, amount_base: int) -> None:
    for operation in (chain.credit_deposit, chain.request_withdrawal):
        with pytest.raises(AmountOutOfRange):
            apply(books, operation, 1, amount_base, "tx:1")


@pytest.mark.parametrize("key_commit", [0, -1, P])
def test_a_key_commitment_is_a_field_element(books: Books, key_commit: int) -> None:
    with pytest.raises(LedgerMismatch):
        apply(books, chain.request_key, 1, key_commit, "tx:1")


def test_the_first_key_may_sign_at_once(books: Books) -> None:
    account = books.account(1)
    assert (account.key_commit, account.requested_key_commit) == (None, session_commit(1))
    assert not account.paused
    books.call(1, 100)
    books.settle(1, slot(1, charge=100, deposit=10_000, key_commit=session_commit(1)), burned_base=5)
    account = books.account(1)
    assert (account.key_commit, account.requested_key_commit) == (session_commit(1), None)
    assert account.ceiling_base == 10_000
    books.call(1, 100)


def test_a_key_change_pauses_until_its_batch_and_voids_the_ceiling(books: Books) -> None:
    books.settle(1, slot(1, deposit=10_000, key_commit=session_commit(1)))
    running = books.reserve(1, 500)
    apply(books, chain.request_key, 1, NEW_COMMIT, "tx:2")
    with pytest.raises(AccountPaused):
        books.reserve(1, 1)
    with pytest.raises(CeilingRejected):
        books.ledger.run(lambda c: store_ceiling(c, check_ceiling(DOMAIN, signed_ceiling(1, 10_001))))
    books.post(running.entry_id, 400)  # what ran is still covered by the old key
    books.settle(2, slot(1, charge=400, key_commit=NEW_COMMIT), burned_base=20)
    assert books.ledger.read(lambda c: read.ceiling(c, 1)) is None
    with pytest.raises(InsufficientFunds):
        books.reserve(1, 1)
    with pytest.raises(CeilingRejected):
        books.ledger.run(lambda c: store_ceiling(c, check_ceiling(DOMAIN, signed_ceiling(1, 10_001))))
    books.ledger.run(lambda c: store_ceiling(c, check_ceiling(DOMAIN, signed_ceiling(1, 500, NEW_SECRET))))
    assert books.account(1).available_base == 100
    books.call(1, 100)


def test_a_withdrawal_request_reduces_what_is_available_at_once(books: Books) -> None:
    apply(books, chain.request_withdrawal, 1, 9_000, "tx:2")
    assert books.account(1).available_base == 1_000
    with pytest.raises(InsufficientFunds):
        books.reserve(1, 1_001)
    with pytest.raises(LedgerMismatch):
        apply(books, chain.request_withdrawal, 1, 1, "tx:3")
    books.settle(1, slot(1, deposit=10_000, withdraw=9_000, key_commit=session_commit(1)))
    account = books.account(1)
    assert (account.balance_base, account.withdraw_requested_base) == (1_000, 0)
    assert account.available_base == 1_000


def test_a_request_for_more_than_there_is_ends_with_a_drain(books: Books) -> None:
    apply(books, chain.request_withdrawal, 1, 50_000, "tx:2")
    assert books.account(1).available_base == 0
    books.settle(1, slot(1, deposit=10_000, withdraw=10_000, drain=True, key_commit=session_commit(1)))
    account = books.account(1)
    assert (account.balance_base, account.withdraw_requested_base) == (0, 0)
    assert books.balances()["withdrawable:1"] == 10_000


def test_custody_follows_the_contract_through_a_whole_life(books: Books) -> None:
    books.fund(2, 20_000)
    books.call(1, 4_001)
    books.call(2, 5_003)
    apply(books, chain.request_withdrawal, 1, 1_000, "tx:2")
    burned_base = 9_004 * 500 // 10_000
    books.settle(
        1,
        slot(1, charge=4_001, deposit=10_000, withdraw=1_000, key_commit=session_commit(1)),
        slot(2, charge=5_003, deposit=20_000, reward=70, key_commit=session_commit(2)),
        burned_base=burned_base,
    )
    apply(books, chain.withdrawn, 1, 1_000, "tx:3")
    partner_base, fee_base = 9_004 * 3000 // 10_000, 9_004 * 1500 // 10_000
    apply(books, chain.partner_claimed, 1, partner_base, "tx:4")
    apply(books, chain.fee_claimed, fee_base, "tx:5")
    apply(books, chain.treasury_claimed, 2_000, "tx:6")
    held_base = 30_000 - burned_base - 1_000 - partner_base - fee_base - 2_000
    balances = books.balances()
    assert balances["custody"] == -held_base
    assert [balances[code] for code in ("burn", "fee", "partner:1", "withdrawable:1")] == [0, 0, 0, 0]
    assert balances["pool"] == 9_004 * 1000 // 10_000 - 70
    assert books.account(2).balance_base == 20_000 - 5_003 + 70
    assert books.ledger.read(lambda c: read.unsettled(c, {1: 4_001, 2: 5_003})) == []
    assert [account.settled_spent_base for account in books.ledger.read(read.accounts)] == [4_001, 5_003]


@pytest.mark.parametrize(
    "bad",
    [
        {"charge": 4_001},
        {"withdraw": 1},
        {"key_commit": NEW_COMMIT},
    ],
)
def test_a_batch_that_contradicts_the_ledger_is_refused_whole(books: Books, bad: dict[str, int]) -> None:
    books.fund(2, 10_000)
    books.call(1, 4_000)
    books.call(2, 100)
    before = (books.account(1), books.account(2), books.balances())
    with pytest.raises(LedgerMismatch):
        books.settle(1, slot(2, charge=100), slot(1, **bad), burned_base=5)
    assert (books.account(1), books.account(2), books.balances()) == before


def test_a_batch_is_settled_once(books: Books) -> None:
    books.call(1, 4_000)
    for _ in range(2):
        books.settle(1, slot(1, charge=4_000, key_commit=session_commit(1)), burned_base=200)
    assert books.account(1).settled_spent_base == 4_000
    with pytest.raises(IdempotencyMismatch):
        books.settle(1, slot(1, charge=3_999), burned_base=200)
