"""The writer keeps copies of rows from group to group; whoever else writes, it decides on what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from errno import ENOSPC
from typing import Any

import pytest
from sqlalchemy import Connection, event
from support.books import SIGNER, TERMS, Books, facts, hold_writer, new_books, reservation

from router.ledger import (
    Budget,
    BudgetExceeded,
    Charge,
    EntryClosed,
    InsufficientFunds,
    Ledger,
    PostedCharge,
    Release,
    Reserved,
    chain,
    expire_lapsed,
    open_database,
    read,
)
from router.ledger.bulk import Bulk
from router.ledger.kept import KeptConnection
from router.ledger.models import ACCOUNT, SHARE
from router.ledger.sums import Sums

DEPOSIT_BASE = 10_000


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, DEPOSIT_BASE, 10 * DEPOSIT_BASE)
        yield books


@pytest.fixture
def others(books: Books) -> Iterator[Books]:
    """Another writer of the same database, as in another process."""
    with Ledger(books.ledger.engine) as ledger:
        yield Books(ledger)


def test_two_writers_take_turns_on_one_account_and_one_partner(books: Books, others: Books) -> None:
    for _ in range(3):
        for writer in (books, others):
            writer.call(1, 700)
    receipts = books.ledger.read(lambda c: list(read.iter_receipts(c)))
    assert [signed.receipt.account_sequence for signed in receipts] == [1, 2, 3, 4, 5, 6]
    assert [signed.receipt.partner_total_base for signed in receipts] == [700 * n for n in range(1, 7)]
    with pytest.raises(InsufficientFunds):
        books.reserve(1, DEPOSIT_BASE - 6 * 700 + 1)


def test_a_writer_that_was_alone_for_long_notices_another(books: Books, others: Books) -> None:
    for _ in range(3):
        books.call(1, 700)
    others.ledger.run(lambda c: c.execute(ACCOUNT.update().values(ceiling_base=3_500)))
    with pytest.raises(InsufficientFunds):
        books.reserve(1, 1_401)
    for writer in (books, books, books, others, books, others, others, others, books):
        writer.call(1, 100)
    receipts = books.ledger.read(lambda c: list(read.iter_receipts(c)))
    assert [signed.receipt.account_sequence for signed in receipts] == [*range(1, 13)]
    assert [signed.receipt.account_total_base for signed in receipts][-1] == 3_000


def test_a_refusal_of_a_writer_that_was_alone_is_no_older_than_the_request(
    books: Books, others: Books
) -> None:
    for _ in range(3):
        books.call(1, 700)
    held = books.reserve(1, DEPOSIT_BASE - 2_100)
    others.ledger.run(Release(held.entry_id, "no"))
    assert books.call(1, DEPOSIT_BASE - 2_100).charge_base == DEPOSIT_BASE - 2_100


def test_a_writer_alone_decides_before_its_transaction(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        books.call(1, 700)
    begun: list[int] = []
    event.listen(books.ledger.engine, "begin", lambda _: begun.append(1))
    for _ in range(3):
        books.call(1, 100)
    assert not begun


def test_what_the_database_refuses_of_a_writer_alone_leaves_no_copy(books: Books) -> None:
    for _ in range(3):
        books.call(1, 700)
    held = books.reserve(1, 700)
    with pytest.raises(Exception, match=r"(?i)null"):
        books.ledger.run(Charge(held.entry_id, facts(700)._replace(provider=None), TERMS, SIGNER))  # type: ignore[arg-type]
    assert books.post(held.entry_id, 600).charge_base == 600
    assert books.account(1).reserved_base == 0


def test_a_call_that_another_writer_ended_is_over(books: Books, others: Books) -> None:
    held = books.reserve(1, 700)
    others.ledger.run(Release(held.entry_id, "no"))
    with pytest.raises(EntryClosed):
        books.post(held.entry_id, 700)


def test_another_writer_uses_up_a_budget(books: Books, others: Books) -> None:
    limited = replace(reservation(1, 600), budgets=(Budget("day", 1000),))
    books.ledger.run(Release(_held(books, limited).entry_id, "no"))
    _held(others, limited)
    with pytest.raises(BudgetExceeded):
        books.ledger.run(limited)


def test_an_operation_of_another_kind_changes_what_the_next_call_sees(books: Books) -> None:
    books.call(1, 9_000)
    books.ledger.run(lambda c: chain.credit_deposit(c, 1, 500, "more"))
    held = books.reserve(1, 1_500)
    books.ledger.run(lambda c: expire_lapsed(c, held.lease_until_s + 1))
    assert books.post(held.entry_id, 1_500).late
    assert books.account(1).balance_base == 1_500


async def test_calls_around_such_an_operation_in_one_commit_see_it_too(books: Books) -> None:
    def spent_elsewhere(connection: Connection) -> None:
        connection.execute(ACCOUNT.update().values(ceiling_base=600))

    books.call(1, 1)
    outcomes = await asyncio.gather(
        books.ledger.submit(reservation(1, 500)),
        books.ledger.submit(spent_elsewhere),
        books.ledger.submit(reservation(1, 500)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Reserved, type(None), InsufficientFunds]


async def test_what_the_database_refuses_leaves_no_copy(books: Books) -> None:
    held = [books.reserve(1, 700) for _ in range(3)]
    bad = facts(700)._replace(provider=None)  # type: ignore[arg-type]
    used: list[Any] = [facts(700), bad, facts(700)]
    charges = (Charge(one.entry_id, use, TERMS, SIGNER) for one, use in zip(held, used, strict=True))
    outcomes = await asyncio.gather(*map(books.ledger.submit, charges), return_exceptions=True)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert books.post(held[1].entry_id, 600).charge_base == 600
    shares = books.ledger.read(lambda c: c.execute(SHARE.select()).all())
    assert {row.gross_base for row in shares} == {2_000}
    assert books.account(1).reserved_base == 0


async def test_a_commit_that_fails_takes_nothing_back_from_those_before_it(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [books.reserve(1, 700) for _ in range(3)]
    refused = facts(700)._replace(provider=None)  # type: ignore[arg-type]
    used = (facts(700), refused, facts(700))
    charges = [Charge(one.entry_id, use, TERMS, SIGNER) for one, use in zip(held, used, strict=True)]
    blocker = hold_writer(books)
    waiting = asyncio.gather(*map(books.ledger.submit, charges), return_exceptions=True)
    await asyncio.sleep(0)  # all three are queued, so that they are refused together and then go one by one
    fails_after(2, monkeypatch)
    blocker.set()
    posted, *failed = await waiting
    monkeypatch.undo()
    assert isinstance(posted, PostedCharge)
    assert [type(outcome) for outcome in failed] == [OSError, OSError]
    assert books.account(1).spent_base == posted.charge_base == 700
    assert books.post(held[2].entry_id, 700).charge_base == 700


def fails_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the disk be full after so many transactions."""
    begin, left = KeptConnection.begin, iter(range(count))

    def beginning(kept: KeptConnection) -> AbstractContextManager[Connection]:
        if next(left, None) is None:
            raise OSError(ENOSPC, "full")
        return begin(kept)

    monkeypatch.setattr(KeptConnection, "begin", beginning)


