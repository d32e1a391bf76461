"""Statements over many rows, on the driver's own connection: few calls, few round trips, one spelling of SQL.

SQLite gets rows as multi-row VALUES (each step of an executemany would give up the interpreter's lock),
PostgreSQL gets columns as arrays and several statements in one round trip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

_MOST_ROWS: Final = 64
"""Rows of one SQLite statement: its parameters are limited, and each length is a statement of its own."""

Values = tuple[Any, ...]
"""One row, its values in the order of the names given with it."""


class Bulk:
    """Reads and writes many rows in the connection's open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._driver: Any = connection.connection.driver_connection
        self.sqlite = connection.dialect.name == "sqlite"

    def round_trip(self) -> AbstractContextManager[Any]:
        """Statements inside are sent together; whether one failed is certain only afterwards."""
        return nullcontext() if self.sqlite else cast(AbstractContextManager[Any], self._driver.pipeline())

    def select(self, sql: str, members: Sequence[str] | Sequence[int]) -> Any:
        """Runs a query in which `{among}` tests membership in a list; the result gives its rows when read."""
        if self.sqlite:
            sql = sql.format(among="IN (SELECT value FROM json_each(?))")
            return self._driver.execute(sql, (json.dumps(members),))
        return self._driver.execute(sql.format(among="= ANY(%s)"), (members,))

    def query(self, sql: str, *parameters: int) -> Any:
        """Runs a query in the driver's own spelling."""
        return self._driver.execute(sql, parameters)

    def insert(self, table: Table, names: tuple[str, ...], rows: Sequence[Values]) -> None:
        """Inserts rows."""
        self._write(table, names, rows, f"INSERT INTO {table.name} ({', '.join(names)})")

    def upsert(self, table: Table, names: tuple[str, ...], rows: Sequence[Values]) -> None:
        """Inserts rows, or overwrites the present ones with the same first column."""
        changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        head = f"INSERT INTO {table.name} ({', '.join(names)})"
        self._write(table, names, rows, head, f" ON CONFLICT ({names[0]}) DO UPDATE SET {changes}")

    def update(self, table: Table, names: tuple[str, ...], rows: Sequence[Values]) -> None:
        """Overwrites the columns of the present rows with the same first column."""
        changes = ", ".join(f"{name} = new.{name}" for name in names[1:])
        found = f"{table.name}.{names[0]} = new.{names[0]}"
        head = f"WITH new ({', '.join(names)}) AS ("
        tail = f") UPDATE {table.name} SET {changes} FROM new WHERE {found}"  # noqa: S608 (our own names)
        self._write(table, names, rows, head, tail)

    def _write(
        self, table: Table, names: tuple[str, ...], rows: Sequence[Values], head: str, tail: str = ""
    ) -> None:
        if self.sqlite:
            one = f"({', '.join('?' * len(names))})"
            for chunk in _chunks(rows):
                sql = f"{head} VALUES {', '.join([one] * len(chunk))}{tail}"
                self._driver.execute(sql, [value for row in chunk for value in row])
        elif rows:
            arrays = ", ".join(f"%s::{kind}[]" for kind in _types(table, names))
            columns = [list(column) for column in zip(*rows, strict=True)]
            sql = f"{head} SELECT * FROM unnest({arrays}){tail}"  # noqa: S608 (our own names)
            self._driver.execute(sql, columns)


@lru_cache
def _types(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return tuple(table.columns[name].type.compile(dialect) for name in names)


def _chunks(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    """Pieces whose lengths are powers of two, so that few different statements are ever prepared."""
    start = 0
    while start < len(rows):
        length = min(_MOST_ROWS, 1 << ((len(rows) - start).bit_length() - 1))
        yield rows[start : start + length]
        start += length
