"""Short db sessions on the bridge's store: each either happened whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session

from bridge.tables import Table


class Sessions:
    """The store's database. One instance per process; several threads may use it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session


def open_engine(url: str) -> Engine:
    """The store's database, created if it is not there; commits are durable once they return."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable)
        event.listen(engine, "begin", _begin)
    Table.metadata.create_all(engine)
    return engine


def _durable(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 must not open transactions of its own
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=20000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # Under WAL a reader that turns writer in one transaction fails; taking the lock first waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
