"""`vibes-router db backup`: a whole ledger as of one moment, while others write."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.books import Books, new_books

from router.cli import main
from router.ledger import Ledger, books, open_database, read


def backup(monkeypatch: pytest.MonkeyPatch, url: str, file: Path) -> Result:
    monkeypatch.setenv("VIBES_LEDGER_URL", url)
    return CliRunner().invoke(main, ["db", "backup", str(file)])


def receipts_of(ledger: Ledger) -> int:
    return len(ledger.read(lambda connection: list(read.iter_receipts(connection))))


def test_a_backup_is_whole_while_calls_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, file = f"sqlite:///{tmp_path}/of 100%25 & #1.db", tmp_path / "copy.db"
    with new_books(url) as there:
        there.fund(1, 10**9)
        there.call(1, 50)
        over, begun = threading.Event(), threading.Event()

        def calls(there: Books = there) -> None:
            while not over.is_set():
                there.call(1, 50)
                begun.set()

        writing = threading.Thread(target=calls)
        writing.start()
        assert begun.wait(30)
        before = receipts_of(there.ledger)
        result = backup(monkeypatch, url, file)
        over.set()
        writing.join()
        after = receipts_of(there.ledger)
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith("copy")) == ["copy.db"]
    with Ledger(open_database(f"sqlite:///{file}")) as copy:
        assert before <= receipts_of(copy) <= after
        assert copy.read(books.book_errors) == []


def test_what_is_there_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, file = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "copy.db"
    open_database(url).dispose()
    file.write_text("of yesterday")
    result = backup(monkeypatch, url, file)
    assert (result.exit_code, file.read_text()) == (1, "of yesterday")
    assert f"{file} already exists" in result.output
    (tmp_path / "other.db.part").touch()
    assert "other.db.part already exists" in backup(monkeypatch, url, tmp_path / "other.db").output
    assert backup(monkeypatch, url, tmp_path / "missing" / "copy.db").exit_code == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://u:secret@127.0.0.1:1/vibes", "pg_dump"),
        ("sqlite:////nowhere/ledger.db", "the folder /nowhere does not exist"),
        ("sqlite://", "is no SQLite file"),
        ("ledger.db", "is not the URL of a database"),
    ],
)
def test_only_a_file_can_be_copied(
    url: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = backup(monkeypatch, url, tmp_path / "copy.db")
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert words in result.output
    assert "secret" not in result.output
