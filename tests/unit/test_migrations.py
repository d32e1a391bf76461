"""The ledger database moves between releases with its data, both ways, and no release runs on another's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, inspect, text
from support.anvil import ROOT
from support.books import Books
from support.databases import new_database

import router.cli as cli
import router.people  # noqa: F401  (its tables)
from router.db import SCHEMA_REVISION, WrongRevision, connect_database, open_database
from router.ledger import Ledger, book_errors, hash_api_key, read, schema, trial_balance
from router.ledger.keys import find_api_key

FIRST_RELEASE = ROOT / "tests" / "golden" / "ledger_first_release.sql"
"""A database that the first release wrote: two accounts, calls, a batch, a running call, two API keys."""
API_KEY = "sk-vibes-457c769f39d8644199c0e5bdbcfbc85b37ce91cbde1fc1b0ea6b44f130436dd7"
BALANCES = {
    "burn": 3667,
    "custody": -5838272,
    "fee": 196185,
    "partner:1": 392370,
    "pool": 130790,
    "treasury": 523161,
    "user:1": 3725432,
    "user:2": 866667,
}


@pytest.fixture
def first_release(database: str, tmp_path: Path) -> str:
    """URL of a database of the first release, with its rows."""
    source = sqlite3.connect(tmp_path / "first.db")
    source.executescript(FIRST_RELEASE.read_text())
    if database.startswith("sqlite"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as target:
            source.backup(target)
        return database
    schema.upgrade(database, schema.FIRST)
    engine = connect_database(database)
    with engine.begin() as connection:
        connection.execute(text("SET session_replication_role = replica"))  # rows as they are, unguarded
        connection.execute(text("DROP TABLE alembic_version"))
        for table in ("account", "api_key", "ceiling", "entry", "posting", "account_change"):
            _copy(source, connection, table)
        for table in ("share", "call", "answer"):
            _copy(source, connection, table)
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('entry', 'number'), (SELECT max(number) FROM entry))")
        )
    engine.dispose()
    return database


def _copy(source: sqlite3.Connection, target: Connection, table: str) -> None:
    cursor = source.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    into = f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in names)})"
    for row in cursor:
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        if "estimated" in values:
            values["estimated"] = bool(values["estimated"])
        target.execute(text(into), values)


@pytest.fixture
def opened(database: str) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


def described(url: str) -> dict[str, Any]:
    """All that the database says about its tables, but for how it spells it."""
    engine = connect_database(url)
    with engine.begin() as connection:
        looked = inspect(connection)
        tables = {
            table: {
                "columns": {
                    c["name"]: (str(c["type"]), c["nullable"], c.get("autoincrement"))
                    for c in looked.get_columns(table)
                },
                "key": looked.get_pk_constraint(table)["constrained_columns"],
                "checks": {
                    c["name"]: "".join(c["sqltext"].split()) for c in looked.get_check_constraints(table)
                },
                "foreign": sorted(
                    (f["constrained_columns"], f["referred_table"], f["referred_columns"])
                    for f in looked.get_foreign_keys(table)
                ),
                "indexes": {
                    i["name"]: (
                        i["column_names"],
                        i["unique"],
                        str({k: str(v) for k, v in i.get("dialect_options", {}).items()}),
                    )
                    for i in looked.get_indexes(table)
                },
            }
            for table in looked.get_table_names()
            if table != "alembic_version"
        }
        if engine.dialect.name == "sqlite":
            triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        else:
            triggers = (
                "SELECT tgname, pg_get_triggerdef(t.oid) || prosrc FROM pg_trigger t"
                " JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal"
            )
        tables["triggers"] = {row[0]: row[1] for row in connection.execute(text(triggers))}
    engine.dispose()
    return tables


def test_the_last_migration_is_the_one_that_the_program_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "router" / "ledger" / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_REVISION


def test_migrated_tables_are_the_models(database: str, opened: Engine) -> None:
    with new_database(opened.dialect.name) as migrated:
        assert schema.upgrade(migrated) == SCHEMA_REVISION
        assert described(migrated) == described(database)
        assert schema.differences(migrated) == []


def test_the_first_release_is_upgraded_with_its_data(first_release: str) -> None:
    assert schema.current(first_release) is None
    with pytest.raises(WrongRevision, match="vibes-router db upgrade"):
        open_database(first_release)
    schema.upgrade(first_release)
    engine = open_database(first_release)
    with Ledger(engine) as ledger:
        assert ledger.read(trial_balance).balances == BALANCES
        key = ledger.read(lambda c: find_api_key(c, hash_api_key(API_KEY)))
        assert key is not None
        assert key.account_idx == 1
        assert ledger.read(lambda c: len(list(read.iter_receipts(c)))) == 3
        books = Books(ledger)
        assert books.account(2).reserved_base == 11_000  # the call that ran is still there
        books.call(1, 5)
        books.check()
    engine.dispose()


def test_a_ledger_of_a_later_release_is_for_that_release(database: str, opened: Engine) -> None:
    with opened.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    way = f"vibes-router db downgrade {SCHEMA_REVISION}"
    for refused in (open_database, schema.upgrade, schema.differences):
        with pytest.raises(WrongRevision, match=way):
            refused(database)
    with pytest.raises(WrongRevision, match=way):
        schema.downgrade(database, schema.FIRST)


def test_what_differs_is_told_in_words(database: str, opened: Engine) -> None:
    with opened.begin() as connection:
        connection.execute(text("DROP INDEX call_time"))
        connection.execute(text("ALTER TABLE pace ADD COLUMN spare INTEGER"))
    assert sorted(schema.differences(database)) == ["add index call_time", "remove column pace spare"]


def test_and_goes_back_with_what_its_tables_hold(first_release: str) -> None:
    before = rows(first_release)
    schema.upgrade(first_release)
    assert schema.downgrade(first_release, schema.FIRST) == schema.FIRST
    assert rows(first_release) == before
    with new_database("sqlite" if first_release.startswith("sqlite") else "postgresql") as fresh:
        schema.upgrade(fresh, schema.FIRST)
        assert described(first_release) == described(fresh)
    schema.upgrade(first_release)
    engine = open_database(first_release)
    with engine.begin() as connection:
        assert book_errors(connection) == []
    engine.dispose()


def test_a_key_with_limits_does_not_outlive_them(database: str, opened: Engine) -> None:
    with Ledger(opened) as ledger:
        Books(ledger).fund(1, 1_000)
    with opened.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO api_key (key_id, account_idx, label, scopes, day_limit_base, created_s)"
                " VALUES ('k1', 1, 'capped', 'account:read account:write chat embeddings keys:read models',"
                " 5, 0),"
                " ('k2', 1, 'plain', 'account:read account:write chat embeddings keys:read models', NULL, 0)"
            )
        )
        connection.execute(text("INSERT INTO api_secret VALUES ('h1', 'k1', 0, NULL), ('h2', 'k2', 0, NULL)"))
    schema.downgrade(database, schema.FIRST)
    with opened.begin() as connection:
        found = connection.execute(text("SELECT label, revoked_s IS NULL FROM api_key ORDER BY label")).all()
    assert [(label, bool(valid)) for label, valid in found] == [("capped", False), ("plain", True)]


def test_no_downgrade_loses_money(database: str, opened: Engine) -> None:
    with opened.begin() as connection:
        connection.execute(
            text("INSERT INTO session_key VALUES (:k, '0x0', 5, :k, :k, 'm', 0)"), {"k": b"k" * 32}
        )
    before = described(database)
    with pytest.raises(schema.WouldLoseMoney, match="session keys"):
        schema.downgrade(database, schema.FIRST)
    assert described(database) == before
    assert schema.current(database) == SCHEMA_REVISION


def test_tables_that_no_release_made_are_refused(database: str, opened: Engine) -> None:
    with opened.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(schema.UnknownTables, match="session_key"):
        schema.upgrade(database)


def test_the_commands(first_release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBES_LEDGER_URL", first_release)

    def run(*command: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.main, ["db", *command])
        return result.exit_code, result.output

    assert "without a revision" in run("current")[1]
    assert run("check") == (2, CliRunner().invoke(cli.main, ["keys", "list"]).output)
    assert run("upgrade") == (0, f"at revision {SCHEMA_REVISION}\n")
    assert run("check")[0] == 0
    engine = connect_database(first_release)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE ceiling ADD COLUMN extra INTEGER"))
    engine.dispose()
    code, output = run("check")
    assert code == 1
    assert output.startswith("remove column ceiling extra\n")


def rows(url: str) -> dict[str, list[Any]]:
    engine = connect_database(url)
    with engine.begin() as connection:
        tables = inspect(connection).get_table_names()
        found = {
            table: sorted(map(repr, connection.execute(text(f"SELECT * FROM {table}"))))
            for table in tables
            if table != "alembic_version"
        }
    engine.dispose()
    return found
