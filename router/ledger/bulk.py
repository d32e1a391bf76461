"""Statements over many rows, on the driver's own connection: few calls, few round trips, one spelling of SQL.

SQLite gets rows as multi-row VALUES (each step of an executemany would give up the interpreter's lock).
PostgreSQL gets them as JSON (its driver takes longer over an array), all tables at once, in a call of a
function that each session makes for itself; where nothing has to be read before, that call is a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

from router.db_sessions import NEXT_WRITE, SESSION_FUNCTIONS, TAKE_WRITER_LOCK, found_at_begin

_LENGTHS: Final = (64, 32, 16)
"""Rows of one SQLite statement, or any fewer: parameters are limited, and each length is a statement."""

# for a value that is no number and no text the driver looks for an adapter, and raises and drops an error
# where there is none
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(type(None), lambda none: none)

Values = tuple[Any, ...]
"""One row, its values in the order of the names given with it."""


@dataclass(frozen=True)
class Write:
    """One statement over rows of a table.

    Args:
        spell: `insert`, `upsert` or `update`.
        table: where to.
        names: the columns that each row gives, the key first.
    """

    spell: Callable[[Table, tuple[str, ...], str], str]
    table: Table
    names: tuple[str, ...]


class Writes:
    """Statements in their order, run together.

    Args:
        name: of PostgreSQL's function.
        writes: the statements.
    """

    def __init__(self, name: str, *writes: Write) -> None:
        self.all = writes
        given = "".join(f", rows_{number} json" for number in range(len(writes)))
        steps = "".join(map(_step, range(len(writes)), writes))
        SESSION_FUNCTIONS.append(
            f"CREATE FUNCTION pg_temp.{name}(known bigint{given}) RETURNS bigint LANGUAGE plpgsql"
            " SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$ BEGIN"
            f" PERFORM {TAKE_WRITER_LOCK}; IF {NEXT_WRITE} <> known THEN RETURN NULL; END IF; {steps}"
            " RETURN coalesce(pg_current_xact_id_if_assigned()::text::bigint + 1, known); END $$"
        )
        self.call = f"SELECT pg_temp.{name}(%s{', %s' * len(writes)})"


class Bulk:
    """Reads and writes many rows in the connection's open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection
        self.sqlite = connection.dialect.name == "sqlite"

    def round_trip(self) -> AbstractContextManager[Any]:
        """Statements of this object that are sent together; whether one failed is certain only afterwards."""
        return nullcontext() if self.sqlite else cast(AbstractContextManager[Any], self._driver.pipeline())

    def version(self) -> int | None:
        """What was so when the transaction began, and changes with each commit of another connection."""
        if not self.sqlite:
            return found_at_begin(self._connection)
        version: int = self._driver.execute("PRAGMA data_version").fetchone()[0]
        return version

    def select(self, sql: str, members: Sequence[str] | Sequence[int]) -> Any:
        """Runs a query in which `{among}` tests membership in a list; the result gives its rows when read."""
        if self.sqlite:
            sql = sql.format(among="IN (SELECT value FROM json_each(?))")
            return self._driver.execute(sql, (json.dumps(members),))
        return self._driver.execute(sql.format(among="= ANY(%s)"), (members,))

    def query(self, sql: str, *parameters: int) -> Any:
        """Runs a statement in the driver's own spelling."""
        return self._driver.execute(sql, parameters)

    def write(self, writes: Writes, rows: Sequence[Sequence[Values]]) -> int | None:
        """Runs the statements that have rows; returns the version after the commit, None if it stays."""
        if self.sqlite:
            for write, given in zip(writes.all, rows, strict=True):
                self._write_sqlite(write, given)
            return None
        return self._call(writes, rows, None) if any(rows) else None

    def write_alone(
        self, writes: Writes, rows: Sequence[Sequence[Values]], known: int, *, synced: bool
    ) -> int | None:
        """Runs and commits the statements, outside any transaction, if the version is `known`.

        Args:
            writes: the statements.
            rows: for each of them.
            known: the version that the rows rest on.
            synced: False if a power failure may undo the commit until a later one is synced. SQLite then
                waits for no disk; PostgreSQL syncs all the same.

        Returns:
            The version that they leave, None if it was another: then nothing was written.
        """
        if self.sqlite:
            with nullcontext() if synced else self._unsynced():
                return self._write_alone_sqlite(writes, rows, known)
        return self._call(writes, rows, known)

    def _call(self, writes: Writes, rows: Sequence[Sequence[Values]], known: int | None) -> int | None:
        given = (
            json.dumps([dict(zip(write.names, row, strict=True)) for row in some], default=_hex)
            if some
            else None
            for write, some in zip(writes.all, rows, strict=True)
        )
        version: int | None = self._driver.execute(writes.call, (known, *given)).fetchone()[0]
        return version

    def _write_alone_sqlite(self, writes: Writes, rows: Sequence[Sequence[Values]], known: int) -> int | None:
        self._driver.execute("BEGIN IMMEDIATE")
        try:
            if self.version() != known:
                return None
            self.write(writes, rows)
            self._driver.execute("COMMIT")
            return known
        finally:
            if self._driver.in_transaction:
                self._driver.execute("ROLLBACK")

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Commits of SQLite leave the disk to the next one that is synced, which takes theirs along."""
        self._driver.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._driver.execute("PRAGMA synchronous = FULL")

    def _write_sqlite(self, write: Write, rows: Sequence[Values]) -> None:
        if write.spell is update and len(rows) == 1:  # half the time of a join with one row
            ((key, *values),) = rows
            self._driver.execute(_update_one(write.table, write.names), (*values, key))
            return
        for chunk in _chunks(rows):
            sql = write.spell(write.table, write.names, _values(len(write.names), len(chunk)))
            self._driver.execute(sql, list(chain.from_iterable(chunk)))


@lru_cache(maxsize=1024)
def insert(table: Table, names: tuple[str, ...], source: str) -> str:
    """Inserts rows."""
    return f"INSERT INTO {table.name} ({', '.join(names)}) {source}"


@lru_cache(maxsize=1024)
def upsert(table: Table, names: tuple[str, ...], source: str) -> str:
    """Inserts rows, or overwrites the present ones with the same first column."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return f"{insert(table, names, source)} ON CONFLICT ({names[0]}) DO UPDATE SET {changes}"


