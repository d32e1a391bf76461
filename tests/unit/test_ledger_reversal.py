"""What a reorganisation drops is taken back by opposite entries, and comes back as new ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection
from support.books import DOMAIN, Books, apply, new_books, owner, session_commit, signed_ceiling, slot

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment
from router.ledger import (
    AccountClosed,
    AccountInDeficit,
    AccountPaused,
    LedgerMismatch,
    Release,
    chain,
    check_ceiling,
    create_api_key,
    hash_api_key,
    keys,
    leaving,
    read,
    reverse,
    store_ceiling,
)
from router.ledger.grants import Grant
from router.ledger.models import ENTRY, Kind
from router.managing import TEAM_SCOPES, create_team_key
from router.people import provider_keys, teams
from router.people.errors import NotYours
from router.people.models import Role
from router.people.vault import Sealed

NEW_SECRET = 99
NEW_COMMIT = key_commitment(public_key(NEW_SECRET))
DEPOSIT = (Kind.DEPOSIT, "deposit-1")
KEY = (Kind.KEY_REQUEST, "key-1")
OPENING = (Kind.ACCOUNT, "account 1")
TEAM_GRANT = Grant(scopes=TEAM_SCOPES)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10_000)
        yield books


def drop(books: Books, *happenings: tuple[str, str]) -> int:
    return books.ledger.run(lambda connection: reverse(connection, happenings))


def entries(books: Books) -> int:
    return books.ledger.read(lambda c: len(c.execute(ENTRY.select()).all()))


def test_a_deposit_is_credited_reversed_and_credited_again(books: Books) -> None:
    before = (books.account(1), books.balances())
    for _ in range(3):
        assert drop(books, DEPOSIT) == 1
        assert drop(books, DEPOSIT) == 0
        assert books.balances() == {"custody": 0, "user:1": 0}
        assert apply(books, chain.credit_deposit, 1, 10_000, "deposit-1")
        assert not apply(books, chain.credit_deposit, 1, 10_000, "deposit-1")
        assert (books.account(1), books.balances()) == before
    assert entries(books) == 3 + 3 * 2  # nothing was rewritten


def test_what_comes_back_may_differ(books: Books) -> None:
    drop(books, DEPOSIT)
    assert apply(books, chain.credit_deposit, 1, 7_000, "deposit-1")
    assert books.account(1).balance_base == 7_000


def test_what_was_never_recorded_is_passed_over(books: Books) -> None:
    assert drop(books, (Kind.DEPOSIT, "unheard"), (Kind.BATCH, "deposit-1")) == 0


def test_a_deficit_stops_service_until_deposits_cover_it(books: Books) -> None:
    books.call(1, 4_000)
    drop(books, DEPOSIT)
    account = books.account(1)
    assert (account.balance_base, account.deficit_base, account.available_base) == (0, 4_000, 0)
    assert books.balances()["deficit:1"] == -4_000
    with pytest.raises(AccountInDeficit, match="4000 base units") as refused:
        books.reserve(1, 0)
    assert (refused.value.idx, refused.value.deficit_base) == (1, 4_000)
    apply(books, chain.credit_deposit, 1, 3_999, "tx:1")
    assert books.ledger.read(read.deficits) == {1: 1}
    apply(books, chain.credit_deposit, 1, 101, "tx:2")
    assert books.ledger.read(read.deficits) == {}
    assert (books.account(1).balance_base, books.balances()["deficit:1"]) == (100, 0)
    books.call(1, 100)


def test_running_calls_are_in_the_deficit_until_they_end(books: Books) -> None:
    posted, voided, free = (books.reserve(1, quote) for quote in (3_000, 2_000, 1_000))
    drop(books, DEPOSIT)
    assert books.ledger.read(read.deficits) == {1: 6_000}
    books.post(posted.entry_id, 2_500)
    assert books.ledger.read(read.deficits) == {1: 5_500}
    books.check()
    books.ledger.run(Release(voided.entry_id, "upstream error"))
    books.check()
    books.post(free.entry_id, 0)
    assert books.ledger.read(read.deficits) == {1: 2_500}
    apply(books, chain.credit_deposit, 1, 10_000, "deposit-1")
    assert (books.account(1).balance_base, books.account(1).deficit_base) == (7_500, 0)


def test_a_dropped_batch_is_unsettled_again_and_settles_again(books: Books) -> None:
    books.call(1, 4_000)
    apply(books, chain.request_withdrawal, 1, 1_000, "tx:1")
    before = (books.account(1), books.balances())
    batch = slot(1, charge=4_000, deposit=10_000, withdraw=1_000, key_commit=session_commit(1))
    books.settle(1, batch, burned_base=200)
    after = (books.account(1), books.balances())
    apply(books, chain.withdrawn, 1, 1_000, "tx:2")
    assert drop(books, (Kind.BATCH, "batch-1"), (Kind.WITHDRAWN, "tx:2")) == 2
    account, balances = books.account(1), books.balances()
    assert account == before[0]
    assert {code: amount for code, amount in balances.items() if amount} == before[1]
    assert books.ledger.read(lambda c: read.unsettled(c, {}))[0].posted_total_base == 4_000
    books.settle(1, batch, burned_base=200)
    assert (books.account(1), books.balances()) == after


def test_a_dropped_key_change_brings_the_old_key_and_its_ceiling_back(books: Books) -> None:
    books.settle(1, slot(1, deposit=10_000, key_commit=session_commit(1)))
    apply(books, chain.request_key, 1, NEW_COMMIT, "tx:1")
    books.settle(2, slot(1, key_commit=NEW_COMMIT))
    books.ledger.run(lambda c: store_ceiling(c, check_ceiling(DOMAIN, signed_ceiling(1, 500, NEW_SECRET))))
    books.call(1, 300)
    drop(books, (Kind.BATCH, "batch-2"))
    account = books.account(1)
    assert (account.key_commit, account.requested_key_commit) == (session_commit(1), NEW_COMMIT)
    assert account.ceiling_base == 10_000
    old = books.ledger.read(lambda c: read.ceiling(c, 1))
    assert old is not None
    assert old.ceiling_base == 10_000
    with pytest.raises(AccountPaused):
        books.reserve(1, 1)
    books.settle(2, slot(1, charge=300, key_commit=NEW_COMMIT), burned_base=15)
    assert books.account(1).ceiling_base == 500
    books.call(1, 200)


def test_dropped_requests_are_void(books: Books) -> None:
    apply(books, chain.request_withdrawal, 1, 9_000, "tx:1")
    apply(books, leaving.announce_cancel, 1, 10_000, "tx:2")
    assert drop(books, (Kind.WITHDRAWAL_REQUEST, "tx:1"), (Kind.CANCEL_ANNOUNCED, "tx:2")) == 2
    assert books.account(1).available_base == 10_000
    drop(books, KEY)
    account = books.account(1)
    assert (account.usable_key_commit, account.ceiling_base, account.available_base) == (None, 0, 0)
    apply(books, chain.request_key, 1, session_commit(1), "tx:3")
    assert books.account(1).ceiling_base == 10_000  # signed by the same key


def test_a_ceiling_of_another_first_key_does_not_count(books: Books) -> None:
    drop(books, KEY)
    apply(books, chain.request_key, 1, NEW_COMMIT, "tx:1")
    assert books.account(1).ceiling_base == 0


def test_a_dropped_freeze_and_exit_make_the_account_as_it_was(books: Books) -> None:
    books.settle(1, slot(1, deposit=6_000, key_commit=session_commit(1)))
    books.call(1, 9_000)
    apply(books, chain.request_withdrawal, 1, 500, "tx:1")
    before = (books.account(1), books.balances())
    apply(books, leaving.freeze_account, 1, 4_000, "tx:2")
    apply(books, leaving.exit_account, 1, 6_000, "tx:3")
    assert drop(books, (Kind.EXIT, "tx:3"), (Kind.FREEZE, "tx:2")) == 2
    assert books.account(1) == before[0]
    assert {code: amount for code, amount in books.balances().items() if amount} == before[1]


def test_the_latest_is_taken_back_first_whatever_the_order_asked(books: Books) -> None:
    books.settle(1, slot(1, deposit=10_000, key_commit=session_commit(1)))
    apply(books, chain.request_withdrawal, 1, 500, "tx:1")
    books.settle(2, slot(1, withdraw=500))
    everything = [(Kind.WITHDRAWAL_REQUEST, "tx:1"), (Kind.BATCH, "batch-2"), (Kind.BATCH, "batch-1")]
    assert drop(books, *everything, DEPOSIT, KEY, OPENING) == 6
    account = books.account(1)
    assert (account.status, account.withdraw_requested_base, account.key_commit) == ("dropped", 0, None)
    assert set(books.balances().values()) == {0}
    with pytest.raises(AccountClosed, match="no longer on chain"):
        books.reserve(1, 0)


def test_an_account_that_comes_back_is_served_again(books: Books) -> None:
    books.call(1, 100)
    drop(books, OPENING, KEY, DEPOSIT)
    books.ledger.run(lambda c: chain.open_account(c, 1, owner(1), "again"))
    apply(books, chain.request_key, 1, session_commit(1), "tx:2")
    apply(books, chain.credit_deposit, 1, 10_000, "tx:3")
    assert books.call(1, 50).charge_base == 50
    assert books.account(1).balance_base == 9_850


def test_an_index_that_comes_back_as_another_wallets_owes_nothing_and_is_not_served(books: Books) -> None:
    books.call(1, 4_000)
    running = books.reserve(1, 1_000)
    api_key = books.ledger.run(lambda c: create_api_key(c, 1, "laptop")).secret
    drop(books, OPENING, KEY, DEPOSIT)
    books.ledger.run(lambda c: chain.open_account(c, 1, owner(2), "again"))
    apply(books, chain.request_key, 1, NEW_COMMIT, "tx:2")
    apply(books, chain.credit_deposit, 1, 500, "tx:3")
    account = books.account(1)
    assert (account.owner, account.balance_base, account.deficit_base) == (owner(2), 500, 0)
    assert (account.written_off_base, account.billable_base, account.ceiling_base) == (4_000, 0, 0)
    assert books.balances()["loss"] == -4_000
    assert books.post(running.entry_id, 1_000).charge_base == 0
    with pytest.raises(AccountClosed, match="another owner"):
        books.reserve(1, 0)
    assert books.ledger.read(lambda c: keys.find_api_key(c, hash_api_key(api_key))) is None
    books.settle(1, slot(1, deposit=500, key_commit=NEW_COMMIT))
    apply(books, chain.request_withdrawal, 1, 500, "tx:4")
    books.settle(2, slot(1, withdraw=500))
    assert books.balances()["withdrawable:1"] == 500
    # and back: the first owner's opening was in the chain after all
    later = [(Kind.BATCH, "batch-1"), (Kind.BATCH, "batch-2"), (Kind.WITHDRAWAL_REQUEST, "tx:4")]
    drop(books, (Kind.ACCOUNT, "again"), (Kind.KEY_REQUEST, "tx:2"), (Kind.DEPOSIT, "tx:3"), *later)
    assert (books.account(1).owner, books.account(1).deficit_base) == (owner(1), 4_000)
    books.ledger.run(lambda c: chain.open_account(c, 1, owner(1)))
    apply(books, chain.request_key, 1, session_commit(1), "key-1")
    apply(books, chain.credit_deposit, 1, 10_000, "deposit-1")
    assert (books.account(1).status, books.account(1).balance_base) == ("open", 6_000)
    assert books.balances()["loss"] == 0


def test_an_unused_index_that_comes_back_as_another_wallets_is_served(books: Books) -> None:
    drop(books, OPENING, KEY, DEPOSIT)
    books.ledger.run(lambda c: chain.open_account(c, 1, owner(2), "again"))
    apply(books, chain.request_key, 1, NEW_COMMIT, "tx:2")
    apply(books, chain.credit_deposit, 1, 500, "tx:3")
    books.ledger.run(lambda c: store_ceiling(c, check_ceiling(DOMAIN, signed_ceiling(1, 500, NEW_SECRET))))
    books.call(1, 500)


def test_what_the_first_wallet_arranged_ends_when_its_index_is_anothers(books: Books) -> None:
    """Else its team would make keys that the other wallet pays for, and its provider key would be used."""
    friend = owner(3)

    def arranged(connection: Connection) -> int:
        sealed = Sealed(b"sealed", b"wrapped", "master")
        provider_keys.put_key(connection, 1, "openai", None, "last", sealed, 5)
        team_id = teams.create_team(connection, 1, owner(1), "first", 5)
        place = teams.membership(connection, team_id, owner(1))
        teams.set_member(connection, place, friend, {"role": Role.ADMIN}, 5)
        return team_id

    team_id = books.ledger.run(arranged)
    drop(books, OPENING, KEY, DEPOSIT)
    books.ledger.run(lambda c: chain.open_account(c, 1, owner(2), "again"))
    for wallet in (owner(1), owner(2), friend):
        assert books.ledger.read(lambda c, wallet=wallet: teams.memberships(c, wallet)) == []
        with pytest.raises(NotYours):
            books.ledger.run(lambda c, wallet=wallet: create_team_key(c, wallet, team_id, "mine", TEAM_GRANT))
    assert books.ledger.read(lambda c: provider_keys.keys_of(c, 1)) == {}


def test_an_open_account_keeps_its_owner(books: Books) -> None:
    with pytest.raises(LedgerMismatch):
        books.ledger.run(lambda c: chain.open_account(c, 1, owner(2), "again"))


def test_charges_that_fit_partly_are_found_oldest_first(books: Books) -> None:
    for charge_base in (300, 400, 500):
        books.call(1, charge_base)

    def fits(after_base: int, most_base: int) -> int:
        return books.ledger.read(lambda c: read.chargeable_base(c, 1, after_base, most_base))

    assert [fits(0, most) for most in (0, 299, 300, 699, 700, 1_199, 5_000)] == [
        0,
        0,
        300,
        300,
        700,
        700,
        1_200,
    ]
    assert [fits(300, most) for most in (399, 400, 900)] == [0, 400, 900]
