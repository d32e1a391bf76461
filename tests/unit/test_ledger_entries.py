"""Double entry, held by the database even against a program that bypasses the ledger's Python."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import DBAPIError
from support.books import BODY, Books, new_books

from router.db_sessions import writing
from router.ledger import post
from router.ledger.call_models import CALL
from router.ledger.errors import UnbalancedEntry
from router.ledger.models import ACCOUNT, ENTRY, POSTING, Kind, State


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        yield books


def open_entry(connection: Connection) -> int:
    return post.open_entry(connection, "e" * 64, Kind.DEPOSIT, None, BODY, "o" * 64)


def leg(number: int, amount_base: int, at: int = 0) -> dict[str, object]:
    return {"entry_number": number, "leg": at, "account": f"x{at}", "amount_base": amount_base}


def refused(books: Books, reason: str, change: object) -> None:
    """The change, made on a connection of its own, fails for the given reason."""
    with pytest.raises(DBAPIError, match=reason), writing(books.ledger.engine).begin() as connection:
        change(connection)  # type: ignore[operator]


def test_legs_must_sum_to_zero_in_python(books: Books) -> None:
    def unbalanced(connection: Connection) -> None:
        post.post_entry(connection, open_entry(connection), Kind.DEPOSIT, (("a", 5), ("b", -4)))

    with pytest.raises(UnbalancedEntry) as caught:
        books.ledger.run(unbalanced)
    assert caught.value.total_base == 1


def test_the_database_refuses_to_post_an_unbalanced_entry(books: Books) -> None:
    def bypass(connection: Connection) -> None:
        number = open_entry(connection)
        connection.execute(insert(POSTING), [leg(number, 5), leg(number, -4, at=1)])
        post.close_entry(connection, number, State.POSTED)

    refused(books, "do not sum to zero", bypass)


def test_the_database_refuses_an_entry_that_is_born_posted(books: Books) -> None:
    def bypass(connection: Connection) -> None:
        number = open_entry(connection)
        row = connection.execute(ENTRY.select().where(ENTRY.c.number == number)).one()._asdict()
        row |= {"number": number + 1, "id": "f" * 64, "state": State.POSTED}
        connection.execute(insert(ENTRY), row)

    refused(books, "opens as pending", bypass)


def test_the_database_refuses_to_void_an_entry_with_postings(books: Books) -> None:
    def bypass(connection: Connection) -> None:
        number = open_entry(connection)
        connection.execute(insert(POSTING), [leg(number, 5), leg(number, -5, at=1)])
        post.close_entry(connection, number, State.VOIDED)

    refused(books, "can only be posted", bypass)


def test_one_wrong_row_is_enough_to_refuse_a_statement(books: Books) -> None:
    def two(connection: Connection) -> list[int]:
        row = (
            connection.execute(ENTRY.select().where(ENTRY.c.number == open_entry(connection))).one()._asdict()
        )
        later = {"number": row["number"] + 1, "id": "f" * 64, "attempt": 1}
        connection.execute(insert(ENTRY), row | later)
        return [row["number"], row["number"] + 1]

    def late_leg(connection: Connection) -> None:
        first, second = two(connection)
        post.close_entry(connection, second, State.POSTED)
        connection.execute(insert(POSTING).values([leg(first, 5), leg(second, 5)]))

    def one_unbalanced(connection: Connection) -> None:
        numbers = two(connection)
        connection.execute(insert(POSTING).values([leg(numbers[1], 5)]))
        connection.execute(update(ENTRY).where(ENTRY.c.number.in_(numbers)).values(state=State.POSTED))

    refused(books, "postings belong to a pending entry", late_leg)
    refused(books, "do not sum to zero", one_unbalanced)


@pytest.mark.parametrize(
    ("reason", "sql"),
    [
        ("immutable", "UPDATE posting SET amount_base = amount_base + 1"),
        ("never deleted", "DELETE FROM posting"),
        ("pending entry", "INSERT INTO posting VALUES (1, 9, 'user:1', 5)"),
        ("immutable", "UPDATE entry SET state = 'pending'"),
        ("immutable", "UPDATE entry SET quote_base = 0"),
        ("never deleted", "DELETE FROM entry"),
        ("immutable", "UPDATE call SET charge_base = 1"),
        ("immutable", "UPDATE call SET signature = NULL, charge_base = 0"),
        ("never deleted", "DELETE FROM call"),
    ],
)
def test_history_is_immutable(books: Books, reason: str, sql: str) -> None:
    books.fund(1, 10_000)
    books.call(1, 700)
    refused(books, reason, lambda connection: connection.exec_driver_sql(sql))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # PostgreSQL has no INSERT OR REPLACE
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR REPLACE INTO entry SELECT * FROM entry",
        "INSERT OR REPLACE INTO posting SELECT * FROM posting",
        "INSERT OR REPLACE INTO call SELECT * FROM call",
    ],
)
def test_history_cannot_be_replaced(books: Books, sql: str) -> None:
    books.fund(1, 10_000)
    books.call(1, 700)
    refused(
        books,
        "opens as pending|pending entry|never deleted",
        lambda connection: connection.exec_driver_sql(sql),
    )


@pytest.mark.parametrize("column", ["id", "kind", "account_idx", "quote_base", "body_hash"])
def test_only_state_and_lease_of_a_pending_entry_change(books: Books, column: str) -> None:
    books.fund(1, 10_000)
    held = books.reserve(1, 700)
    other = {"id": "0" * 64, "kind": "deposit", "account_idx": 0, "quote_base": 1, "body_hash": b"x" * 32}
    change = update(ENTRY).where(ENTRY.c.id == held.entry_id).values({column: other[column]})
    refused(books, "only state and lease", lambda connection: connection.execute(change))


@pytest.mark.parametrize(
    "change",
    [
        {"balance_base": -1},
        {"balance_base": 699},
        {"reserved_base": -1},
        {"withdraw_requested_base": -1},
        {"settled_spent_base": 1},
    ],
)
def test_the_database_keeps_account_sums_in_range(books: Books, change: dict[str, int]) -> None:
    books.fund(1, 10_000)
    books.reserve(1, 700)
    refused(books, "(?i)check", lambda connection: connection.execute(update(ACCOUNT).values(change)))


def test_a_charged_call_without_a_receipt_is_refused(books: Books) -> None:
    books.fund(1, 10_000)
    books.call(1, 700)

    def bypass(connection: Connection) -> None:
        row = connection.execute(CALL.select()).one()._asdict()
        row |= {"entry_number": 1, "account_sequence": 2, "partner_sequence": 2, "account_total_base": 9}
        connection.execute(insert(CALL), row | {"signature": None})

    refused(books, "(?i)check", bypass)


def test_one_entry_balances_to_the_unit_and_names_every_receiver(books: Books) -> None:
    books.fund(1, 10_000)
    books.call(1, 1001)
    assert books.balances() == {
        "custody": -10_000,
        "user:1": 8_999,
        "partner:1": 300,
        "fee": 150,
        "burn": 50,
        "pool": 100,
        "treasury": 401,
    }


def test_a_row_number_that_is_given_out_again_does_not_pass_for_the_first_entry(books: Books) -> None:
    number = books.ledger.run(open_entry)
    given = ((number, "e" * 64), (number, "f" * 64), (number + 1, "e" * 64))
    found = books.ledger.read(lambda c: [post.has_entry(c, *one) for one in given])
    assert found == [True, False, False]
