"""What revisions are written with: short column makers, and triggers by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from alembic import op

from router.db import Guard, guard_sql, unguard_sql
from router.ledger.schema import WouldLoseMoney


def big(*names: str) -> Iterator[sa.Column[int]]:
    """64-bit columns: amounts, counts and times."""
    return (sa.Column(name, sa.BigInteger(), nullable=False) for name in names)


def maybe_big(*names: str) -> Iterator[sa.Column[int]]:
    """64-bit columns that may be null."""
    return (sa.Column(name, sa.BigInteger(), nullable=True) for name in names)


def words(*names: str) -> Iterator[sa.Column[str]]:
    """Text columns without a limit."""
    return (sa.Column(name, sa.String(), nullable=False) for name in names)


def octets(*names: str) -> Iterator[sa.Column[bytes]]:
    """Columns of bytes."""
    return (sa.Column(name, sa.LargeBinary(), nullable=False) for name in names)


def row_number(name: str, *, counted: bool = False) -> sa.Column[int]:
    """A row number, which the database counts up if `counted`."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column(name, kind, nullable=False, autoincrement="auto" if counted else False)


def key_number(name: str) -> sa.Column[int]:
    """A 64-bit primary key that the database does not count up."""
    return sa.Column(name, sa.BigInteger(), nullable=False, autoincrement=False)


def guard(guards: Iterable[Guard]) -> None:
    """Creates triggers."""
    for one in guards:
        for statement in guard_sql(one, op.get_bind().dialect.name):
            op.execute(statement)


def unguard(guards: Iterable[Guard]) -> None:
    """Drops triggers: before tables that they name are rebuilt, and for good on a downgrade."""
    for one in guards:
        for statement in unguard_sql(one, op.get_bind().dialect.name):
            op.execute(statement)


def keep_nothing_owed(table: str, what: str, where: str = "1 = 1") -> None:
    """Stops a downgrade while `table` holds rows that somebody is owed for.

    Raises:
        WouldLoseMoney: it does; `what` says what they are.
    """
    count: int = op.get_bind().execute(sa.text(f"SELECT count(*) FROM {table} WHERE {where}")).scalar_one()  # noqa: S608
    if count:
        raise WouldLoseMoney(f"{count} {what}")
