"""How the ledger's database is opened."""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url
from support.books import new_books

from bridge.sessions import open_engine, require_table
from router.db import UnsupportedDatabase, open_database
from router.db_sessions import name_of_transaction, reading, was_committed, writing
from router.db_trouble import NotOpened
from router.ledger import probe

OPEN = "import sys; from router.ledger import open_database; open_database(sys.argv[1])"


def test_sqlite_syncs_every_commit_and_lets_readers_read(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/ledger.db")
    for view in (writing(engine), reading(engine)):
        with view.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1}
    engine.dispose()


def test_opening_again_keeps_what_is_there(database: str) -> None:
    with new_books(database) as books:
        books.fund(1, 10_000)
        again = open_database(books.ledger.engine.url.render_as_string(hide_password=False))
        again.dispose()
        assert books.account(1).balance_base == 10_000


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_writer_sees_what_it_waited_for_whatever_the_server_does_by_default(database: str) -> None:
    engine = open_database(database)
    with engine.begin() as connection:
        changed = "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'"
        connection.exec_driver_sql(changed.format(engine.url.database))
    engine.dispose()
    with writing(engine).begin() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
    engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_database_for_other_texts_is_refused_in_one_line(database: str) -> None:
    name, admin = f"plain_{secrets.token_hex(4)}", create_engine(database, isolation_level="AUTOCOMMIT")
    plain = make_url(database).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        how = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.exec_driver_sql(f"CREATE DATABASE {name} {how}")
        try:
            refusals: dict[str, Callable[[], object]] = {
                "VIBES_LEDGER_URL": lambda: open_database(plain),
                "VIBES_BRIDGE_URL": lambda: open_engine(plain),
                "VIBES_OTHER_URL": lambda: require_table("VIBES_OTHER_URL", plain, "entry"),
            }
            for setting, refuse in refusals.items():
                with pytest.raises(NotOpened, match=f"{setting}: .*encoding is SQL_ASCII.*ENCODING 'UTF8'"):
                    refuse()
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_server_tells_what_became_of_a_transaction_that_it_still_knows(database: str) -> None:
    engine = open_database(database)
    with writing(engine).connect() as one, writing(engine).connect() as other:
        with one.begin():
            assert name_of_transaction(one) is None
            probe.write(one, 1)
            kept = name_of_transaction(one)
        with one.begin() as transaction:
            probe.write(one, 2)
            dropped = name_of_transaction(one)
            transaction.rollback()
        assert kept is not None
        assert dropped is not None
        assert [was_committed(other, name) for name in (kept, dropped)] == [True, False]
        elsewhere = [name._replace(server_started=datetime.fromtimestamp(0, UTC)) for name in (kept, dropped)]
        assert [was_committed(other, name) for name in elsewhere] == [None, False]
    engine.dispose()


def test_processes_may_create_the_database_together(database: str) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started = [subprocess.Popen([sys.executable, "-c", OPEN, database], env=env) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_program_without_the_ledger_meets_the_guards_too(database: str) -> None:
    with new_books(database) as books:
        books.fund(1, 10_000)
        books.call(1, 700)
        outsider = sqlite3.connect(str(books.ledger.engine.url.database))
        for statement in (
            "UPDATE posting SET amount_base = 0",
            "DELETE FROM entry",
            "UPDATE account SET balance_base = -1",
            "INSERT OR REPLACE INTO entry SELECT * FROM entry",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                outsider.execute(statement)
        outsider.close()


def test_another_database_is_refused() -> None:
    with pytest.raises(UnsupportedDatabase, match="oracle"):
        open_database("oracle+oracledb://localhost/x")
