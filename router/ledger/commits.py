"""Commits of the ledger in groups, and what becomes of a group whose commit fails.

Operations on calls that follow each other are decided and written together (`calls.run_calls`); any other is
a function of a connection and runs in a savepoint of its own. Either way a refused operation undoes nothing
but itself. As long as no other process writes, a group of nothing but calls is decided before its
transaction, which then is a single statement with PostgreSQL (ADR 0015).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from sqlalchemy import Engine

from router.db_sessions import TransactionName, is_lost, name_of_transaction, was_committed
from router.db_trouble import trouble_of
from router.ledger.calls import Unwritten, run_calls_alone
from router.ledger.jobs import (
    Job,
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
from router.ledger.sums import CallEntry

GROUP_LIMIT: Final = 256
"""Most operations in one commit, so that the first of them does not wait too long."""

_LOG: Final = logging.getLogger(__name__)


class _Refused(Exception):
    """Raised out of a transaction whose operations the database refused; `error` says how."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Commits:
    """Commits groups of operations, one after another, on a connection of its own. One thread uses it.

    Args:
        engine: from `router.db.open_database`.

    Attributes:
        count: how many there were so far.
    """

    def __init__(self, engine: Engine) -> None:
        self.count = 0
        self._kept = KeptConnection(engine)
        self._transaction: TransactionName | None = None  # that is being committed, if it has a name

    def commit(self, jobs: Sequence[Job]) -> None:
        """Runs the operations in their order; their jobs say what became of each, once that is durable."""
        try:
            self._commit_once(jobs)
        except BaseException as error:  # whoever commits must outlive a full disk or a lost connection
            self._fail(jobs, error)
        self.count += 1

    def close(self) -> None:
        """Gives the connection up."""
        self._kept.give_up()

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        """Nothing of the jobs is known to be committed; neither is what a refusal among them rests on."""
        _LOG.error(
            "ledger commit of %d operations failed: %s",
            len(jobs),
            trouble_of(error) or "see the exception",
            exc_info=error,
        )
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
