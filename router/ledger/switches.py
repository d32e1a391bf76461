"""What operators have switched off, or hold at a part of the calls: an append-only table for all workers.

A switch is a row for a place (everything, a provider, a deployment, a model's rollout); the last row of a
place counts. A setting is a part of the calls in ten-thousandths: 0 stops it, none lets go of it. A rollout
that was rolled back, by an operator or by its error rate, is switched off here too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Row, func, insert, select
from sqlmodel import Field

from router.db import LedgerTable, RowNumber
from router.ledger import audit
from router.ledger.audit import Act
from router.ledger.models import table_of

MAX_PAGE: Final = 200
EVERYTHING: Final = "everything"
PROVIDER: Final = "provider"
DEPLOYMENT: Final = "deployment"
ROLLOUT: Final = "rollout"
ROLLBACK: Final = "rollback"
WHOLE: Final = 10_000


class SwitchRecord(LedgerTable, table=True):
    """One setting of a switch; database triggers keep the rows."""

    __tablename__ = "switch"

    number: int = Field(sa_column=Column(RowNumber, primary_key=True))
    at_s: int = Field(sa_type=BigInteger)
    actor: str
    scope: str
    name: str
    setting: int | None = Field(sa_type=BigInteger)
    reason: str


SWITCH: Final = table_of(SwitchRecord)


@dataclass(frozen=True)
class Switch:
    """A setting, as the table has it.

    Attributes:
        number: of its row.
        at_s: unix seconds.
        actor: the operator.
        scope: `everything`, `provider`, `deployment`, `rollout` or `rollback`.
        name: of the provider, of the deployment, or of the rollout's model; empty for everything; of a
            rollback the model and what tells one setting of its rollout from another.
        setting: part of the calls in ten-thousandths; None lets go.
        reason: why, in the operator's words.
    """

    number: int
    at_s: int
    actor: str
    scope: str
    name: str
    setting: int | None
    reason: str


def turn(
    connection: Connection, act: Act, scope: str, name: str, setting: int | None, reason: str
) -> Switch | None:
    """Sets a switch and writes it into the audit log.

    Returns: what it was set to before, None if it was not set.
    """
    before = next((one for one in switched(connection) if (one.scope, one.name) == (scope, name)), None)
    put(connection, act.actor, scope, name, setting, reason)
    told = None if before is None else before.setting
    audit.record(connection, act, {"setting": told}, {"setting": setting, "reason": reason})
    return before


def put(connection: Connection, actor: str, scope: str, name: str, setting: int | None, reason: str) -> None:
    """Sets a switch of which the audit log is told otherwise, or which no operator turned."""
    values = {"actor": actor, "scope": scope, "name": name, "setting": setting, "reason": reason}
    connection.execute(insert(SWITCH), values | {"at_s": int(time.time())})


def switched(connection: Connection) -> list[Switch]:
    """What is switched now, in the order in which it was."""
    last = select(func.max(SWITCH.c.number)).group_by(SWITCH.c.scope, SWITCH.c.name)
    query = select(SWITCH).where(SWITCH.c.number.in_(last), SWITCH.c.setting.is_not(None))
    return [_of(row) for row in connection.execute(query.order_by(SWITCH.c.number))]


def history(connection: Connection, limit: int = 20) -> list[Switch]:
    """The latest settings, newest first."""
    query = select(SWITCH).order_by(SWITCH.c.number.desc()).limit(min(limit, MAX_PAGE))
    return [_of(row) for row in connection.execute(query)]


def newest(connection: Connection) -> int:
    """Number of the last row, 0 if there is none; tells whether anything was switched since a look."""
    last: int | None = connection.execute(select(func.max(SWITCH.c.number))).scalar_one()
    return last or 0


def _of(row: Row[tuple[object, ...]]) -> Switch:
    return Switch(**row._mapping)
