"""Operations on calls, run many at a time: a reservation, a charge, the end of a reservation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from router.ledger.bulk import Bulk
from router.ledger.group import Group
from router.ledger.record import cover
from router.ledger.sums import Needs, Sums

T = TypeVar("T")


class CallOperation(ABC, Generic[T]):
    """One step in a call's life. It is decided in memory; its group is read and written together."""

    @property
    def outlasts_power(self) -> bool:
        """Whether its commit has to survive a power failure of the machine (ADR 0016)."""
        return True

    @abstractmethod
    def declare(self, needs: Needs) -> None:
        """Adds what the decision rests on."""

    @abstractmethod
    def decide(self, group: Group) -> T:
        """Decides, and changes the group's sums.

        Raises:
            LedgerError: refused; the group is as it was.
        """


@dataclass(slots=True)
class Outcome:
    """What became of an operation: its result, or why it was refused."""

    result: Any = None
    error: Exception | None = None


class Unwritten(Exception):
    """The database refused what was decided on copies, or the connection was lost: then nobody knows."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


def run_calls(
    connection: Connection, operations: Sequence[CallOperation[Any]], sums: Sums | None = None
) -> list[Outcome]:
    """Runs operations as if one by one, in their order, but reads and writes for all of them together.

    Args:
        connection: a writing transaction.
        operations: at least one.
        sums: copies of rows that earlier groups left; new ones by default.

    Raises:
        Exception: the database refused what was decided; nothing of it may be kept, nor may the sums.
    """
    sums, bulk = sums or Sums(), Bulk(connection)
    outcomes: list[Outcome] = []
    while waiting := operations[len(outcomes) :]:
        sums.load(bulk, _needs(waiting))
        group = Group(connection, bulk, sums)
        for operation in waiting:
            outcomes.append(_decide(operation, group))
            if group.released_in_deficit:  # it pays the deficit back before anybody else decides
                break
        group.write()
        for account_idx, entry_id in group.released_in_deficit:
            cover(connection, account_idx, entry_id)
            sums.forget()
    return outcomes


def run_calls_alone(
    connection: Connection, operations: Sequence[CallOperation[Any]], sums: Sums
) -> list[Outcome] | None:
    """Runs and commits operations on copies alone if they still hold; with PostgreSQL in one statement.

    Args:
        connection: outside any transaction.
        operations: at least one.
        sums: copies that earlier groups left.

    Returns:
        None if that cannot be done: nothing was written, and `run_calls` in a transaction has to do it.

    Raises:
        Unwritten: the copies may not be kept.
    """
    bulk = Bulk(connection)
    known = sums.suffice(_needs(operations))
    if known is None:
        return None
    group = Group(connection, bulk, sums)
    outcomes = [_decide(operation, group) for operation in operations]
    try:
        written = group.write_alone(known, synced=any(one.outlasts_power for one in operations))
    except Exception as error:
        raise Unwritten(outcomes) from error
    if written:
        return outcomes
    sums.forget()
    return None


def run_call(connection: Connection, operation: CallOperation[T]) -> T:
    """Runs one operation in the connection's transaction.

    Raises:
        LedgerError: refused.
    """
    (outcome,) = run_calls(connection, (operation,))
    if outcome.error is not None:
        raise outcome.error
    result: T = outcome.result
    return result


def _needs(operations: Sequence[CallOperation[Any]]) -> Needs:
    needs = Needs()
    for operation in operations:
        operation.declare(needs)
    return needs


def _decide(operation: CallOperation[Any], group: Group) -> Outcome:
    try:
        return Outcome(operation.decide(group))
    except Exception as error:
        return Outcome(error=error)
