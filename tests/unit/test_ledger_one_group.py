"""Operations that are committed together leave the rows that they leave one by one, also after a deficit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from sqlalchemy import Connection
from support.books import NOW_S, SIGNER, TERMS, Books, facts, in_one_group, new_books, reservation
from support.databases import DIALECTS, new_database

from router.db import METADATA
from router.ledger import (
    AccountInDeficit,
    Budget,
    Charge,
    InsufficientFunds,
    PostedCharge,
    Release,
    Reservation,
    Reserved,
    credit_deposit,
    reverse,
)
from router.ledger.models import Kind

Tables = dict[str, list[tuple[Any, ...]]]
NUMBERS: Final = {"number", "entry_number"}


def call(quote_base: int, key: str, idx: int = 1) -> Reservation:
    """A reservation whose entry has the same id whenever it is made."""
    return replace(reservation(idx, quote_base, key), budgets=(Budget(f"{idx}", 10**6),))


def id_of(key: str, idx: int = 1) -> str:
    return str(call(0, key, idx).origin_key)


def release(key: str, idx: int = 1) -> Release:
    return Release(id_of(key, idx), "no")


def charge(key: str, actual_base: int) -> Charge:
    return Charge(id_of(key), facts(actual_base), TERMS, SIGNER)


def deposit(connection: Connection) -> None:
    credit_deposit(connection, 1, 1_000, "late")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("operations", "expected", "covers"),
    [
        ((release("large"), call(4_000, "new")), (None, Reserved), 1),
        ((release("small"), call(1, "new")), (None, AccountInDeficit), 1),
        ((charge("large", 2_000), call(2_000, "new")), (PostedCharge, Reserved), 1),
        ((charge("large", 5_500), call(1, "new")), (PostedCharge, AccountInDeficit), 0),
        (
            (call(1, "early"), release("small"), release("large"), call(5_001, "new")),
            (AccountInDeficit, None, None, InsufficientFunds),
            2,
        ),
        (
            (release("large", 2), call(1, "new"), release("large"), call(1, "new"), call(1, "new", 2)),
            (None, AccountInDeficit, None, Reserved, Reserved),
            2,
        ),
        ((release("large"), deposit, call(5_000, "new")), (None, None, Reserved), 1),
    ],
)
async def test_a_deficit_is_paid_back_alike_in_one_group_and_in_several(
    dialect: str,
    operations: Sequence[Any],
    expected: Sequence[type | None],
    covers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW_S)
    with new_database(dialect) as one, new_books(one) as books:
        in_deficit(books)
        together = await in_one_group(books, *operations)
        left_together = rows(books)
    with new_database(dialect) as other, new_books(other) as books:
        in_deficit(books)
        in_turn = [await outcome_of(books.ledger.submit(one)) for one in operations]
        left_in_turn = rows(books)
    assert [outcome if outcome is None else type(outcome) for outcome in together] == [*expected]
    assert list(map(repr, together)) == list(map(repr, in_turn))
    assert left_together == left_in_turn
    assert sum(Kind.COVER in row for row in left_together["entry"]) == covers


def in_deficit(books: Books) -> None:
    """Two accounts with two running calls each, of which so much was taken away that they owe 1,500."""
    for idx in (1, 2):
        books.fund(idx, 10_000, 100_000)
        books.ledger.run(lambda c, idx=idx: credit_deposit(c, idx, 2_000, f"more-{idx}"))  # type: ignore[misc]
        for quote_base, key in ((5_000, "spent"), (5_500, "large"), (1_000, "small")):
            books.ledger.run(call(quote_base, key, idx))
        books.post(id_of("spent", idx), 5_000)
        books.ledger.run(lambda c, idx=idx: reverse(c, [(Kind.DEPOSIT, f"more-{idx}")]))  # type: ignore[misc]
        assert (books.account(idx).deficit_base, books.account(idx).reserved_base) == (1_500, 6_500)


async def outcome_of(submitted: Awaitable[Any]) -> Any:
    (outcome,) = await asyncio.gather(submitted, return_exceptions=True)
    return outcome


def rows(books: Books) -> Tables:
    """All rows of all tables; entries are counted anew, because PostgreSQL may leave numbers out."""

    def read(connection: Connection) -> Tables:
        entry = METADATA.tables["entry"].columns
        given = connection.execute(METADATA.tables["entry"].select().order_by(entry.number)).all()
        counted = {row.number: count for count, row in enumerate(given)}
        return {
            name: sorted(
                (
                    tuple(
                        counted[value] if column in NUMBERS and value is not None else value
                        for column, value in row._mapping.items()
                    )
                    for row in connection.execute(table.select())
                ),
                key=repr,
            )
            for name, table in METADATA.tables.items()
        }

    return books.ledger.read(read)
