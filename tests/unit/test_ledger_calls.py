"""A call in the ledger: reserve, post, void, expire; idempotency keys; receipts in sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from eth_account import Account
from support.books import LEASE_S, NOW_S, SIGNER, TERMS, Books, facts, new_books

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.receipt import recover_signer
from router.ledger import (
    AmountOutOfRange,
    Charge,
    EntryClosed,
    IdempotencyMismatch,
    InFlight,
    InsufficientFunds,
    Release,
    Renewal,
    Replay,
    Reserved,
    StoredAnswer,
    Terms,
    UnknownAccount,
    UnknownEntry,
    expire_lapsed,
    read,
)
from router.ledger.errors import InvalidTerms

ANSWER = StoredAnswer(200, "application/json", b'{"answer": 42}')
LAPSED_S = NOW_S + LEASE_S + 1


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10_000)
        yield books


def sweep(books: Books, now_s: int = LAPSED_S) -> list[str]:
    return books.ledger.run(lambda c: expire_lapsed(c, now_s))


def test_a_reservation_holds_money_and_a_charge_takes_no_more(books: Books) -> None:
    held = books.reserve(1, 3000)
    assert books.account(1).available_base == 7000
    charged = books.post(held.entry_id, 1200)
    assert (charged.charge_base, charged.lost_base, charged.late) == (1200, 0, False)
    account = books.account(1)
    assert (account.balance_base, account.reserved_base, account.spent_base) == (8800, 0, 1200)
    assert account.available_base == 8800


def test_usage_beyond_the_reservation_is_the_operators_loss(books: Books) -> None:
    charged = books.post(books.reserve(1, 3000).entry_id, 3500)
    assert (charged.charge_base, charged.lost_base) == (3000, 500)
    assert books.account(1).balance_base == 7000
    assert books.ledger.read(read.lost_base) == 500


def test_a_quote_above_what_is_available_is_refused_with_both_amounts(books: Books) -> None:
    books.reserve(1, 9000)
    with pytest.raises(InsufficientFunds) as caught:
        books.reserve(1, 1001)
    assert (caught.value.available_base, caught.value.needed_base) == (1000, 1001)
    books.reserve(1, 1000)
    assert books.account(1).available_base == 0


def test_the_ceiling_limits_as_the_balance_does(books: Books) -> None:
    books.fund(2, 10_000, ceiling_base=500)
    books.call(2, 400)
    with pytest.raises(InsufficientFunds) as caught:
        books.reserve(2, 101)
    assert caught.value.available_base == 100


def test_a_free_call_needs_no_money_and_gets_no_receipt(books: Books) -> None:
    books.reserve(1, 10_000)
    charged = books.call(1, 0)
    assert (charged.charge_base, charged.receipt) == (0, None)
    assert books.account(1).sequence == 0


@pytest.mark.parametrize("quote_base", [-1, MAX_AMOUNT_BASE + 1])
def test_a_quote_fits_a_slot(books: Books, quote_base: int) -> None:
    with pytest.raises(AmountOutOfRange):
        books.reserve(1, quote_base)


def test_a_price_is_not_negative(books: Books) -> None:
    with pytest.raises(AmountOutOfRange):
        books.post(books.reserve(1, 10).entry_id, -1)


def test_void_gives_the_money_back_once(books: Books) -> None:
    held = books.reserve(1, 3000)
    for _ in range(2):
        books.ledger.run(Release(held.entry_id, "upstream 503"))
    assert books.account(1).reserved_base == 0
    with pytest.raises(EntryClosed):
        books.post(held.entry_id, 10)


def test_a_posted_call_cannot_be_voided(books: Books) -> None:
    held = books.reserve(1, 3000)
    books.post(held.entry_id, 10)
    with pytest.raises(EntryClosed) as caught:
        books.ledger.run(Release(held.entry_id, "late"))
    assert caught.value.state == "posted"


def test_posting_again_returns_the_first_outcome(books: Books) -> None:
    held = books.reserve(1, 3000)
    first = books.post(held.entry_id, 1200)
    assert books.post(held.entry_id, 2900) == first
    assert books.account(1).spent_base == 1200


def test_unknown_things_are_named(books: Books) -> None:
    with pytest.raises(UnknownAccount):
        books.reserve(2, 1)
    with pytest.raises(UnknownEntry):
        books.post("0" * 64, 1)
    with pytest.raises(UnknownEntry):
        books.ledger.run(Release("0" * 64, ""))


def test_only_a_lapsed_lease_expires_and_a_renewed_one_lives(books: Books) -> None:
    lapsing, renewed = books.reserve(1, 1000), books.reserve(1, 2000)
    assert sweep(books, lapsing.lease_until_s) == []
    books.ledger.run(Renewal(renewed.entry_id, LAPSED_S + 10))
    assert sweep(books) == [lapsing.entry_id]
    assert books.account(1).reserved_base == 2000
    with pytest.raises(EntryClosed):
        books.ledger.run(Renewal(lapsing.entry_id, LAPSED_S + 10))


def test_a_post_after_the_sweep_is_the_operators_loss(books: Books) -> None:
    held = books.reserve(1, 1000)
    sweep(books)
    books.call(1, 10_000)  # the released money is the user's to spend
    late = books.post(held.entry_id, 800)
    assert (late.charge_base, late.lost_base, late.receipt, late.late) == (0, 800, None, True)
    assert books.post(held.entry_id, 800) == late
    assert books.account(1).balance_base == 0
    assert books.ledger.read(read.lost_base) == 800


def test_a_post_before_the_sweep_still_counts(books: Books) -> None:
    held = books.reserve(1, 1000)
    assert books.post(held.entry_id, 800, time_s=LAPSED_S).charge_base == 800


def test_a_replay_gets_the_stored_answer_and_costs_nothing(books: Books) -> None:
    held = books.reserve(1, 3000, "key")
    charged = books.post(held.entry_id, 1200, answer=ANSWER)
    again = books.try_reserve(1, 3000, "key")
    assert again == Replay(held.entry_id, 1200, ANSWER, charged.receipt)
    assert books.account(1).spent_base == 1200


def test_an_answer_is_kept_only_for_a_client_that_sent_a_key(books: Books) -> None:
    books.post(books.reserve(1, 10).entry_id, 10, answer=ANSWER)
    kept = books.ledger.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM answer").scalar_one())
    assert kept == 0


def test_a_key_whose_call_runs_is_in_flight(books: Books) -> None:
    held = books.reserve(1, 3000, "key")
    with pytest.raises(InFlight) as caught:
        books.try_reserve(1, 3000, "key")
    assert caught.value.entry_id == held.entry_id
    assert books.account(1).reserved_base == 3000


@pytest.mark.parametrize("fate", ["pending", "posted", "voided", "expired"])
def test_a_key_with_another_body_is_refused_whatever_became_of_the_first(books: Books, fate: str) -> None:
    held = books.reserve(1, 3000, "key")
    if fate == "posted":
        books.post(held.entry_id, 10)
    elif fate == "voided":
        books.ledger.run(Release(held.entry_id, "upstream 503"))
    elif fate == "expired":
        sweep(books)
    with pytest.raises(IdempotencyMismatch):
        books.try_reserve(1, 3000, "key", body=b"c" * 32)


def test_a_key_is_its_accounts_and_endpoints_own(books: Books) -> None:
    books.fund(2, 10_000)
    assert books.reserve(1, 10, "key").entry_id != books.reserve(2, 10, "key").entry_id


def test_a_key_whose_calls_came_to_nothing_reserves_anew(books: Books) -> None:
    first = books.reserve(1, 3000, "key")
    books.ledger.run(Release(first.entry_id, "upstream 503"))
    second = books.reserve(1, 3000, "key")
    sweep(books)
    third = books.reserve(1, 3000, "key", now_s=LAPSED_S)
    assert len({first.entry_id, second.entry_id, third.entry_id}) == 3
    books.post(third.entry_id, 900, answer=ANSWER)
    # the process of the second attempt wakes up: it neither charges nor replaces the answer
    assert books.post(second.entry_id, 700, answer=StoredAnswer(200, "text/plain", b"other")).late
    again = books.try_reserve(1, 3000, "key")
    assert isinstance(again, Replay)
    assert (again.entry_id, again.charge_base, again.answer) == (third.entry_id, 900, ANSWER)
    assert books.account(1).spent_base == 900


def test_a_dead_processs_call_is_in_flight_until_its_lease_is_swept(books: Books) -> None:
    books.reserve(1, 3000, "key")
    with pytest.raises(InFlight):
        books.try_reserve(1, 3000, "key", now_s=LAPSED_S)
    sweep(books)
    assert isinstance(books.try_reserve(1, 3000, "key", now_s=LAPSED_S), Reserved)


def test_receipts_chain_without_gaps_and_are_signed(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    books.fund(2, 10_000)
    charges = [(1, 700, 1), (2, 50, 1), (1, 5, 2), (1, 0, 1), (2, 9, 2), (1, 1, 1)]
    receipts = []
    for idx, amount_base, partner in charges:
        charged = books.call(idx, amount_base, replace(TERMS, partner_id=partner))
        receipts += [charged.receipt] if charged.receipt else []
    domain, signer = SIGNER.domain, Account.from_key(SIGNER.private_key).address
    assert all(recover_signer(signed, domain) == signer for signed in receipts)
    own = [signed.receipt for signed in receipts if signed.receipt.account == 1]
    assert [(r.account_sequence, r.account_total_base) for r in own] == [(1, 700), (2, 705), (3, 706)]
    assert own[0].previous_receipt == bytes(32)
    assert [r.previous_receipt for r in own[1:]] == [r.digest(domain) for r in own[:-1]]
    first = [signed.receipt for signed in receipts if signed.receipt.partner == 1]
    assert [(r.partner_sequence, r.partner_total_base) for r in first] == [(1, 700), (2, 750), (3, 751)]
    monkeypatch.setattr(read, "_PAGE_ROWS", 2)
    assert books.ledger.read(lambda c: list(read.iter_receipts(c))) == sorted(
        receipts, key=lambda signed: (signed.receipt.account, signed.receipt.account_sequence)
    )


def test_a_call_and_its_receipt_are_found_by_request_id(books: Books) -> None:
    held = books.reserve(1, 700)
    assert books.ledger.read(lambda c: read.find_call(c, held.entry_id)) is None
    charged = books.post(held.entry_id, 700)
    call = books.ledger.read(lambda c: read.find_call(c, held.entry_id))
    assert call is not None
    assert (call.account_idx, call.charge_base, call.model, call.receipt) == (
        1,
        700,
        "terse-1",
        charged.receipt,
    )
    assert charged.receipt is not None
    assert charged.receipt.receipt.request_id.hex() == held.entry_id
    assert books.ledger.read(lambda c: read.receipt(c, held.entry_id)) == charged.receipt
    assert books.ledger.read(lambda c: read.calls_of(c, 1)) == [call]


def test_receipts_between_totals_are_those_of_a_batch(books: Books) -> None:
    for amount_base in (100, 20, 3):
        books.call(1, amount_base)
    found = books.ledger.read(lambda c: read.receipts_between(c, 1, 100, 123))
    assert [signed.receipt.charge_base for signed in found] == [20, 3]


def test_unsettled_accounts_come_oldest_charge_first(books: Books) -> None:
    books.fund(2, 10_000)
    books.fund(3, 10_000)
    books.call(1, 100, time_s=NOW_S)
    books.call(2, 10, time_s=NOW_S + 1)
    books.call(1, 11, time_s=NOW_S + 2)
    found = books.ledger.read(lambda c: read.unsettled(c, {1: 100}))
    assert [(one.idx, one.posted_total_base, one.oldest_time_s) for one in found] == [
        (2, 10, NOW_S + 1),
        (1, 111, NOW_S + 2),
    ]
    assert books.ledger.read(lambda c: read.unsettled(c, {1: 111, 2: 10})) == []


@pytest.mark.parametrize(
    "terms", [(1, 7001, 1500, 500, 1000), (1, -1, 1500, 500, 1000), (2**16, 0, 0, 0, 0), (-1, 0, 0, 0, 0)]
)
def test_terms_are_shares_of_one_whole(terms: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(InvalidTerms):
        Terms(*terms)


def test_a_refused_post_leaves_nothing_behind(books: Books) -> None:
    held = books.reserve(1, 700)
    bad = facts(700)._replace(prompt_hash=b"short")
    with pytest.raises(ValueError, match="promptHash"):
        books.ledger.run(Charge(held.entry_id, bad, TERMS, SIGNER))
    assert books.account(1).reserved_base == 700
    assert books.post(held.entry_id, 700).charge_base == 700


def test_a_signer_does_not_print_its_key() -> None:
    assert SIGNER.private_key.hex() not in repr(SIGNER)
    assert repr(SIGNER.private_key) not in repr(SIGNER)