def test_there_are_never_many_copies(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.ledger.sums._MOST_COPIES", 3)
    most, load = [0], Sums.load

    def counting(sums: Sums, *needed: Any) -> None:
        load(sums, *needed)
        most.append(len(sums.entries))

    monkeypatch.setattr(Sums, "load", counting)
    held = [books.reserve(1, 100) for _ in range(9)]
    assert max(most) <= 4
    assert [books.post(one.entry_id, 100).receipt.receipt.account_sequence for one in held] == [*range(1, 10)]  # type: ignore[union-attr]


def _held(books: Books, wanted: Any) -> Reserved:
    held = books.ledger.run(wanted)
    assert isinstance(held, Reserved)
    return held


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_another_writer_changed_is_read_in_one_round_trip(
    books: Books, others: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = books.reserve(1, 700)
    others.call(1, 100)
    trips: list[int] = []
    together = Bulk.round_trip
    monkeypatch.setattr(Bulk, "round_trip", lambda bulk: (trips.append(1), together(bulk))[1])
    assert books.post(held.entry_id, 700).charge_base == 700
    assert len(trips) == 1


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_young_ledger_is_written_through_its_indexes(
    books: Books, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        books.call(1, 700)
    scans: list[int] = []
    write = Bulk.write

    def counting(bulk: Bulk, *given: Any) -> int | None:
        before = _scans(bulk)
        version = write(bulk, *given)
        scans.append(_scans(bulk) - before)
        return version

    monkeypatch.setattr(Bulk, "write", counting)
    with Ledger(open_database(database)) as ledger:  # a session that has planned nothing yet
        Books(ledger).call(1, 700)
    assert scans == [0, 0]


def _scans(bulk: Bulk) -> int:
    query = "SELECT sum(pg_stat_get_xact_numscans(name::regclass)) FROM unnest(%s::text[]) AS of (name)"
    ((count,),) = bulk._driver.execute(query, (["entry", "account", "share", "posting"],)).fetchall()
    return int(count)
