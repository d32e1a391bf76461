"""kill -9 amid posts, and power failures: nothing acknowledged is lost, nothing is charged twice."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.books import LEASE_S, NOW_S, Books, new_books, reservation

from mini_llm.wallet.receipt import SignedReceipt
from router.ledger import InFlight, Ledger, expire_lapsed, open_database, read

CHARGE_BASE, WORKERS = 500, 4

# Each worker goes through its own numbered calls, each with an idempotency key; one that was done before
# is replayed. A line is printed only after the ledger acknowledged the post.
STREAM = """
import os, sys, threading
from support.books import Books, facts, SIGNER, TERMS
from mini_llm.wallet.receipt import SignedReceipt
from router.ledger import InFlight, Ledger, Replay, StoredAnswer, open_database
url, workers = sys.argv[1], int(sys.argv[2])
books = Books(Ledger(open_database(url)))
answer = StoredAnswer(200, "text/plain", b"a")
def work(worker):
    for call in range(100_000):
        try:
            held = books.try_reserve(1, 500, f"{worker}/{call}")
        except InFlight:
            continue
        if isinstance(held, Replay):
            continue
        books.post(held.entry_id, 500, answer=answer)
        os.write(1, f"{held.entry_id}\\n".encode())  # one write, so that no other thread comes between
for worker in range(workers):
    threading.Thread(target=work, args=(worker,)).start()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_9_loses_no_acknowledged_post_and_duplicates_none(database: str) -> None:
    with new_books(database) as books:
        books.fund(1, 10**12)
        acknowledged: list[str] = []
        for _ in range(3):
            acknowledged += run_until_killed(books, lines=40)
            verify(books, acknowledged)
        now_s = NOW_S + LEASE_S + 1
        books.ledger.run(lambda c: expire_lapsed(c, now_s))
        assert books.account(1).reserved_base == 0


def run_until_killed(books: Books, lines: int) -> list[str]:
    """Starts the stream, kills it after some acknowledged posts, returns the ids of all acknowledged ones."""
    url = books.ledger.engine.url.render_as_string(hide_password=False)
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", STREAM, url, str(WORKERS)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
    ) as process:
        assert process.stdout is not None
        seen = [line.strip() for line in itertools.islice(process.stdout, lines)]
        os.kill(process.pid, signal.SIGKILL)
        seen += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert len(seen) >= lines
    return seen


def verify(books: Books, acknowledged: list[str]) -> None:
    receipts = [signed.receipt for signed in books.ledger.read(lambda c: list(read.iter_receipts(c)))]
    posted = [receipt.request_id.hex() for receipt in receipts]
    assert len(set(posted)) == len(posted)
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) <= set(posted)
    assert len(posted) <= len(acknowledged) + 3 * WORKERS  # committed, but killed before it could say so
    assert [receipt.account_sequence for receipt in receipts] == list(range(1, len(receipts) + 1))
    assert books.account(1).spent_base == len(receipts) * CHARGE_BASE
    books.check()


def test_a_power_failure_undoes_no_charge_and_no_key_that_may_come_again(tmp_path: Path) -> None:
    with new_books(f"sqlite:///{tmp_path}/ledger.db") as books:
        books.fund(1, 10**6)
        books.call(1, 100)
        disk = Disk(tmp_path / "ledger.db", books)
        books.reserve(1, 200)
        assert disk.unsynced_bytes
        assert reservation(1, 300, "key").outlasts_power
        books.reserve(1, 300, "key")
        assert not disk.unsynced_bytes
        held = books.reserve(1, 400)
        charged = books.post(held.entry_id, 400)
        assert not disk.unsynced_bytes
        books.reserve(1, 500)
        books.reserve(1, 600)
        left = {verify_after_failure(found, charged.receipt) for found in disk.after_failures(tmp_path)}
    assert left == {500, 1_000, 1_600}


def verify_after_failure(books: Books, receipt: SignedReceipt | None) -> int:
    """Checks what every power failure leaves; returns what is reserved, which may differ."""
    books.check()
    reserved_base = books.account(1).reserved_base
    assert books.ledger.read(lambda c: list(read.iter_receipts(c)))[-1] == receipt
    with pytest.raises(InFlight):
        books.reserve(1, 300, "key")
    books.call(1, 700)
    books.check()
    return reserved_base


class Disk:
    """What a power failure would leave of a ledger in SQLite: its log, up to anywhere after the last sync.

    Args:
        file: the database.
        books: its ledger; what it has committed before counts as synced.
    """

    FRAME_BYTES = 4096 + 24
    """A page in the log, with its header."""

    def __init__(self, file: Path, books: Books) -> None:
        self._file, self._log = file, Path(f"{file}-wal")
        self._synced_bytes, self._level, self._synced = self._log.stat().st_size, "FULL", True
        writer: Any = books.ledger._commits._kept.connection
        writer.connection.driver_connection.set_trace_callback(self._trace)

    @property
    def unsynced_bytes(self) -> int:
        """Length of the log that was written since it was synced last."""
        if self._synced:
            self._synced_bytes = self._log.stat().st_size
        return self._log.stat().st_size - self._synced_bytes

    def after_failures(self, folder: Path) -> Iterator[Books]:
        """The ledger as it would be opened again, for each length of the log that may be left."""
        for lost_bytes in range(0, self.unsynced_bytes + 1, self.FRAME_BYTES // 2):
            copy = folder / f"without-{lost_bytes}.db"
            shutil.copyfile(self._file, copy)
            log = self._log.read_bytes()
            Path(f"{copy}-wal").write_bytes(log[: len(log) - lost_bytes])
            engine = open_database(f"sqlite:///{copy}")
            with Ledger(engine) as ledger:
                yield Books(ledger)
            engine.dispose()

    def _trace(self, statement: str) -> None:
        if statement.startswith("PRAGMA synchronous"):
            self._level = statement.split()[-1]
        elif statement == "COMMIT":
            self._synced = self._level == "FULL"
