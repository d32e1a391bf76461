"""The ledger's writer: one thread per process that commits in groups.

When the writer is idle it runs an operation at once; what arrives during a commit goes into the next one, all
in one transaction and in order. Operations on calls that follow each other are decided and written together
(`calls.run_calls`); any other is a function of a connection and runs in a savepoint of its own. Either way a
refused operation undoes nothing but itself. A caller gets its answer after the commit that made it durable.
As long as no other process writes, a group of nothing but calls is decided before its transaction, which then
is a single statement with PostgreSQL (ADR 0015).
There is no timer. Several processes may write the same database: their transactions take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from sqlalchemy import Engine

from router.db_sessions import TransactionName, is_lost, name_of_transaction, reading, was_committed
from router.ledger.calls import Unwritten, run_calls_alone
from router.ledger.charges import Charge, PostedCharge
from router.ledger.errors import LedgerClosed
from router.ledger.jobs import (
    AnyOperation,
    Job,
    Operation,
    Undisturbed,
    deliver_all,
    forget_outcomes,
    is_on_call,
    opened_by,
    operations_of,
    run_calls_in_savepoint,
    run_in_savepoint,
    run_together,
    tell,
)
from router.ledger.kept import KeptConnection
from router.ledger.post import has_entry
from router.ledger.releases import Release
from router.ledger.reservations import Replay, Reservation, Reserved
from router.ledger.sums import CallEntry

T = TypeVar("T")

GROUP_LIMIT: Final = 256
"""Most operations in one commit, so that the first of them does not wait too long."""

_LOG: Final = logging.getLogger(__name__)


class _Refused(Exception):
    """Raised out of a transaction whose operations the database refused; `error` says how."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Ledger:
    """Writes operations in group commits, and reads. Use as a context manager, or call `close`.

    Args:
        engine: from `router.db.open_database`.

    Attributes:
        committed: is told of each commit, in the writer's thread: operations, seconds.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.commits = 0
        self.operations = 0
        self.committed: Callable[[int, float], None] = lambda *_: None
        self._reading = reading(engine)
        self._kept = KeptConnection(engine)  # the thread's own
        self._transaction: TransactionName | None = None  # that is being committed, if it has a name
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="ledger-writer", daemon=True)
        self._thread.start()

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
        """Submits a reservation; `reservations.reserve` says what is refused."""
        return await self._submitted(reservation)

    async def charge(self, charge: Charge) -> PostedCharge:
        """Submits a charge; `charges.post_charge` says what is refused.

        Who is cancelled meanwhile gets the outcome all the same: what is paid for is delivered.
        """
        posted: asyncio.Future[PostedCharge] = Undisturbed(loop=asyncio.get_running_loop())
        self._enqueue(Job(charge, posted, posted.get_loop()))
        try:
            return await posted
        except asyncio.CancelledError:
            return posted.result()

    async def void(self, release: Release) -> None:
        """Submits a release; `releases.void` says what is refused."""
        await self._submitted(release)

    def run(self, operation: AnyOperation[T]) -> T:
        """As `submit`, for callers without an event loop; blocks until the commit."""
        future: Future[T] = Future()
        self._enqueue(Job(operation, future, None))
        return future.result()

    def read(self, operation: Operation[T]) -> T:
        """Runs a reading operation in the caller's thread, on one snapshot; it never waits for writers."""
        with self._reading.begin() as connection:
            return operation(connection)

    @property
    def waiting(self) -> int:
        """Operations that wait for the next commit, about."""
        return self._queue.qsize()

    def close(self) -> None:
        """Commits what was submitted, then stops the writer."""
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
        self._enqueue(Job(operation, future, loop))
        return future

    def _enqueue(self, job: Job) -> None:
        with self._closing:
            if self._closed:
                raise LedgerClosed
            self._queue.put(job)

    def _work(self) -> None:
        open_ = True
        while open_:
            jobs, open_ = self._next_group()
            if jobs:
                began_s = time.perf_counter()
                self._commit(jobs)
                self.committed(len(jobs), time.perf_counter() - began_s)
                deliver_all(jobs)
        self._kept.give_up()

    def _next_group(self) -> tuple[list[Job], bool]:
        """Waits for one job and takes what else is there; False once the writer is to stop."""
        jobs: list[Job] = []
        job = self._queue.get()
        with contextlib.suppress(Empty):
            while job is not None:
                jobs.append(job)
                if len(jobs) == GROUP_LIMIT:
                    return jobs, True
                job = self._queue.get_nowait()
            return jobs, False
        return jobs, True

    def _commit(self, jobs: list[Job]) -> None:
        try:
            self._commit_once(jobs)
        except BaseException as error:  # the thread must outlive a full disk or a lost connection
            self._fail(jobs, error)
        self.commits += 1
        self.operations += len(jobs)

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        """Nothing of the jobs is known to be committed; neither is what a refusal among them rests on."""
        _LOG.error("ledger commit of %d operations failed", len(jobs), exc_info=error)
        self._kept.give_up()
        for job in jobs:
            job.result, job.error = None, error

    def _commit_once(self, jobs: Sequence[Job], *, again: bool = True) -> None:
        """Commits operations; if the connection is lost meanwhile, finds out whether they are committed.

        If they are not, they are run once more.
        """
        self._transaction = None
        try:
            if not all(map(is_on_call, jobs)):
                self._commit_mixed(jobs)
            elif not self._commit_alone(jobs):
                self._commit_together(jobs)
        except Exception as error:
            if not self._kept.is_lost:
                raise
            _LOG.warning("ledger connection lost during a commit: %s", error)
            opened = opened_by(jobs, self._kept.sums)
            self._kept.give_up_lost()
            committed = self._was_committed(opened)
            if committed is None or not (committed or again):
                raise
            if not committed:
                forget_outcomes(jobs)
                self._commit_once(jobs, again=False)

    def _commit_together(self, jobs: Sequence[Job]) -> None:
        """Commits operations on calls together, or each by itself if the database refuses one of them."""
        try:
            with self._kept.begin() as connection:
                try:
                    run_together(connection, jobs, self._kept.sums)
                except Exception as error:
                    if is_lost(connection):
                        raise
                    raise _Refused(error) from error
        except _Refused as refusal:
            self._kept.sums.forget()
            if len(jobs) == 1:
                jobs[0].error = refusal.error
            else:  # the others must not suffer for it
                self._commit_each(jobs)

    def _commit_each(self, jobs: Sequence[Job]) -> None:
        for done, job in enumerate(jobs):
            try:
                self._commit_once([job])
            except Exception as error:
                self._fail(jobs[done:], error)  # those before are committed
                return

    def _commit_alone(self, jobs: Sequence[Job]) -> bool:
        """Commits operations on calls as they are decided on the copies alone, if that can be done."""
        connection, sums = self._kept.connection, self._kept.sums
        if connection is None:
            return False
        try:
            outcomes = run_calls_alone(connection, operations_of(jobs), sums)
        except Unwritten as unwritten:
            if is_lost(connection):  # it may be written for all that
                tell(jobs, unwritten.outcomes)
                raise
            sums.forget()
            return False  # a transaction will show what is refused
        if outcomes is not None:
            tell(jobs, outcomes)
        return outcomes is not None

    def _commit_mixed(self, jobs: Sequence[Job]) -> None:
        """Commits operations of all kinds in a transaction."""
        with self._kept.begin() as connection:
            for on_calls, together in groupby(jobs, is_on_call):
                if on_calls:
                    run_calls_in_savepoint(connection, list(together), self._kept.sums)
                else:
                    self._kept.sums.forget()
                    for job in together:
                        run_in_savepoint(connection, job)
            self._transaction = name_of_transaction(connection)

    def _was_committed(self, opened: Sequence[CallEntry]) -> bool | None:
        """Whether a commit whose reply was lost came through; None if nobody can tell any more.

        A mixed group is told by its transaction's name; without one it had written nothing, or not come to
        its commit. A group of calls is told by an entry that it opened; without any the answer is no, as
        whatever else is done to calls is done once, however often it is asked.
        """
        if self._transaction is None and not opened:
            return False
        with self._kept.begin() as connection:  # with the lock: the server is done with the lost one
            if self._transaction is not None:
                return was_committed(connection, self._transaction)
            return has_entry(connection, opened[0].number, opened[0].id)
