"""The connection that the ledger's writer keeps from commit to commit, with the copies of rows behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from router.db_sessions import is_lost, writing
from router.ledger.sums import Sums


class KeptConnection:
    """Opened when it is first needed, and anew after it was given up.

    Args:
        engine: of the ledger's database.

    Attributes:
        connection: None while there is none.
        sums: copies of the rows that were read through it.
    """

    def __init__(self, engine: Engine) -> None:
        self.connection: Connection | None = None
        self.sums = Sums()
        self._engine = engine
        self._writing = writing(engine)

    @property
    def is_lost(self) -> bool:
        """There was one, and the server is gone from its other end."""
        return self.connection is not None and is_lost(self.connection)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction, on another connection if the kept one is lost: nothing was done yet."""
        kept = self.connection
        connection = self.connection = kept or self._writing.connect()
        try:
            transaction = connection.begin()
        except Exception:
            if kept is None or self._engine.dialect.name == "sqlite":  # whose file is locked, not lost
                raise
            self.give_up_lost()
            connection = self.connection = self._writing.connect()
            transaction = connection.begin()
        with transaction:
            yield connection

    def give_up_lost(self) -> None:
        """As `give_up`, and the engine's idle ones too: a server that was started anew took them with it."""
        self.give_up()
        self._engine.dispose()

    def give_up(self) -> None:
        """Closes the connection and forgets what was read through it."""
        self.sums.forget()
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it may be broken
                connection.invalidate()
                connection.close()
