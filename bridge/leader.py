"""One bridge settles at a time: a lock that the database or the operating system frees when its holder dies.

PostgreSQL: an advisory lock of a connection that is kept for nothing else. SQLite: an exclusive lock on a
database file of its own beside the store, so that the store itself stays readable and writable for others.
What a lock cannot rule out (a leader that was frozen for minutes and wakes up) does no harm: a batch number
is sealed once in the store, and the contract takes only the batch that follows its root.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, create_engine, delete, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from bridge.errors import LeadershipLost, NotLeader
from bridge.sessions import Sessions
from bridge.tables import LeaderRow

POLL_S: Final = 0.5
"""Between two tries to become leader."""

GRACE_S: Final = 1.0
"""How long a single try waits: somebody may just be looking who leads."""

_ADVISORY_KEY: Final = 0x76696265_62726467
"""PostgreSQL advisory lock of the settling bridge, one per database."""


class _Lock(Protocol):
    def acquire(self) -> bool: ...
    def held(self) -> bool: ...
    def release(self) -> None: ...


class Leader(Sessions):
    """The right to settle from one store."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._lock = _lock(engine)
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    def acquire(self, wait: bool, report: Callable[[str], None]) -> None:
        """Becomes the leader. wait: until the present one ends, else raises NotLeader."""
        said = False
        deadline = time.monotonic() + GRACE_S
        while not self._lock.acquire():
            if not wait and time.monotonic() >= deadline:
                raise NotLeader(self.holder())
            if wait and not said:
                report(f"{self.holder()} settles already: waiting to take over")
                said = True
            time.sleep(POLL_S if wait else POLL_S / 10)
        if said:
            report("taking over")
        with self._session() as session:
            session.execute(delete(LeaderRow))
            session.add(LeaderRow(id=1, holder=self.name, since=int(time.time())))

    def check(self) -> None:
        """Called before every side effect. Raises LeadershipLost if the lock is gone."""
        if not self._lock.held():
            raise LeadershipLost(self.name)

    def release(self) -> None:
        """Lets another process lead."""
        self._lock.release()

    def holder(self) -> str:
        """host:process id of the last one that led."""
        with self._session() as session:
            row = session.get(LeaderRow, 1)
            return "another process" if row is None else row.holder


def current_leader(engine: Engine) -> str | None:
    """host:process id of the process that leads now, None if none does. Changes nothing."""
    if not _is_locked(engine):
        return None
    with engine.connect() as connection:
        found = connection.execute(text("SELECT holder FROM leader")).scalar_one_or_none()
    return "another process" if found is None else str(found)


class _NoLock:
    """A store in memory belongs to one process anyway."""

    def acquire(self) -> bool:
        return True

    def held(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing to release."""


class _FileLock:
    """An SQLite file that is locked as long as the process lives; SIGKILL frees it too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def acquire(self) -> bool:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            connection.close()
            return False
        self._connection = connection
        return True

    def held(self) -> bool:
        return self._connection is not None

    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _AdvisoryLock:
    """A PostgreSQL session's lock: gone with the session, however that ends."""

    def __init__(self, engine: Engine) -> None:
        # A pool might hand the connection to others, or replace it unseen after it broke.
        self._engine = create_engine(engine.url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        connection = self._engine.connect()
        if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}):
            self._connection = connection
            return True
        connection.close()
        return False

    def held(self) -> bool:
        if self._connection is None:
            return False
        try:
            return bool(self._connection.scalar(_HOLDERS))
        except SQLAlchemyError:
            return False

    def release(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):  # else the session's end frees it, somewhat later
                self._connection.scalar(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})
            self._connection.invalidate()  # closes the session itself
            self._connection.close()
            self._connection = None
        self._engine.dispose()


_HOLDERS: Final = text(
    "SELECT pid = pg_backend_pid() FROM pg_locks"
    " WHERE locktype = 'advisory' AND granted AND classid = :high AND objid = :low"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
).bindparams(high=_ADVISORY_KEY >> 32, low=_ADVISORY_KEY & 0xFFFFFFFF)
"""One row if the lock is held: whether by this very session."""


def _lock_file(engine: Engine) -> Path | None:
    database = make_url(engine.url).database
    return Path(f"{database}.leader") if database and database != ":memory:" else None


def _lock(engine: Engine) -> _Lock:
    if engine.dialect.name == "postgresql":
        return _AdvisoryLock(engine)
    path = _lock_file(engine)
    return _NoLock() if path is None else _FileLock(path)


def _is_locked(engine: Engine) -> bool:
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            return connection.execute(_HOLDERS).first() is not None
    path = _lock_file(engine)
    if path is None or not path.exists():
        return False
    # A shared lock, held for a moment: refused while somebody holds the exclusive one.
    probe = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0)
    try:
        probe.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        return True
    finally:
        probe.close()
    return False
