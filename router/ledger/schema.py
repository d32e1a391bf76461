"""Moving a ledger database between releases: Alembic's revisions, all of them in one transaction.

Nothing else may use the database meanwhile. A move that fails leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect

from router.db import METADATA, SCHEMA_REVISION, WrongRevision, connect_database, is_empty, revision_of
from router.db_sessions import writing
from router.db_trouble import opening
from router.ledger.errors import LedgerError

FIRST: Final = "0001"
"""The revision of the release that kept none."""
_FIRST_TABLES: Final = frozenset(
    ("account", "account_change", "answer", "api_key", "call", "ceiling", "entry", "posting", "share")
)


class UnknownTables(LedgerError):
    """A database without a revision that no release made; `tables` are the ones that differ."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"the database has no revision and is not of the first release: {', '.join(tables)}")
        self.tables = tuple(tables)


class WouldLoseMoney(LedgerError):
    """The older tables cannot hold what somebody is owed; `what` says it, in words."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not downgraded: the older tables cannot hold {what}")
        self.what = what


class DanglingRows(LedgerError):
    """Rows whose counterpart is missing, by table: the move is undone."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"rows without their counterpart in {', '.join(tables)}: nothing was changed")
        self.tables = tuple(tables)


class NoSuchMove(LedgerError):
    """This release does not know the revision, or it is on the other side of the database's own."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the database cannot be brought to {revision!r}: `vibes-router db current` shows the revisions"
        )
        self.revision = revision


def upgrade(url: str, revision: str = "head") -> str:
    """Brings the database to a later revision, its data kept; returns the revision that it is at then.

    Raises:
        UnknownTables: it was made by no release.
        WrongRevision: it is of a later release than this one.
        NoSuchMove: there is no such revision.
        NotOpened: it cannot be used.
    """

    def steps(connection: Connection, config: Config) -> None:
        if revision_of(connection) is None and not is_empty(connection):
            _check_first(connection)
            command.stamp(config, FIRST)
        command.upgrade(config, revision)

    return _move(url, revision, steps, create=True)


def downgrade(url: str, revision: str) -> str:
    """Brings the database to an earlier revision; what the older tables cannot hold is dropped.

    Raises:
        WouldLoseMoney: something of it is owed to somebody.
        WrongRevision: it is of a later release than this one.
        NoSuchMove: there is no such revision.
        NotOpened: it cannot be used, or is not there.
    """
    return _move(url, revision, lambda _, config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The revision of a database; None for the first release's, and for an empty one."""
    with _connected(url) as engine, engine.begin() as connection:
        return revision_of(connection)


def differences(url: str) -> list[str]:
    """What would make the tables as expected, such as "add index call_time"; empty if they are.

    Raises:
        WrongRevision: the tables are another release's.
    """
    with _connected(url) as engine, engine.begin() as connection:
        if (found := revision_of(connection)) != SCHEMA_REVISION:
            raise WrongRevision(found, SCHEMA_REVISION)
        return [_in_words(change) for change in schema_changes(connection)]


def schema_changes(connection: Connection) -> list[Any]:
    """Alembic's operations that would turn the database's tables into the models'."""
    return list(compare_metadata(MigrationContext.configure(connection), METADATA))


@contextmanager
def _connected(url: str, *, create: bool = False) -> Iterator[Engine]:
    with opening():
        engine = connect_database(url, create=create)
        try:
            yield engine
        finally:
            engine.dispose()


def _move(
    url: str, revision: str, steps: Callable[[Connection, Config], None], *, create: bool = False
) -> str:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with _connected(url, create=create) as engine, writing(engine).connect() as connection:
        if engine.dialect.name == "sqlite":  # a table that others refer to is rebuilt, and dropped for it
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            config.attributes["connection"] = connection
            try:
                steps(connection, config)
            except CommandError:
                if (found := revision_of(connection) or FIRST) > SCHEMA_REVISION:
                    raise WrongRevision(found, SCHEMA_REVISION) from None
                raise NoSuchMove(revision) from None
            if engine.dialect.name == "sqlite":
                _check_references(connection)
            return revision_of(connection) or ""


def _in_words(change: Any) -> str:
    """One of Alembic's operations, or several on one column, by the names of what they are on."""
    if isinstance(change, list):
        return ", ".join(map(_in_words, change))
    names = [part if isinstance(part, str) else getattr(part, "name", None) for part in change[1:]]
    return " ".join((change[0].replace("_", " "), *filter(None, names)))


def _check_first(connection: Connection) -> None:
    found = frozenset(inspect(connection).get_table_names())
    if found != _FIRST_TABLES:
        raise UnknownTables(sorted(found ^ _FIRST_TABLES))


def _check_references(connection: Connection) -> None:
    dangling = {row[0] for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}
    if dangling:
        raise DanglingRows(sorted(dangling))
