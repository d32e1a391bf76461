"""What calls brought and cost the operator."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from router.ledger.call_models import ATTEMPT, CALL
from router.ledger.models import ENTRY

_DEPLOYMENTS: Final = select(CALL.c.deployment, func.max(CALL.c.provider), func.max(CALL.c.model)).group_by(
    CALL.c.deployment
)


@dataclass
class CostLine:
    """Sums over the calls of one provider and model; base units.

    Attributes:
        provider, model: of the calls; for tries that failed, of the deployment that was asked.
        calls: how many.
        gross_base: charged to users.
        wholesale_base: what the provider bills for those calls.
        attempts_base: what it may bill for tries that failed.
        lost_base: used and never charged.
    """

    provider: str
    model: str
    calls: int = 0
    gross_base: int = 0
    wholesale_base: int = 0
    attempts_base: int = 0
    lost_base: int = 0

    @property
    def margin_base(self) -> int:
        """What is left of the charges after the providers' bills."""
        return self.gross_base - self.wholesale_base - self.attempts_base


def cost_lines(connection: Connection, since_s: int) -> list[CostLine]:
    """Calls and failed tries since a time (unix seconds), by provider and model."""
    lines: defaultdict[tuple[str, str], CostLine] = defaultdict(lambda: CostLine("", ""))
    calls = (
        select(
            CALL.c.provider,
            CALL.c.model,
            func.count(),
            func.sum(CALL.c.charge_base),
            func.sum(CALL.c.wholesale_base),
            func.sum(CALL.c.lost_base),
        )
        .where(CALL.c.time_s >= since_s)
        .group_by(CALL.c.provider, CALL.c.model)
    )
    for row in connection.execute(calls):
        line = lines[row[0], row[1]]
        line.calls, line.gross_base, line.wholesale_base, line.lost_base = (int(part) for part in row[2:])
    tries = (
        select(ATTEMPT.c.deployment, func.sum(ATTEMPT.c.cost_base))
        .join(ENTRY, ENTRY.c.number == ATTEMPT.c.entry_number)
        .where(ENTRY.c.opened_s >= since_s, ATTEMPT.c.cost_base > 0)
        .group_by(ATTEMPT.c.deployment)
    )
    places = {row[0]: (row[1], row[2]) for row in connection.execute(_DEPLOYMENTS)}
    for row in connection.execute(tries):
        provider, _, model = row[0].partition("/")
        lines[places.get(row[0], (provider, model))].attempts_base += int(row[1])
    for (provider, model), line in lines.items():
        line.provider, line.model = provider, model
    return [lines[place] for place in sorted(lines)]
