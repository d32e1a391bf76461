"""A real write that says whether the database takes writes."""

from __future__ import annotations

from typing import Final, cast

from sqlalchemy import BigInteger, Column, Connection, Table, insert, update
from sqlmodel import Field

from router.db import LedgerTable


class Probe(LedgerTable, table=True):
    """One row: when a router last proved that it can write, unix seconds."""

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    written_s: int = Field(sa_type=BigInteger)


PROBE: Final = cast(Table, Probe.__table__)  # type: ignore[attr-defined]


def write(connection: Connection, now_s: int) -> None:
    """Writes the row."""
    changed = connection.execute(update(PROBE).where(PROBE.c.id == 1), {"written_s": now_s})
    if not changed.rowcount:
        connection.execute(insert(PROBE), {"id": 1, "written_s": now_s})
