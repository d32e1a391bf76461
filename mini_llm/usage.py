"""What each call used and cost, kept in a file of this machine; never what was said.

Writing waits for nobody: calls hand over a line, a thread of its own writes many at once. What cannot be
written is lost with a warning; no call ever fails for it. Several processes may share the file.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Literal
from weakref import WeakSet

from mini_llm.answer import Billed
from mini_llm.costs import Cost
from mini_llm.deployment import Deployment
from mini_llm.price import Usage

GATHER_S: Final = 0.2
"""How long a line may wait for others, to be written together with them."""
MOST_WAITING: Final = 50_000
"""Lines beyond this many are dropped: the disk is not keeping up."""
LOCK_WAIT_S: Final = 10.0
FLUSH_S: Final = 5.0
"""Longest that a program's end waits for its last lines."""
By = Literal["model", "day", "provider"]
_KEYS: Final = {"model": "model", "provider": "provider", "day": "date(at_s, 'unixepoch', 'localtime')"}
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS calls (
        id INTEGER PRIMARY KEY, at_s REAL NOT NULL, model TEXT NOT NULL, surface TEXT NOT NULL,
        stream INTEGER NOT NULL, outcome TEXT NOT NULL, provider TEXT, deployment TEXT,
        asked INTEGER NOT NULL, ms INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL, cost_base INTEGER, billed INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS calls_by_time ON calls (at_s);
"""
_INSERT: Final = "INSERT INTO calls VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_NOTHING: Final = Usage(0, 0)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it is kept.

    Attributes:
        model: as the app named it.
        surface: the wire format.
        stream: it was streamed.
        outcome: ``ok``, ``closed`` for a stream that the app left, else the name of the error's type.
        asked: how many were asked.
        ms: how long it took, milliseconds.
        deployment: who served it, None if nobody did.
        usage: tokens, None if nobody served it.
        billed: what the wallet was charged.
        at_s: when it ended, seconds since 1970.
    """

    model: str
    surface: str
    stream: bool
    outcome: str
    asked: int
    ms: int
    deployment: Deployment | None = None
    usage: Usage | None = None
    billed: Billed | None = None
    at_s: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Total:
    """What the calls of one model, day or provider came to.

    Attributes:
        key: the model, the day as ``2026-01-31`` in local time, or the provider (empty if nobody served).
        calls: how many there were.
        failed: how many of them failed.
        prompt_tokens, completion_tokens: tokens read and written.
        cost_base: what is known of their cost, base units.
        unpriced: calls that were served and whose cost is not known.
    """

    key: str
    calls: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_base: int
    unpriced: int

    @property
    def cost(self) -> Cost:
        """The cost, which can tell US dollars."""
        return Cost(self.cost_base)


class UsageLog:
    """Writes calls into a file, in the background.

    Args:
        path: the file; it and its folder are made, for their owner only.
        cost: tells what a call cost. It is asked on the writing thread.
    """

    def __init__(
        self, path: Path, cost: Callable[[Deployment, Usage | None, Billed | None], Cost | None]
    ) -> None:
        self.path, self._cost = path, cost
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[Call | threading.Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._warned = False
        _logs.add(self)

    def record(self, call: Call) -> None:
        """Keeps a call; returns at once."""
        if self._thread is None:
            self._start()
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(call)

    def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Waits until everything recorded so far is written, but not for longer than ``timeout_s``."""
        if self._thread is not None:
            written = threading.Event()
            self._waiting.put(written)
            written.wait(timeout_s)

    def close(self, wait: bool = True) -> None:
        """Writes what is left and ends the thread; a later call starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            if wait:
                thread.join(FLUSH_S)

    def forked(self) -> None:
        """In a child process: begins anew. What the parent recorded, the parent writes."""
        self._lock, self._waiting, self._thread = threading.Lock(), SimpleQueue(), None

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="mini-llm usage", daemon=True)
                self._thread.start()

    def _write(self) -> None:
        """Writes what comes, until it is told to end."""
        ending = False
        while not ending:
            taken = [self._waiting.get()]
            if isinstance(taken[0], Call):
                time.sleep(GATHER_S if self._waiting.empty() else 0)
            with contextlib.suppress(Empty):
                while True:
                    taken.append(self._waiting.get_nowait())
            ending = None in taken
            try:
                self._insert([item for item in taken if isinstance(item, Call)])
            except Exception as error:  # whatever it is: the thread goes on, and keeps what comes next
                if not self._warned:
                    self._warned = True
                    log.warning("usage is not kept: %s: %s", self.path, error)
            for item in taken:
                if isinstance(item, threading.Event):
                    item.set()

    def _insert(self, calls: list[Call]) -> None:
        if not calls:
            return
        rows = [self._row(call) for call in calls]
        with _opened(self.path) as database, database:
            database.executemany(_INSERT, rows)

    def _row(self, call: Call) -> tuple[object, ...]:
        used, served = call.usage or _NOTHING, call.deployment
        cost = None if served is None else self._cost(served, call.usage, call.billed)
        return (
            *(call.at_s, call.model, call.surface, call.stream, call.outcome),
            *((served.provider, served.id) if served else (None, None)),
            *(call.asked, call.ms, used.prompt_tokens, used.completion_tokens, used.cached_tokens),
            *(used.estimated, None if cost is None else cost.base, call.billed is not None),
        )


def totals(path: Path, by: By = "day", since_s: float = 0.0) -> list[Total]:
    """What the calls since a moment (seconds since 1970) came to; nothing if there is no such file.

    Days come in their order, models and providers by what they cost.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    if not path.exists():
        return []
    order = "1" if by == "day" else "6 DESC, 2 DESC, 1"
    query = (
        f"SELECT coalesce({_KEYS[by]}, ''), count(*), sum(outcome NOT IN ('ok', 'closed')),"  # noqa: S608
        " sum(prompt_tokens), sum(completion_tokens), coalesce(sum(cost_base), 0),"
        " sum(provider IS NOT NULL AND cost_base IS NULL)"
        f" FROM calls WHERE at_s >= ? GROUP BY 1 ORDER BY {order}"
    )
    with _opened(path) as database:
        return [Total(*row) for row in database.execute(query, (since_s,))]


def drop_calls(path: Path, before_s: float) -> int:
    """Deletes the calls before a moment (seconds since 1970).

    Returns: how many there were.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    if not path.exists():
        return 0
    with _opened(path) as database, database:
        return database.execute("DELETE FROM calls WHERE at_s < ?", (before_s,)).rowcount


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as a database; it is made if it is not there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite's own files take its mode from this one
    database = sqlite3.connect(path, timeout=LOCK_WAIT_S)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if not database.execute("PRAGMA user_version").fetchone()[0]:
            database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = 1; COMMIT")
        yield database
    finally:
        database.close()


_logs: WeakSet[UsageLog] = WeakSet()


def _after_fork() -> None:
    for one in list(_logs):
        one.forked()


def _at_exit() -> None:
    for one in list(_logs):
        one.close()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
