"""What keeps a database from being used, told by its driver's codes: words may quote a password or a row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from mini_llm.errors import ConfigError

LEDGER: Final = "VIBES_LEDGER_URL"
FORMS: Final = "write sqlite:////var/lib/vibes/ledger.db or postgresql+psycopg://user@host/name"
NO_ANSWER: Final = "the server does not answer, or refuses this user, password or database"
OWNER_ONLY: Final = 0o600

_SQLITE: Final = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_BUSY": "another process keeps it locked",
    "SQLITE_LOCKED": "another process keeps it locked",
    "SQLITE_CANTOPEN": "its file cannot be opened",
    "SQLITE_PERM": "its file may not be used",
    "SQLITE_IOERR": "the disk fails",
    "SQLITE_NOTADB": "its file is no SQLite database",
    "SQLITE_CORRUPT": "its file is damaged",
}
"""By result code, whatever extends it."""
_POSTGRESQL: Final = {
    "53100": "the server's disk is full",
    "53300": "the server takes no more connections",
    "25006": "the server is read-only",
    "55P03": "another process keeps it locked",
    "42501": "the user may not do this",
    "28P01": "the server refuses the password",
    "28000": "the server refuses the user",
    "3D000": "the server has no such database",
    "57P03": "the server is starting or stopping",
    "57014": "the server gave up waiting",
    "08": "the connection is lost",
    "53": "the server lacks resources",
    "57": "the server is stopping",
    "58": "the server's disk fails",
    "XX": "the server's files are damaged",
}
"""By SQLSTATE, or by its class. Source: https://www.postgresql.org/docs/current/errcodes-appendix.html"""


class Trouble(NamedTuple):
    """Why a database cannot be used.

    Attributes:
        words: for the operator.
        code: SQLite's result code or PostgreSQL's SQLSTATE; empty if no server said any.
    """

    words: str
    code: str

    def __str__(self) -> str:
        return f"{self.words} ({self.code})" if self.code else self.words


def trouble_of(error: BaseException) -> Trouble | None:
    """Why the database could not be used; None if the error is about what was asked, or none of its own."""
    driver: Any = error.orig if isinstance(error, DBAPIError) else error
    if (code := getattr(driver, "sqlite_errorname", None)) is not None:
        words = _SQLITE.get("_".join(code.split("_")[:2]))
        return None if words is None else Trouble(words, code)
    if not type(driver).__module__.startswith("psycopg"):
        return None
    state = driver.sqlstate
    if state is None:  # libpq itself: no connection, or it is gone
        return Trouble(NO_ANSWER, "") if type(driver).__name__ == "OperationalError" else None
    words = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    return None if words is None else Trouble(words, state)


class NotOpened(ConfigError):
    """A database that a setting names cannot be opened, or is not what it should be."""


class NoLedger(NotOpened):
    """There is no ledger where one is named."""

    def __init__(self, found: str) -> None:
        super().__init__(
            LEDGER, f"{found}; `vibes-router serve` and `vibes-router db upgrade` begin a ledger"
        )


@contextmanager
def opening(setting: str = LEDGER) -> Iterator[None]:
    """Tells what keeps a database from being opened in the words of its setting.

    Raises:
        NotOpened: the database cannot be used, or its driver is not installed.
    """
    try:
        yield
    except (ImportError, NoSuchModuleError) as error:
        name = getattr(error, "name", None) or "unknown"
        raise NotOpened(setting, f"needs a driver that is not installed ({name}): {FORMS}") from None
    except Exception as error:
        if (trouble := trouble_of(error)) is None:
            raise
        raise NotOpened(setting, f"the database cannot be used: {trouble}") from None


def refuse_other_texts(engine: Engine, setting: str = LEDGER) -> None:
    """Makes a PostgreSQL engine connect only to a database whose texts are UTF-8.

    In another, the driver gives bytes for texts, or cannot write what users call their keys.
    """
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, _record: object, args: Any, options: Any) -> Any:
            connection = dialect.connect(*args, **options)
            if (found := connection.info.parameter_status("server_encoding")) == "UTF8":
                return connection
            connection.close()
            way = "make one with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
            raise NotOpened(
                setting, f"the database's encoding is {found}, which cannot hold all texts: {way}"
            )


def parsed(url: str, setting: str = LEDGER) -> URL:
    """The parts of a database's URL.

    Raises:
        NotOpened: it is none.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # its words hold the password
        raise NotOpened(setting, f"is not the URL of a database: {FORMS}") from None


def prepare_file(url: URL, create: bool) -> None:
    """Makes sure that a SQLite database is where it should be, and that a new one is its owner's alone.

    Raises:
        NoLedger: there is none, and none is to be made.
        NotOpened: it cannot be one.
    """
    name = url.database
    if url.get_backend_name() != "sqlite" or name in (None, "", ":memory:") or str(name).startswith("file:"):
        return
    path = Path(str(name))
    try:
        if path.is_dir():
            raise NotOpened(LEDGER, f"{path} is a folder: name a file in it")
        if not path.parent.is_dir():
            raise NotOpened(LEDGER, f"the folder {path.parent} does not exist: make it, or name another file")
        if path.exists():
            return
        if not create:
            raise NoLedger(f"{path} does not exist")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, OWNER_ONLY))  # what SQLite puts beside it is as this
    except OSError as error:
        raise NotOpened(LEDGER, f"{path} cannot be used: {error.strerror}") from None