@lru_cache(maxsize=1024)
def update(table: Table, names: tuple[str, ...], source: str) -> str:
    """Overwrites the columns of the present rows with the same first column."""
    changes = ", ".join(f"{name} = new.{name}" for name in names[1:])
    found = f"{table.name}.{names[0]} = new.{names[0]}"
    new = f"WITH new ({', '.join(names)}) AS ({source})"
    return f"{new} UPDATE {table.name} SET {changes} FROM new WHERE {found}"  # noqa: S608 (our own names)


@lru_cache(maxsize=1024)
def _update_one(table: Table, names: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = ?" for name in names[1:])
    return f"UPDATE {table.name} SET {changes} WHERE {names[0]} = ?"  # noqa: S608 (our own names)


@lru_cache(maxsize=1024)
def _values(columns: int, rows: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([one] * rows)}"


def _step(number: int, write: Write) -> str:
    """A statement of a function; it runs if it is given rows."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    columns = (f"{name} {write.table.columns[name].type.compile(dialect)}" for name in write.names)
    rows = f"SELECT * FROM json_to_recordset(rows_{number}) AS given({', '.join(columns)})"  # noqa: S608 (types)
    return f"IF rows_{number} IS NOT NULL THEN {write.spell(write.table, write.names, rows)}; END IF; "


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"  # as PostgreSQL reads and writes bytea


def _chunks(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    """Pieces of few different lengths, so that few different statements are ever prepared."""
    start = 0
    while start < len(rows):
        left = len(rows) - start
        length = next((most for most in _LENGTHS if most <= left), left)
        yield rows[start : start + length]
        start += length
