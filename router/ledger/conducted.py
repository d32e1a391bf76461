"""What the conductor decided, and what operators took back: an append-only table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from sqlalchemy import BigInteger, Column, Connection, func, insert, select
from sqlmodel import Field

from router.db import LedgerTable, RowNumber
from router.ledger.errors import NothingToUndo
from router.ledger.models import table_of

UNDO: Final = "undo"
MAX_PAGE: Final = 500


class ConductRecord(LedgerTable, table=True):
    """One decision of one worker, or its undoing by an operator; database triggers keep the rows.

    `detail` is a JSON object: settings, facts and votes of a decision, so that it can be gone over again.
    """

    __tablename__ = "conduct"

    number: int = Field(sa_column=Column(RowNumber, primary_key=True))
    at_s: int = Field(sa_type=BigInteger)
    actor: str  # of a decision the worker, of an undoing who asked for it
    role: str
    action: str
    deployment: str
    acted: int = Field(sa_type=BigInteger)  # 1 if it was carried out
    reason: str
    detail: str
    undoes: int | None = Field(default=None, sa_type=BigInteger)


CONDUCT: Final = table_of(ConductRecord)


def record(connection: Connection, decisions: Iterable[Mapping[str, Any]]) -> None:
    """Writes decisions; each has the table's fields but number and time, and `detail` as a JSON object."""
    now_s = int(time.time())
    for one in decisions:
        detail = json.dumps(one["detail"], sort_keys=True)
        connection.execute(insert(CONDUCT), {**one, "at_s": now_s, "detail": detail})


def undo(connection: Connection, number: int, actor: str, reason: str) -> str:
    """Takes a decision back: every worker lets go of its deployment within one round.

    Returns: the deployment's id.

    Raises:
        NothingToUndo: there is no such decision, it changed nothing, or it is undone already.
    """
    row = connection.execute(select(CONDUCT).where(CONDUCT.c.number == number)).one_or_none()
    if row is None or not row.acted:
        raise NothingToUndo(number, "is no decision that was carried out")
    undone = select(CONDUCT.c.number).where(CONDUCT.c.action == UNDO, CONDUCT.c.undoes == number)
    if connection.execute(undone).first() is not None:
        raise NothingToUndo(number, "is undone already")
    told = {"actor": actor, "role": "operator", "action": UNDO, "deployment": row.deployment}
    record(connection, [{**told, "acted": 0, "reason": reason, "detail": {}, "undoes": number}])
    return cast(str, row.deployment)


def entries(connection: Connection, below: int | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """The latest rows, newest first; `below` is the number of the last one already seen."""
    query = select(CONDUCT).order_by(CONDUCT.c.number.desc()).limit(min(limit, MAX_PAGE))
    if below is not None:
        query = query.where(CONDUCT.c.number < below)
    return [
        dict(row._mapping) | {"acted": bool(row.acted), "detail": json.loads(row.detail)}
        for row in connection.execute(query)
    ]


def undone(connection: Connection, above: int, since_s: int) -> tuple[int, list[tuple[str, int]]]:
    """Undoings behind row `above` that are not older than `since_s`.

    Returns: the log's last row, behind which to look the next time, and deployments with unix seconds.
    """
    last: int | None = connection.execute(select(func.max(CONDUCT.c.number))).scalar_one()
    query = (
        select(CONDUCT.c.deployment, CONDUCT.c.at_s)
        .where(CONDUCT.c.number > above, CONDUCT.c.action == UNDO, CONDUCT.c.at_s >= since_s)
        .order_by(CONDUCT.c.number)
    )
    return last or 0, [(row.deployment, row.at_s) for row in connection.execute(query)]
