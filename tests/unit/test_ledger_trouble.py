"""A ledger that cannot be opened or written says what is wrong with it, in a line and by a code."""

from __future__ import annotations

import errno
import logging
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg import errors as postgresql
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

import router.cli as cli
from router.api.errors import told
from router.db import open_database
from router.db_trouble import trouble_of
from router.ledger import Ledger, probe
from router.ledger.shared import _portable
from router.observe.logs import describe

COMMANDS = (
    ("keys", "list"),
    ("ledger", "check"),
    ("costs",),
    ("rewards", "show"),
    ("x402", "list"),
    ("conductor", "log"),
    ("receipts", "export"),
    ("db", "current"),
    ("db", "check"),
    ("db", "downgrade", "0001"),
)
SECRET = "hunter2"


def run(monkeypatch: pytest.MonkeyPatch, url: str, *command: str) -> tuple[int, str]:
    monkeypatch.setenv("VIBES_LEDGER_URL", url)
    result = CliRunner().invoke(cli.main, list(command))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ledger.db", "is not the URL of a database: write sqlite:////"),
        (f"mysql://user:{SECRET}@host/x", "mysql cannot hold the ledger: write sqlite:////"),
        ("sqlite:////nowhere/at/all/ledger.db", "the folder /nowhere/at/all does not exist"),
        ("sqlite:///{folder}", "is a folder"),
        ("sqlite:///{folder}/garbage.db", "its file is no SQLite database (SQLITE_NOTADB)"),
        ("sqlite:///{folder}/empty.db", "the database holds no ledger; `vibes-router serve`"),
        (f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/x", "the server does not answer"),
        (f"postgresql+nothing://user:{SECRET}@127.0.0.1:1/x", "needs a driver that is not installed"),
    ],
    ids=["no-url", "mysql", "no-folder", "folder", "garbage", "empty", "down", "driver"],
)
def test_a_command_says_in_one_line_why_there_is_no_ledger(
    url: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "garbage.db").write_text("this is not a database, and long enough to be looked at\n" * 100)
    (tmp_path / "empty.db").touch()
    code, output = run(monkeypatch, url.format(folder=tmp_path), "keys", "list")
    assert code == 2
    assert "VIBES_LEDGER_URL: " in output
    assert words in output
    assert len(output.splitlines()) == 1
    assert SECRET not in output


def test_a_folder_that_others_may_not_enter_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    url = f"sqlite:///{tmp_path}/ledger.db"
    open_database(url).dispose()
    for command in (("keys", "list"), ("db", "upgrade"), ("db", "backup", "copy.db")):
        with monkeypatch.context() as other:
            other.setattr("os.stat", locked)  # as another user's folder; the superuser may enter any
            code, output = run(monkeypatch, url, *command)
        assert (code, len(output.splitlines())) == (2, 1)
        assert f"{tmp_path}/ledger.db cannot be used: Permission denied" in output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_who_looks_at_a_mistyped_address_makes_no_ledger(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = run(monkeypatch, f"sqlite:///{tmp_path}/mistyped.db", *command)
    assert code == 2
    assert "mistyped.db does not exist; `vibes-router serve` and `vibes-router db upgrade` begin" in output
    assert list(tmp_path.iterdir()) == []


def test_a_new_ledger_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    assert run(monkeypatch, url, "db", "upgrade")[0] == 0
    assert run(monkeypatch, url, "keys", "list")[0] == 0
    with Ledger(open_database(url)) as ledger:
        ledger.run(lambda connection: probe.write(connection, 1))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes["ledger.db"] == modes["ledger.db-wal"] == 0o600
    assert set(modes.values()) == {0o600}


def test_a_revision_that_no_release_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    assert run(monkeypatch, url, "db", "upgrade")[0] == 0
    for direction in ("upgrade", "downgrade"):
        code, output = run(monkeypatch, url, "db", direction, "9999")
        assert (code, len(output.splitlines())) == (1, 1)
        assert "cannot be brought to '9999'" in output


def full(tmp_path: Path) -> Ledger:
    """A ledger whose file may not grow any more, which SQLite takes for a full disk."""
    engine = open_database(f"sqlite:///{tmp_path}/ledger.db")
    engine.dispose()

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    return Ledger(engine)


def test_a_full_disk_is_called_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with full(tmp_path) as ledger, pytest.raises(OperationalError, match="full") as raised:
        ledger.run(lambda one: one.exec_driver_sql("CREATE TABLE more AS SELECT randomblob(9999)"))
    for error in (raised.value, _portable(raised.value)):  # as a worker gets it
        assert str(trouble_of(error)) == "the disk is full (SQLITE_FULL)"
    assert describe(raised.value)["trouble"] == "the disk is full (SQLITE_FULL)"
    answer = told(raised.value)
    assert (answer.status, answer.code) == (503, "ledger_unavailable")
    assert answer.headers == {"retry-after": "5"}
    assert "Nothing was charged" in answer.message
    assert "randomblob" not in caplog.text
    assert "the ledger cannot be used: the disk is full (SQLITE_FULL)" in caplog.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (postgresql.DiskFull("secret"), "the server's disk is full (53100)"),
        (postgresql.ReadOnlySqlTransaction("secret"), "the server is read-only (25006)"),
        (postgresql.LockNotAvailable("secret"), "another process keeps it locked (55P03)"),
        (postgresql.AdminShutdown("secret"), "the server is stopping (57P01)"),
        (postgresql.OperationalError("secret"), "the server does not answer, or refuses"),
        (postgresql.UniqueViolation("secret"), None),
        (postgresql.ProgrammingError("secret"), None),
        (sqlite3.IntegrityError("secret"), None),
        (ValueError("secret"), None),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_codes_have_words(error: Exception, words: str | None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    for seen in (error, OperationalError("SELECT 1", {}, error)):
        trouble = trouble_of(seen)
        assert (trouble is None) == (words is None)
        if words is not None:
            assert str(trouble).startswith(words)
        assert told(seen).status == (500 if words is None else 503)
    assert "secret" not in caplog.text


def test_a_ledger_that_is_read_only_is_not_called_full(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    open_database(url).dispose()
    with Ledger(open_database(f"sqlite:///file:{tmp_path}/ledger.db?mode=ro&uri=true")) as ledger:
        with pytest.raises(OperationalError) as raised:
            ledger.run(lambda connection: probe.write(connection, 1))
        assert str(trouble_of(raised.value)) == "it is read-only (SQLITE_READONLY)"
