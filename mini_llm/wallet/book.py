"""What a wallet remembers of an account: receipts checked so far, ceilings signed, the day's limit.

A file of SQLite that the processes of one user share: each step is one transaction, so that two processes
neither sign past the day's limit together nor take each other's receipts for a router's fault.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from mini_llm.wallet import forks
from mini_llm.wallet.errors import BookFailed, CapReached, Overcharged
from mini_llm.wallet.page import Link, Page

FILE_NAME: Final = "wallet.db"
BUSY_S: Final = 30.0
UNCLAIMED_KEPT: Final = 10_000
MOST_BASE: Final = 2**62  # the file holds 63 bits; no account ever spends so much
_OWNER_ONLY: Final = 0o600
_NO_RECEIPT: Final = bytes(32)
_TO_BEGIN: Final = -1
"""Stands for the number of the last receipt in a page that has to begin anew."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS account (
    name TEXT PRIMARY KEY, signer TEXT, sequence INTEGER NOT NULL, total INTEGER NOT NULL,
    digest BLOB NOT NULL, ceiling INTEGER NOT NULL, day INTEGER NOT NULL, day_start INTEGER NOT NULL,
    stopped TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS early (
    name TEXT NOT NULL, sequence INTEGER NOT NULL, total INTEGER NOT NULL, charge INTEGER NOT NULL,
    previous BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (name, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS unclaimed (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE, charge INTEGER NOT NULL
) STRICT;
"""


class Book:
    """The pages of one file; every method is safe to call from any thread.

    Args:
        path: made if it is not there, for its owner only.
        name: of the account: chain, contract and number.

    Raises:
        BookFailed: the file cannot be used; so does every method.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name, self._turn = path, name, threading.Lock()
        with self._failures():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, _OWNER_ONLY))
            self._connect()
            self._db.executescript(_TABLES)
        self._forking = False
        forks.watch(self)

    def close(self) -> None:
        """Closes the file."""
        forks.leave(self)
        self._db.close()

    def open_page(self, signer: str | None, last: Link | None, ceiling_base: int) -> None:
        """Begins the account's page after the router's last receipt; one that there is already goes on.

        Args:
            signer: whose receipts are good from now on, None for whoever is remembered or signs first.
            last: the receipt to go on from, None if the account has none.
            ceiling_base: highest ceiling that this session key is known to have signed; it only rises.
        """
        start = (last.sequence, last.total_base, last.digest) if last else (0, 0, _NO_RECEIPT)
        with self._writing() as db:
            db.execute(
                "INSERT INTO account VALUES (?, ?, ?, ?, ?, 0, -1, 0, NULL) ON CONFLICT DO UPDATE SET"
                " sequence = excluded.sequence, total = excluded.total, digest = excluded.digest"
                " WHERE account.sequence = ?",
                (self._name, signer, *start, _TO_BEGIN),
            )
            db.execute(
                "UPDATE account SET ceiling = max(ceiling, ?), signer = coalesce(?, signer) WHERE name = ?",
                (ceiling_base, signer, self._name),
            )

    def page(self) -> Page | None:
        """The account's page, None if it has not begun.

        Raises:
            Overcharged: the router was caught before; ``resume`` forgets that.
        """
        with self._turn, self._failures():
            return self._page(self._db)

    def pin(self, signer: str) -> None:
        """Remembers whose receipts are good, unless somebody's are already."""
        with self._writing() as db:
            db.execute(
                "UPDATE account SET signer = ? WHERE name = ? AND signer IS NULL", (signer, self._name)
            )

    def take(self, link: Link, *, fetched: bool = False) -> None:
        """Writes a receipt down that came with an answer, or that was fetched because its number was missing.

        Receipts of parallel calls come in any order: one beyond a gap waits until the gap is filled.

        Raises:
            Overcharged: it does not continue the chain, or came before.
        """
        with self._writing() as db:
            page = self._must_page(db)
            if link.sequence <= page.sequence or self._early(db, link.sequence):
                self._again(db, page, link, fetched)
                return
            least_base = page.total_base + (link.sequence - page.sequence - 1)
            if link.total_base - link.charge_base < least_base:
                before_base = link.total_base - link.charge_base
                raise Overcharged("total", before_base, f"at least {least_base}", link.request_id)
            row = (link.sequence, link.total_base, link.charge_base, link.previous, link.digest)
            db.execute("INSERT INTO early VALUES (?, ?, ?, ?, ?, ?)", (self._name, *row))
            if fetched:
                self._leave_unclaimed(db, link)
            self._advance(db, page, link)

    def begin_day(self, today: int) -> Page:
        """From now on the user's limit counts for this UTC day; one that is over already changes nothing."""
        with self._writing() as db:
            page = self._must_page(db)
            if today > page.day:
                # a router can sign receipts beyond every ceiling, which must not move the day's limit
                start_base = min(page.total_base, page.ceiling_base)
                db.execute(
                    "UPDATE account SET day = ?, day_start = ? WHERE name = ?",
                    (today, start_base, self._name),
                )
            return self._must_page(db)

    def raise_ceiling(self, wanted_base: int, needed_base: int, cap_base: int) -> int | None:
        """The ceiling to sign now, written down before anybody signs it; None if there is nothing to sign.

        In one UTC day the ceiling rises to at most ``cap_base`` above what had been spent when the day began,
        here: a restart, another process and a clock that goes back change nothing about that. What an older
        ceiling allows beyond that may not be used either.

        Args:
            wanted_base: up to where it would be good to sign.
            needed_base: up to where must be signed, for the call at hand.
            cap_base: the user's limit for a day.

        Raises:
            CapReached: the day's limit does not reach ``needed_base``.
            Overcharged: the router was caught.
        """
        with self._writing() as db:
            page = self._must_page(db)
            most_base = page.day_start_base + cap_base
            ceiling_base = max(page.ceiling_base, min(wanted_base, most_base))
            if (allowed_base := min(ceiling_base, most_base)) < needed_base:
                left_base = max(0, most_base - max(page.ceiling_base, page.total_base))
                raise CapReached(needed_base - allowed_base, left_base, cap_base)
            db.execute("UPDATE account SET ceiling = ? WHERE name = ?", (ceiling_base, self._name))
            return ceiling_base if ceiling_base > page.ceiling_base else None

    def stop(self, error: Overcharged) -> None:
        """Remembers that the router was caught: nothing is signed for it any more, by no process."""
        told = [error.rule, str(error.told), str(error.expected), error.request_id]
        with self._writing() as db:
            db.execute("UPDATE account SET stopped = ? WHERE name = ?", (json.dumps(told), self._name))

    def resume(self) -> None:
        """Forgets that the router was caught, after the user has decided to go on.

        The page begins anew at the router's last receipt; what was signed and the day's limit stay.
        """
        with self._writing() as db:
            db.execute("DELETE FROM early WHERE name = ?", (self._name,))
            db.execute(
                "UPDATE account SET stopped = NULL, sequence = ? WHERE name = ? AND stopped IS NOT NULL",
                (_TO_BEGIN, self._name),
            )

    def elsewhere_base(self) -> int:
        """Charges for calls that were not made here, such as with another key of the account."""
        query = "SELECT coalesce(sum(charge), 0) FROM unclaimed WHERE name = ?"
        with self._turn, self._failures():
            return int(self._db.execute(query, (self._name,)).fetchone()[0])

    def _again(self, db: sqlite3.Connection, page: Page, link: Link, fetched: bool) -> None:
        """A number that is here already: as it should be only if it was fetched before its answer came."""
        known = db.execute(
            "SELECT digest FROM early WHERE name = ? AND sequence = ?", (self._name, link.sequence)
        ).fetchone()
        same = link.digest == (known[0] if known else page.digest)
        if fetched and (same or link.sequence < page.sequence):
            return
        claimed = db.execute(
            "DELETE FROM unclaimed WHERE name = ? AND digest = ?", (self._name, link.digest)
        ).rowcount
        if not claimed:
            raise Overcharged("sequence", link.sequence, "a number not used before", link.request_id)

    def _advance(self, db: sqlite3.Connection, page: Page, newest: Link) -> None:
        sequence, total, digest = page.sequence, page.total_base, page.digest
        query = "SELECT total, charge, previous, digest FROM early WHERE name = ? AND sequence = ?"
        while (row := db.execute(query, (self._name, sequence + 1)).fetchone()) is not None:
            if row[0] - row[1] != total:
                raise Overcharged("total", row[0], total + row[1], newest.request_id)
            if row[2] != digest:
                raise Overcharged("previous receipt", row[2].hex(), digest.hex(), newest.request_id)
            sequence, total, digest = sequence + 1, row[0], row[3]
        db.execute("DELETE FROM early WHERE name = ? AND sequence <= ?", (self._name, sequence))
        db.execute(
            "UPDATE account SET sequence = ?, total = ?, digest = ? WHERE name = ?",
            (sequence, total, digest, self._name),
        )

    def _leave_unclaimed(self, db: sqlite3.Connection, link: Link) -> None:
        db.execute(
            "INSERT INTO unclaimed (name, digest, charge) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (self._name, link.digest, link.charge_base),
        )
        db.execute("DELETE FROM unclaimed WHERE number <= last_insert_rowid() - ?", (UNCLAIMED_KEPT,))

    def _early(self, db: sqlite3.Connection, sequence: int) -> bool:
        query = "SELECT 1 FROM early WHERE name = ? AND sequence = ?"
        return db.execute(query, (self._name, sequence)).fetchone() is not None

    def _must_page(self, db: sqlite3.Connection) -> Page:
        page = self._page(db)
        if page is None:
            raise LookupError("the page has not begun")
        return page

    def _page(self, db: sqlite3.Connection) -> Page | None:
        row: Any = db.execute(
            "SELECT signer, sequence, total, digest, ceiling, stopped, day, day_start FROM account"
            " WHERE name = ?",
            (self._name,),
        ).fetchone()
        if row is None:
            return None
        if row[5] is not None:
            raise Overcharged(*json.loads(row[5]))
        early = db.execute("SELECT max(total) FROM early WHERE name = ?", (self._name,)).fetchone()[0]
        signer, sequence, total, digest, ceiling, _, day, day_start = row
        if sequence == _TO_BEGIN:
            return None
        furthest = total if early is None else early
        return Page(signer, sequence, total, digest, ceiling, furthest, day, day_start)

    def before_fork(self) -> None:
        """Closes the file: no connection of SQLite's may come into a process that has not its locks."""
        self._turn.acquire()
        self._forking = True
        self._db.close()

    def after_fork(self, child: bool) -> None:
        """Opens the file again; a child's book stays closed, and whoever needs one opens another."""
        if self._forking:
            self._forking = False
            if not child:
                with suppress(sqlite3.Error):  # told by whoever needs it next
                    self._connect()
            self._turn.release()

    def _connect(self) -> None:
        self._db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a cap that a power cut forgets is none

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._turn, self._failures():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise BookFailed(self._path, str(error)) from error
