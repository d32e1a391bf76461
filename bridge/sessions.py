"""Short db sessions on the bridge's store: each either happened whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.orm import Session

from bridge.tables import Table
from mini_llm.errors import ConfigError
from router.db_trouble import opening, parsed, refuse_other_texts

STORE = "VIBES_BRIDGE_URL"


class Sessions:
    """The store's database. One instance per process; several threads may use it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session


def open_engine(url: str) -> Engine:
    """The store's database, created if it is not there; commits are durable once they return.

    Raises router.db_trouble.NotOpened if it cannot be used.
    """
    address = parsed(url, STORE)
    with opening(STORE):
        engine = create_engine(address, hide_parameters=True)  # errors are logged
        refuse_other_texts(engine, STORE)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _durable)
            event.listen(engine, "begin", _begin)
        Table.metadata.create_all(engine)
    return engine


def add_indexes(engine: Engine) -> None:
    """Adds the indexes that a store of an earlier release lacks. Whoever only looks leaves it as it is."""
    for table in Table.metadata.sorted_tables:
        for index in table.indexes:
            index.create(engine, checkfirst=True)


def require_table(name: str, url: str, table: str) -> None:
    """Refuses a database that is not there, or is not the expected one, instead of creating anything in it.

    name: the setting that holds the URL. table: what the database must have. Raises ConfigError, or
    router.db_trouble.NotOpened if it cannot be used.
    """
    address = parsed(url, name)
    file = address.database if address.get_backend_name() == "sqlite" else None
    if file and not Path(file).is_file():
        raise ConfigError(name, f"names {file}, which does not exist")
    with opening(name):
        engine = create_engine(address)
        refuse_other_texts(engine, name)
        try:
            known = inspect(engine).has_table(table)
        finally:
            engine.dispose()
    if not known:
        raise ConfigError(name, f"names a database that has no table {table!r}")


def _durable(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 must not open transactions of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=20000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # Under WAL a reader that turns writer in one transaction fails; taking the lock first waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
