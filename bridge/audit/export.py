"""Reads a receipts export of any size in bounded memory: checked on all processors, sorted on disk."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Final

from bridge.audit.chain import CannotAudit
from bridge.audit.lines import MAX_LINE_BYTES, Checked, Entry, check_lines
from bridge.progress import Progress
from bridge.workers import new_pool
from mini_llm.wallet.receipt import ReceiptDomain

CHUNK_LINES: Final = 2_000
"""Lines that a process checks at a time: about half a second of work, 2 MB."""

CACHE_KIB: Final = 16_384
"""Memory that SQLite may use for pages, and for a sort before it goes to disk."""

Lines = Sequence[tuple[int, bytes]]
"""(line number from 1, text) of lines that are not empty."""


class Spool:
    """Receipts in a database of its own in the temporary folder, for reading them in two orders.

    An export may list receipts in any order, so whoever follows the running totals has to sort them, and a
    million of them is too much to keep in memory.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        columns = ", ".join(Entry._fields[1:])
        connection.execute(f"CREATE TABLE receipt (line INTEGER PRIMARY KEY, {columns})")
        self._insert = f"INSERT INTO receipt VALUES ({', '.join('?' * len(Entry._fields))})"  # noqa: S608

    def add(self, entries: Iterable[Entry]) -> None:
        """Keeps some more receipts."""
        self._connection.executemany(self._insert, entries)

    def by_account(self) -> Iterator[Entry]:
        """All receipts by account, sequence and line."""
        return self._sorted("account, account_sequence, line")

    def by_partner(self) -> Iterator[Entry]:
        """All receipts by partner, sequence and line."""
        return self._sorted("partner, partner_sequence, line")

    def _sorted(self, order: str) -> Iterator[Entry]:
        return map(Entry._make, self._connection.execute(f"SELECT * FROM receipt ORDER BY {order}"))  # noqa: S608


@contextmanager
def spool() -> Iterator[Spool]:
    """An empty spool; its files are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="vibes-audit-") as folder:
        connection = sqlite3.connect(Path(folder) / "receipts.db", isolation_level=None)
        try:
            # Nothing here outlives the run, so nothing has to survive a crash.
            for setting in (
                "journal_mode=OFF",
                "synchronous=OFF",
                "temp_store=FILE",
                f"cache_size=-{CACHE_KIB}",
            ):
                connection.execute(f"PRAGMA {setting}")
            connection.execute("BEGIN")
            yield Spool(connection)
        finally:
            connection.close()


def check_export(
    path: Path, domain: ReceiptDomain, signers: Sequence[str], processes: int, progress: Progress
) -> Iterator[Checked]:
    """Checks the lines of an export, in order, up to the first that does not hold.

    Args:
        path: the export, one signed receipt a line.
        domain: chain and contract that the receipts must be for.
        signers: who may have signed them.
        processes: how many to check with; a short export is checked in this one.
        progress: told how many bytes are checked.

    Raises:
        CannotAudit: a worker process was killed.
    """
    size, chunks = path.stat().st_size, _chunks(path)
    first = list(islice(chunks, 2))
    if len(first) < 2 or processes < 2:
        results = ((end, check_lines(domain, signers, lines)) for end, lines in chain(first, chunks))
    else:
        results = _in_parallel(domain, signers, chain(first, chunks), processes)
    with closing(results):
        for end, checked in results:
            progress("receipts", end, max(size, end))
            yield checked
            if checked.refused:
                return
    progress("receipts", size, size)


def _in_parallel(
    domain: ReceiptDomain, signers: Sequence[str], chunks: Iterator[tuple[int, Lines]], processes: int
) -> Generator[tuple[int, Checked]]:
    """Results in the order of the chunks; only a few chunks are in memory at a time."""
    pool = new_pool(processes)
    waiting: deque[tuple[int, Future[Checked]]] = deque()

    def submit(count: int) -> None:
        for end, lines in islice(chunks, count):
            waiting.append((end, pool.submit(check_lines, domain, signers, lines)))

    try:
        submit(2 * processes)
        while waiting:
            end, future = waiting.popleft()
            yield end, future.result()
            submit(1)
    except BrokenProcessPool as error:
        raise CannotAudit("a worker process was killed") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(path: Path) -> Iterator[tuple[int, Lines]]:
    """The file's lines in chunks, each with the number of bytes up to its end."""
    with path.open("rb") as file:
        texts = enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1)
        while batch := list(islice(texts, CHUNK_LINES)):
            # A blank line is passed over, but not the blank beginning of a line that is too long.
            kept = [line for line in batch if line[1].strip() or len(line[1]) > MAX_LINE_BYTES]
            yield file.tell(), kept


def read_line(path: Path, number: int) -> bytes:
    """One line of an export; empty if there is none such."""
    with path.open("rb") as file:
        return next(islice(file, number - 1, None), b"")
