"""What operators did: an append-only table, written in the same commit as what it tells of."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, insert, select
from sqlmodel import Field

from router.db import LedgerTable, RowNumber
from router.ledger.models import table_of

MAX_PAGE: Final = 500


class AuditRecord(LedgerTable, table=True):
    """One act. `before` and `after` are JSON objects, without secrets; database triggers keep the rows."""

    __tablename__ = "audit"

    number: int = Field(sa_column=Column(RowNumber, primary_key=True))
    at_s: int = Field(sa_type=BigInteger)
    actor: str  # name of the operator's key
    action: str
    subject: str
    before: str
    after: str
    request_id: str


AUDIT: Final = table_of(AuditRecord)


@dataclass(frozen=True)
class Act:
    """Something that an operator does.

    Attributes:
        actor: name of the operator's key.
        action: as `key.create`.
        subject: what it is done to, as `account:7`.
        request_id: the request's `x-request-id`.
    """

    actor: str
    action: str
    subject: str
    request_id: str


def record(
    connection: Connection, act: Act, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """Writes an act with the state before and after it; neither may hold a secret."""
    connection.execute(
        insert(AUDIT),
        vars(act)
        | {
            "at_s": int(time.time()),
            "before": json.dumps(before or {}, sort_keys=True),
            "after": json.dumps(after or {}, sort_keys=True),
        },
    )


def acts(connection: Connection, below: int | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """The latest acts, newest first; `below` is the number of the last one already seen."""
    query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(min(limit, MAX_PAGE))
    if below is not None:
        query = query.where(AUDIT.c.number < below)
    return [
        dict(row._mapping) | {"before": json.loads(row.before), "after": json.loads(row.after)}
        for row in connection.execute(query)
    ]
