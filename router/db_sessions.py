"""Sessions with the ledger's database: how they are set up, and how their transactions begin."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, event

BUSY_TIMEOUT_MS: Final = 30_000
"""How long a writer waits for another process's commit, milliseconds."""

TAKE_WRITER_LOCK: Final = f"pg_advisory_xact_lock({0x76696265})"
"""PostgreSQL: waits for the lock that one writing transaction holds at a time."""

NEXT_WRITE: Final = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
"""PostgreSQL: one more than the number of the last transaction that wrote anything. Who holds the writer's
lock and finds what its own last transaction left knows that nobody has written since."""

SESSION_FUNCTIONS: Final[list[str]] = []
"""Functions that every PostgreSQL session makes for itself, so that they fit this program's tables; a module
that calls one registers it here, as tables do on `METADATA`."""

_NAME: Final = "SELECT pg_current_xact_id_if_assigned()::text, pg_postmaster_start_time()"
_STATUS: Final = "SELECT pg_xact_status(%s::xid8), pg_postmaster_start_time() = %s"

_WRITER_OPTION: Final = "vibes_writer"
_FOUND: Final = "vibes_found"


class TransactionName(NamedTuple):
    """Names a transaction of a PostgreSQL server, so that another connection can ask what became of it.

    Args:
        number: its id.
        server_started: when the server was started. One that fell may have forgotten numbers that it gave
            out, and gives them again.
    """

    number: str
    server_started: datetime


def configure_sessions(engine: Engine) -> None:
    """Sets up each connection that the engine will make."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _configure_postgresql)
        event.listen(engine, "begin", _begin_postgresql)


def writing(engine: Engine) -> Engine:
    """The engine for writes: its transactions run one at a time, across all processes."""
    if engine.dialect.name == "postgresql":  # what it sends outside of them is a transaction by itself
        return engine.execution_options(**{_WRITER_OPTION: True}, isolation_level="AUTOCOMMIT")
    return engine.execution_options(**{_WRITER_OPTION: True})


def reading(engine: Engine) -> Engine:
    """The engine for reads: all statements of a transaction see one snapshot."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


def found_at_begin(connection: Connection) -> int | None:
    """`NEXT_WRITE` as the connection's last writing transaction found it."""
    found: int | None = connection.info.get(_FOUND)
    return found


def is_lost(connection: Connection) -> bool:
    """The connection to the server is gone; SQLite has none."""
    if connection.dialect.name != "postgresql" or connection.invalidated:
        return connection.invalidated
    driver: Any = connection.connection.driver_connection
    return bool(driver.closed)


def name_of_transaction(connection: Connection) -> TransactionName | None:
    """Names the open transaction; None if it has written nothing so far, and with SQLite."""
    if connection.dialect.name != "postgresql":
        return None
    row: Any = connection.exec_driver_sql(_NAME).one()
    return None if row[0] is None else TransactionName(*row)


def was_committed(connection: Connection, name: TransactionName) -> bool | None:
    """Whether a transaction that is over was committed; None if the server cannot tell any more."""
    status, is_same_server = connection.exec_driver_sql(_STATUS, tuple(name)).one()
    if status == "committed":
        return True if is_same_server else None  # the number may be another transaction's by now
    return False if status == "aborted" else None


def _configure_sqlite(connection: Any, _record: object) -> None:
    # the driver's own BEGIN would come late and deferred: _begin_sqlite says when and how instead
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "recursive_triggers = ON",  # INSERT OR REPLACE then fires the DELETE guards
        "temp_store = MEMORY",  # what a savepoint keeps of a large commit would go through a file
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # a writer takes the write lock first: upgrading a read transaction could fail half-way
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if _is_writer(connection) else "BEGIN")


def _configure_postgresql(connection: Any, _record: object) -> None:
    connection.autocommit = True
    # what a statement waited for must be seen by the next, whatever the server's default
    connection.execute("SET default_transaction_isolation = 'read committed'")
    for function in SESSION_FUNCTIONS:
        connection.execute(function)
    connection.autocommit = False


def _begin_postgresql(connection: Connection) -> None:
    if _is_writer(connection):
        driver: Any = connection.connection.driver_connection
        with driver.pipeline():  # the driver's own BEGIN would be a round trip more
            driver.execute("BEGIN")
            driver.execute(f"SELECT {TAKE_WRITER_LOCK}")
            found = driver.execute(f"SELECT {NEXT_WRITE}")
        connection.info[_FOUND] = found.fetchone()[0]


def _is_writer(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_WRITER_OPTION))
