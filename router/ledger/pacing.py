"""Budgets for calls whose model is left to the router: how each one is paced, shared by all workers.

What is spent is a sum of the ledger's like that of every spending limit (`call_models.Budget`), exact and
under the same lock. A row here holds the rest: the price that workers found, and how many calls came when.
"""

from __future__ import annotations

import json
from calendar import timegm
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Connection, Row, insert, select, update
from sqlmodel import Field

from mini_llm.auto.pacer import SLICES, Pacer, Plan, Spent
from router.db import LedgerTable
from router.ledger.call_models import BUDGET
from router.ledger.models import table_of
from router.ledger.reservations import Budget

DAY_S: Final = 86_400


class Pace(LedgerTable, table=True):
    """How the latest period of one budget goes; see `mini_llm.auto.pacer.Spent`."""

    __table_args__ = (CheckConstraint("price > 0 AND cheapest_base >= 0", name="pace_price"),)

    owner: str = Field(primary_key=True)
    period: str
    since_s: int = Field(sa_type=BigInteger)  # when the first call of the period could come
    price: float
    cheapest_base: int = Field(sa_type=BigInteger)
    calls: str  # JSON list, by slice
    expected: str  # JSON list, those of the period before; empty if there was none


PACE: Final = table_of(Pace)


@dataclass(frozen=True, slots=True)
class AutoBudget:
    """Money for calls whose model is left to the router, in one period.

    Attributes:
        owner: whose it is, and for how long, e.g. `auto:key:{id}:day`.
        period: a UTC day such as `2026-11-21`, or a month such as `2026-11`.
        limit_base: to spend, base units, above 0.
    """

    owner: str
    period: str
    limit_base: int

    @property
    def limit(self) -> Budget:
        """What a reservation carries: the budget is never exceeded, whatever was paced."""
        return Budget(f"{self.owner}:{self.period}", self.limit_base)


@dataclass(frozen=True, slots=True)
class Steps:
    """Calls that a worker paced, from one state to another."""

    budget: AutoBudget
    before: Spent
    after: Spent


def pacers(connection: Connection, budgets: Iterable[AutoBudget], now_s: int) -> list[Pacer]:
    """How budgets are paced, as far as workers have told; one that is new begins now."""
    return [_pacer(connection, one, _row(connection, one.owner), now_s) for one in budgets]


def join(connection: Connection, steps: Iterable[Steps], now_s: int) -> list[Pacer]:
    """Takes a worker's steps in, and tells how the budgets are paced now. Those of a period that is over are
    not wanted any more.

    Args:
        connection: a writing transaction.
        steps: one for each budget.
        now_s: unix seconds.
    """
    joined = []
    for one in steps:
        row = _row(connection, one.budget.owner)
        pacer = _pacer(connection, one.budget, row, now_s)
        if row is None or row.period <= one.budget.period:
            spent_base, plan = pacer.state.spent_base, pacer.plan
            state = replace(pacer.state.joined(one.before, one.after), spent_base=spent_base)
            pacer = Pacer(plan, state)
            _write(connection, one.budget, pacer, new=row is None)
        joined.append(pacer)
    return joined


def bounds_s(period: str) -> tuple[int, int]:
    """When a UTC day or month begins and ends, unix seconds."""
    year, month, *day = (int(part) for part in period.split("-"))
    if day:
        begins_s = timegm((year, month, day[0], 0, 0, 0))
        return begins_s, begins_s + DAY_S
    return timegm((year, month, 1, 0, 0, 0)), timegm((year + month // 12, month % 12 + 1, 1, 0, 0, 0))


def _pacer(connection: Connection, budget: AutoBudget, row: Row[Any] | None, now_s: int) -> Pacer:
    spent = select(BUDGET.c.spent_base).where(BUDGET.c.code == budget.limit.code)
    spent_base = connection.execute(spent).scalar_one_or_none() or 0
    begins_s, ends_s = bounds_s(budget.period)
    if row is None:
        since_s = min(max(begins_s, now_s), ends_s - 1)
        return Pacer.first(Plan(budget.limit_base, begins_s, ends_s, since_s=since_s), spent_base, now_s)
    known = Spent(spent_base, row.price, row.cheapest_base)
    if row.period != budget.period:
        return Pacer(Plan(budget.limit_base, begins_s, ends_s, _next_expected(row)), known)
    expected, calls = tuple(json.loads(row.expected)), tuple(json.loads(row.calls))
    plan = Plan(budget.limit_base, begins_s, ends_s, expected, row.since_s)
    return Pacer(plan, replace(known, calls=calls))


def _next_expected(row: Row[Any]) -> tuple[int, ...]:
    """As many calls as in the row's period. What it missed, because it began late, is as busy as the rest."""
    calls: Sequence[int] = json.loads(row.calls)
    begins_s, ends_s = bounds_s(row.period)
    first = (row.since_s - begins_s) * SLICES // (ends_s - begins_s)
    usual = -(-sum(calls[first:]) // (SLICES - first))
    return (*[usual] * first, *calls[first:])


def _row(connection: Connection, owner: str) -> Row[Any] | None:
    return connection.execute(select(PACE).where(PACE.c.owner == owner)).one_or_none()


def _write(connection: Connection, budget: AutoBudget, pacer: Pacer, *, new: bool) -> None:
    plan, state = pacer.plan, pacer.state
    values = {
        "period": budget.period,
        "since_s": plan.begins_s if plan.since_s is None else plan.since_s,
        "price": state.price,
        "cheapest_base": state.cheapest_base,
        "calls": json.dumps(state.calls),
        "expected": json.dumps(plan.expected),
    }
    if new:
        connection.execute(insert(PACE), values | {"owner": budget.owner})
    else:
        connection.execute(update(PACE).where(PACE.c.owner == budget.owner).values(values))
