"""The connection to PostgreSQL breaks while a commit is under way: what was asked for is done, and once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from support.books import SIGNER, TERMS, Books, facts, new_books, reservation
from support.cut import Cutter, cutting

from router.ledger import (
    Charge,
    InsufficientFunds,
    Ledger,
    PostedCharge,
    Release,
    Reserved,
    open_database,
    read,
)
from router.ledger.models import ENTRY, State

DEPOSIT_BASE = 10_000

pytestmark = [
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
    pytest.mark.parametrize("answered", [True, False], ids=["committed", "never_came"]),
]


@pytest.fixture
def cutter(database: str) -> Iterator[Cutter]:
    with cutting(database) as cutter:
        yield cutter


@pytest.fixture
def books(cutter: Cutter) -> Iterator[Books]:
    with new_books(cutter.url.render_as_string(hide_password=False)) as books:
        books.fund(1, DEPOSIT_BASE, 10 * DEPOSIT_BASE)
        for _ in range(3):
            books.call(1, 700)
        yield books


@pytest.fixture
def others(database: str) -> Iterator[Books]:
    """Another writer, whose connection holds."""
    with Ledger(open_database(database)) as ledger:
        yield Books(ledger)


def pending(books: Books) -> int:
    query = ENTRY.select().where(ENTRY.c.state == State.PENDING)
    return len(books.ledger.read(lambda c: c.execute(query).all()))


def test_a_reservation_of_a_writer_alone(books: Books, cutter: Cutter, answered: bool) -> None:
    cutter.cut(b'"pending"', answered=answered)
    held = books.reserve(1, 700)
    assert (cutter.cuts, pending(books), books.account(1).reserved_base) == (1, 1, 700)
    assert books.post(held.entry_id, 600).charge_base == 600
    books.check()


def test_a_charge_of_a_writer_alone(books: Books, cutter: Cutter, answered: bool) -> None:
    held = books.reserve(1, 700)
    cutter.cut(b'"posted"', answered=answered)
    posted = books.post(held.entry_id, 600)
    receipts = books.ledger.read(lambda c: list(read.iter_receipts(c)))
    assert (cutter.cuts, len(receipts), receipts[-1]) == (1, 4, posted.receipt)
    assert books.account(1).spent_base == 3 * 700 + 600
    books.check()


def test_a_reservation_under_a_clients_key(books: Books, cutter: Cutter, answered: bool) -> None:
    cutter.cut(b"COMMIT", answered=answered)
    held = books.reserve(1, 700, "key")
    assert (cutter.cuts, pending(books), books.account(1).reserved_base) == (1, 1, 700)
    assert books.post(held.entry_id, 600).charge_base == 600
    books.check()


def test_a_charge_beside_another_writer(books: Books, others: Books, cutter: Cutter, answered: bool) -> None:
    held = books.reserve(1, 700)
    others.call(1, 100)
    cutter.cut(b"COMMIT", answered=answered)
    posted = books.post(held.entry_id, 600)
    others.call(1, 100)
    receipts = books.ledger.read(lambda c: list(read.iter_receipts(c)))
    assert (cutter.cuts, len(receipts), receipts[-2]) == (1, 6, posted.receipt)
    books.check()


async def test_a_group_of_all_kinds(books: Books, cutter: Cutter, answered: bool) -> None:
    charged, released = books.reserve(1, 700), books.reserve(1, 700)
    cutter.cut(b'"posted"', answered=answered)
    posted, held, gone, refused = await asyncio.gather(
        books.ledger.charge(Charge(charged.entry_id, facts(500), TERMS, SIGNER)),
        books.ledger.reserve(reservation(1, 800)),
        books.ledger.void(Release(released.entry_id, "no")),
        books.ledger.reserve(reservation(1, DEPOSIT_BASE)),
        return_exceptions=True,
    )
    assert isinstance(posted, PostedCharge)
    assert posted.charge_base == 500
    assert isinstance(held, Reserved)
    assert [gone, type(refused)] == [None, InsufficientFunds]
    assert (cutter.cuts, pending(books), books.account(1).reserved_base) == (1, 1, 800)
    assert books.account(1).spent_base == 3 * 700 + 500
    assert books.post(held.entry_id, 800).charge_base == 800
    books.check()


def test_a_connection_that_breaks_time_and_again_is_an_error(
    books: Books, cutter: Cutter, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = books.reserve(1, 700)
    cutter.cut(b'"posted"', answered=False)
    monkeypatch.setattr(Ledger, "_begin", _unreachable)
    with pytest.raises(ConnectionError):
        books.post(held.entry_id, 600)
    monkeypatch.undo()
    assert books.post(held.entry_id, 600).charge_base == 600


def _unreachable(_: Ledger) -> None:
    raise ConnectionError
