"""kill -9 in the middle of a stream of posts: nothing acknowledged is lost, nothing is charged twice."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.books import LEASE_S, NOW_S, Books, new_books

from router.ledger import expire_lapsed, read

CHARGE_BASE, WORKERS = 500, 4

# Each worker goes through its own numbered calls, each with an idempotency key; one that was done before
# is replayed. A line is printed only after the ledger acknowledged the post.
STREAM = """
import os, sys, threading
from support.books import Books, facts, SIGNER, TERMS
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
