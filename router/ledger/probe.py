"""What says whether the ledger takes writes: a real one, and an errand on the way of operations on calls."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Connection, insert, update
from sqlmodel import Field

from router.db import LedgerTable
from router.ledger.calls import CallOperation
from router.ledger.group import Group
from router.ledger.models import table_of
from router.ledger.sums import Needs


class Probe(LedgerTable, table=True):
    """One row: when a router last proved that it can write, unix seconds."""

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    written_s: int = Field(sa_type=BigInteger)


PROBE: Final = table_of(Probe)


class Errand(CallOperation[None]):
    """An operation on no call: in a worker it says whether the process that commits for it does."""

    def declare(self, needs: Needs) -> None:
        """See `CallOperation`."""

    def decide(self, group: Group) -> None:
        """See `CallOperation`."""


def write(connection: Connection, now_s: int) -> None:
    """Writes the row."""
    changed = connection.execute(update(PROBE).where(PROBE.c.id == 1), {"written_s": now_s})
    if not changed.rowcount:
        connection.execute(insert(PROBE), {"id": 1, "written_s": now_s})
