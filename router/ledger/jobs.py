"""What the writer is asked to do, and how it is done within a transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from router.ledger.calls import CallOperation, Outcome, run_calls
from router.ledger.reservations import Reserved
from router.ledger.sums import CallEntry, Sums

T = TypeVar("T")
Operation = Callable[[Connection], T]
"""Something that reads and writes the ledger in one transaction. It must not wait for anything outside it. It
is run again if the connection is lost and nothing of it was committed."""
AnyOperation = Operation[T] | CallOperation[T]


class Undisturbed(asyncio.Future[T]):
    """A future whose waiter is cancelled only once it is done, as `asyncio.shield` does with more objects."""

    def cancel(self, msg: object | None = None) -> bool:
        """Never: what was submitted is done all the same."""
        return False


@dataclass(slots=True)
class Job:
    """An operation that waits for its commit, and its outcome."""

    operation: AnyOperation[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True, kw_only=True)
class Awaited(Job):
    """A job, and who waits for its outcome."""

    future: Future[Any] | asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop | None = None

    def deliver(self) -> None:
        """Hands the outcome to the caller; runs in the caller's loop if it has one."""
        if self.future.done():  # the caller was cancelled; what it asked for is done all the same
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def deliver_all(jobs: Sequence[Awaited]) -> None:
    """Hands all outcomes over, each in the loop of its caller."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[Awaited]] = defaultdict(list)
    for job in jobs:
        if job.loop is None:
            job.deliver()
        else:
            by_loop[job.loop].append(job)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver, group)


def _deliver(jobs: Sequence[Awaited]) -> None:
    for job in jobs:
        job.deliver()


def is_on_call(job: Job) -> bool:
    """Whether it can be decided together with others."""
    return isinstance(job.operation, CallOperation)


def operations_of(jobs: Sequence[Job]) -> list[CallOperation[Any]]:
    """The operations of jobs on calls."""
    return [cast(CallOperation[Any], job.operation) for job in jobs]


def tell(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """Notes what became of operations on calls."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.result, job.error = outcome.result, outcome.error


def forget_outcomes(jobs: Sequence[Job]) -> None:
    """Makes jobs ready to be run again."""
    for job in jobs:
        job.result = job.error = None


def opened_by(jobs: Sequence[Job], sums: Sums) -> list[CallEntry]:
    """The entries that reservations among the jobs opened, as far as they were decided."""
    ids = [job.result.entry_id for job in jobs if isinstance(job.result, Reserved)]
    return [sums.entries[entry_id] for entry_id in ids if entry_id in sums.entries]


def run_together(connection: Connection, jobs: Sequence[Job], sums: Sums) -> None:
    """Runs operations on calls.

    Raises:
        Exception: as `run_calls`; the transaction has to be rolled back.
    """
    tell(jobs, run_calls(connection, operations_of(jobs), sums))


def run_calls_in_savepoint(connection: Connection, jobs: Sequence[Job], sums: Sums) -> None:
    """Runs operations on calls, together or each by itself if the database refuses one of them."""
    connection.exec_driver_sql("SAVEPOINT operations")  # ends with the transaction
    try:
        run_together(connection, jobs, sums)
    except Exception as error:
        sums.forget()
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT operations")
        if len(jobs) == 1:
            jobs[0].error = error
        else:  # the others must not suffer for it
            for job in jobs:
                run_calls_in_savepoint(connection, [job], sums)


def run_in_savepoint(connection: Connection, job: Job) -> None:
    """Runs any other operation; if it fails, it undoes itself."""
    # plain SQL: SQLAlchemy's nested transaction objects cost more than the operation
    connection.exec_driver_sql("SAVEPOINT operation")
    try:
        job.result = job.operation(connection)  # type: ignore[operator]
    except Exception as error:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT operation")
        job.error = error
    connection.exec_driver_sql("RELEASE SAVEPOINT operation")
