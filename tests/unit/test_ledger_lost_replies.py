"""The connection to PostgreSQL breaks while a commit is under way: what was asked for is done, and once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from support.books import SIGNER, TERMS, Books, facts, in_one_group, new_books, reservation
from support.cut import Cutter, cutting

from router.db_sessions import TransactionName, name_of_transaction
from router.ledger import (
    Charge,
    InsufficientFunds,
    Ledger,
    PostedCharge,
    Release,
    Reserved,
    credit_deposit,
    open_database,
    read,
)
from router.ledger.kept import KeptConnection
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


async def test_a_group_of_calls_and_others(books: Books, cutter: Cutter, answered: bool) -> None:
    charged, released = books.reserve(1, 700), books.reserve(1, 700)
    posted, more, held, gone, refused = await in_one_group(
        books,
        Charge(charged.entry_id, facts(500), TERMS, SIGNER),
        Cutting(cutter, [answered]),
        reservation(1, DEPOSIT_BASE),  # more than there was before the deposit
        Release(released.entry_id, "no"),
        reservation(1, DEPOSIT_BASE),
    )
    assert isinstance(posted, PostedCharge)
    assert posted.charge_base == 500
    assert more == (1 if answered else 2)
    assert isinstance(held, Reserved)
    assert [gone, type(refused)] == [None, InsufficientFunds]
    assert (cutter.cuts, pending(books)) == (1, 1)
    account = books.account(1)
    assert (account.reserved_base, account.spent_base) == (DEPOSIT_BASE, 3 * 700 + 500)
    assert account.balance_base == 2 * DEPOSIT_BASE - account.spent_base
    assert books.post(held.entry_id, 800).charge_base == 800
    books.check()


async def test_what_runs_again_keeps_nothing_of_the_first_time(
    books: Books, cutter: Cutter, answered: bool
) -> None:
    def refused_once(_: Connection) -> str:
        if cutter.cuts:
            return "done"
        raise PermissionError

    outcome, _ = await in_one_group(books, refused_once, Cutting(cutter, [answered]))
    assert isinstance(outcome, PermissionError) if answered else outcome == "done"
    books.check()


async def test_a_group_of_calls_and_others_whose_connection_breaks_before_its_commit(
    books: Books, cutter: Cutter, answered: bool
) -> None:
    held = books.reserve(1, 700)
    charge = Charge(held.entry_id, facts(500), TERMS, SIGNER)
    opened, times, posted = await in_one_group(
        books, reservation(1, 800), Cutting(cutter, [answered], b"RELEASE SAVEPOINT"), charge
    )
    assert isinstance(opened, Reserved)
    assert isinstance(posted, PostedCharge)
    assert (cutter.cuts, times, pending(books)) == (1, 2, 1)
    assert books.account(1).spent_base == 3 * 700 + 500
    assert books.account(1).balance_base == 2 * DEPOSIT_BASE - 3 * 700 - 500
    books.check()


async def test_a_group_of_calls_and_others_whose_connection_breaks_twice(
    books: Books, cutter: Cutter, answered: bool
) -> None:
    held = books.reserve(1, 700)
    outcomes = await in_one_group(
        books,
        Cutting(cutter, [False, answered]),
        Charge(held.entry_id, facts(500), TERMS, SIGNER),
        reservation(1, 10 * DEPOSIT_BASE),
    )
    assert cutter.cuts == 2
    if answered:
        assert [type(outcome) for outcome in outcomes] == [int, PostedCharge, InsufficientFunds]
    else:
        assert [type(outcome) for outcome in outcomes] == [OperationalError] * 3
    assert books.account(1).spent_base == 3 * 700 + 500 * answered
    assert books.account(1).balance_base == DEPOSIT_BASE * (1 + answered) - 3 * 700 - 500 * answered
    assert books.post(held.entry_id, 500).charge_base == 500
    books.check()


async def test_a_group_that_a_server_started_anew_cannot_vouch_for(
    books: Books, cutter: Cutter, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before_the_fall(connection: Connection) -> TransactionName | None:
        name = name_of_transaction(connection)
        return name and name._replace(server_started=datetime.fromtimestamp(0, UTC))

    monkeypatch.setattr("router.ledger.commits.name_of_transaction", before_the_fall)
    held = books.reserve(1, 700)
    charge = Charge(held.entry_id, facts(500), TERMS, SIGNER)
    times, posted = await in_one_group(books, Cutting(cutter, [answered]), charge)
    if answered:
        assert [type(times), type(posted)] == [OperationalError] * 2
    else:
        assert (times, type(posted)) == (2, PostedCharge)
    assert books.account(1).spent_base == 3 * 700 + 500
    books.check()


class Cutting:
    """A deposit whose commit is cut off.

    Args:
        cutter: breaks the connection.
        answered: for each time that it runs: how; then it is let be.
        at: what is cut.
    """

    def __init__(self, cutter: Cutter, answered: list[bool], at: bytes = b"COMMIT") -> None:
        self.cutter, self.answered, self.at = cutter, answered, at
        self.times = 0

    def __call__(self, connection: Connection) -> int:
        credit_deposit(connection, 1, DEPOSIT_BASE, "more")
        if self.times < len(self.answered):
            self.cutter.cut(self.at, answered=self.answered[self.times])
        self.times += 1
        return self.times


def test_a_connection_that_breaks_time_and_again_is_an_error(
    books: Books, cutter: Cutter, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = books.reserve(1, 700)
    cutter.cut(b'"posted"', answered=False)
    monkeypatch.setattr(KeptConnection, "begin", _unreachable)
    with pytest.raises(ConnectionError):
        books.post(held.entry_id, 600)
    monkeypatch.undo()
    assert books.post(held.entry_id, 600).charge_base == 600


def _unreachable(_: KeptConnection) -> None:
    raise ConnectionError
