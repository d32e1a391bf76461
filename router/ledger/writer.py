"""The ledger's writer: one thread per process that commits in groups.

When the writer is idle it runs an operation at once; what arrives during a commit goes into the next one, all
in one transaction and in order (`commits.Commits`). A caller gets its answer after the commit that made it
durable. There is no timer. Several processes may write the same database: their transactions take turns. A
worker with a link leaves its operations on calls to the process at the link's other end (`shared`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from sqlalchemy import Engine

from router.db_sessions import reading
from router.ledger.charges import Charge, PostedCharge
from router.ledger.commits import GROUP_LIMIT, Commits
from router.ledger.errors import LedgerClosed
from router.ledger.jobs import AnyOperation, Awaited, Operation, Undisturbed, deliver_all, is_on_call
from router.ledger.link import Link
from router.ledger.releases import Release
from router.ledger.reservations import Replay, Reservation, Reserved

T = TypeVar("T")


class Ledger:
    """Writes operations in group commits, and reads. Use as a context manager, or call `close`.

    Args:
        engine: from `router.db.open_database`.
        link: to the process that commits calls for several workers; None if this one does it.

    Attributes:
        committed: is told of each commit: operations, seconds; in the writer's thread, or the link's loop.
    """

    def __init__(self, engine: Engine, link: Link | None = None) -> None:
        self.engine = engine
        self.committed: Callable[[int, float], None] = lambda *_: None
        self._reading = reading(engine)
        self._commits = Commits(engine)  # the thread's own
        self._queue: SimpleQueue[Awaited | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="ledger-writer", daemon=True)
        self._thread.start()
        self._link = link
        if link is not None:
            link.open(self._queue_all, lambda operations, seconds: self.committed(operations, seconds))

    async def submit(self, operation: AnyOperation[T]) -> T:
        """Runs an operation and returns its result once it is committed.

        An operation that was submitted runs even if the caller is cancelled while it waits: a charge is
        posted although the client has gone. A caller that must know the outcome shields the wait.

        Raises:
            LedgerClosed: the writer was closed before.
            Exception: whatever the operation raised; nothing of it was written.
        """
        return await self._submitted(operation)

    async def reserve(self, reservation: Reservation) -> Reserved | Replay:
        """Submits a reservation; its `decide` says what is refused."""
        return await self._submitted(reservation)

    async def charge(self, charge: Charge) -> PostedCharge:
        """Submits a charge; its `decide` says what is refused.

        Who is cancelled meanwhile gets the outcome all the same: what is paid for is delivered.
        """
        posted: asyncio.Future[PostedCharge] = Undisturbed(loop=asyncio.get_running_loop())
        self._enqueue(Awaited(charge, future=posted, loop=posted.get_loop()))
        try:
            return await posted
        except asyncio.CancelledError:
            return posted.result()

    async def void(self, release: Release) -> None:
        """Submits a release; its `decide` says what is refused."""
        await self._submitted(release)

    def run(self, operation: AnyOperation[T]) -> T:
        """As `submit`, for callers without an event loop; blocks until the commit."""
        future: Future[T] = Future()
        self._enqueue(Awaited(operation, future=future))
        return future.result()

    def read(self, operation: Operation[T]) -> T:
        """Runs a reading operation in the caller's thread, on one snapshot; it never waits for writers."""
        with self._reading.begin() as connection:
            return operation(connection)

    @property
    def waiting(self) -> int:
        """Operations that wait for the next commit, about."""
        return self._queue.qsize() + (0 if self._link is None else self._link.waiting)

    @property
    def commits(self) -> int:
        """Groups that this process has committed."""
        return self._commits.count

    def close(self) -> None:
        """Commits what was submitted, then stops the writer."""
        if self._link is not None:
            self._link.close()
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submitted(self, operation: AnyOperation[T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._enqueue(Awaited(operation, future=future, loop=loop))
        return future

    def _enqueue(self, job: Awaited) -> None:
        if self._link is not None and is_on_call(job) and self._link.ask(job):
            return
        with self._closing:
            if self._closed:
                raise LedgerClosed
            self._queue.put(job)

    def _queue_all(self, left: Sequence[Awaited]) -> None:
        """Takes over what the process at the link's other end left, and may have done before it went.

        Whatever ends a call is done once, however often it is asked for. A reservation that was made already
        is made again, and the first one lapses; one with a client's key finds it and is refused.
        """
        for job in left:
            self._queue.put(job)

    def _work(self) -> None:
        open_ = True
        while open_:
            jobs, open_ = self._next_group()
            if jobs:
                began_s = time.perf_counter()
                self._commits.commit(jobs)
                self.committed(len(jobs), time.perf_counter() - began_s)
                deliver_all(jobs)
        self._commits.close()

    def _next_group(self) -> tuple[list[Awaited], bool]:
        """Waits for one job and takes what else is there; False once the writer is to stop."""
        jobs: list[Awaited] = []
        job = self._queue.get()
        with contextlib.suppress(Empty):
            while job is not None:
                jobs.append(job)
                if len(jobs) == GROUP_LIMIT:
                    return jobs, True
                job = self._queue.get_nowait()
            return jobs, False
        return jobs, True
