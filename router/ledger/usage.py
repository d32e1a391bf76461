"""An account's usage by UTC day, model and partner, quick however many calls there were.

Days that are over do not change: when somebody looks at an account, their sums are kept, and the next look
adds up only what came since. Nothing of this is in the path of a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, case, func, insert, literal, select

from router.ledger.call_models import CALL
from router.ledger.models import ENTRY
from router.ledger.usage_tables import USAGE_DAY

DAY_S: Final = 86_400
LONGEST_DAYS: Final = 90
"""Usage is told for this many days up to today."""
_SETTLED_S: Final = 3600
"""A day's sums are kept from so long after its end: by then all its charges are committed."""


class Source:
    """Who paid for a call, as the account sees it."""

    ACCOUNT: Final = "account"
    OWN_KEY: Final = "own_key"  # the account's own provider key; here it paid a fee at most
    OTHERS: Final = "others"  # promotional credit, or a team that its owner is a member of


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums of calls of one day.

    Attributes:
        day: UTC days since 1970.
        source: of `Source`.
        model: the model's public name.
        partner_id: who served them, 0 for the house.
        calls: how many, those that cost nothing included.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        largest_tokens: tokens read and written by the largest call.
        charge_base: what they cost, base units.
        wholesale_base: what the providers bill for them, base units.
    """

    day: int
    source: str
    model: str
    partner_id: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    largest_tokens: int
    charge_base: int
    wholesale_base: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found.

    Attributes:
        rows: by day, source, model and partner.
        unkept: those of days that are over whose sums are not kept yet.
    """

    rows: tuple[Usage, ...]
    unkept: tuple[Usage, ...]


_COLUMNS: Final = tuple(USAGE_DAY.c[name] for name in Usage.__slots__)
_KEPT: Final[Select[Any]] = select(*_COLUMNS).where(
    USAGE_DAY.c.account_idx == bindparam("idx"), USAGE_DAY.c.day >= bindparam("first")
)
_LAST_KEPT: Final = select(func.max(USAGE_DAY.c.day)).where(USAGE_DAY.c.account_idx == bindparam("idx"))
_TOKENS: Final = CALL.c.prompt_tokens + CALL.c.completion_tokens
_DAY: Final = (CALL.c.time_s // DAY_S).label("day")
_SUMS: Final = (
    func.count().label("calls"),
    func.sum(CALL.c.prompt_tokens),
    func.sum(CALL.c.completion_tokens),
    func.max(_TOKENS),
    func.sum(CALL.c.charge_base),
    func.sum(CALL.c.wholesale_base),
)
_PAID_BY: Final = case(
    (CALL.c.deployment.endswith(bindparam("own_key")), Source.OWN_KEY), else_=Source.ACCOUNT
).label("source")
_PAID: Final[Select[Any]] = (
    select(_DAY, _PAID_BY, CALL.c.model, CALL.c.partner_id, *_SUMS)
    .where(CALL.c.account_idx == bindparam("idx"), CALL.c.time_s >= bindparam("since_s"))
    .group_by(_DAY, _PAID_BY, CALL.c.model, CALL.c.partner_id)
)
_BY_OTHERS: Final[Select[Any]] = (
    select(_DAY, literal(Source.OTHERS).label("source"), CALL.c.model, CALL.c.partner_id, *_SUMS)
    .join(ENTRY, ENTRY.c.number == CALL.c.entry_number)
    .where(
        ENTRY.c.user_idx == bindparam("idx"),
        ENTRY.c.opened_s >= bindparam("opened_s"),
        CALL.c.time_s >= bindparam("since_s"),
    )
    .group_by(_DAY, CALL.c.model, CALL.c.partner_id)
)


def usage(connection: Connection, idx: int, now_s: int) -> Looked:
    """The usage of the last `LONGEST_DAYS` days up to today. A call counts on the day of its charge.

    One that others paid for and that ran for more than a day may be left out.
    """
    today = now_s // DAY_S
    first = today - LONGEST_DAYS + 1
    last = _last_kept(connection, idx)
    since_s = (first if last is None else max(first, last + 1)) * DAY_S
    where = {"idx": idx, "since_s": since_s}
    paid = connection.execute(_PAID, where | {"own_key": f"@{idx}"}).all()
    by_others = connection.execute(_BY_OTHERS, where | {"opened_s": since_s - DAY_S}).all()
    fresh = [_summed(row) for row in (*paid, *by_others)]
    kept = [_summed(row) for row in connection.execute(_KEPT, {"idx": idx, "first": first})]
    ended = (now_s - _SETTLED_S) // DAY_S
    rows = sorted((*kept, *fresh), key=lambda one: (one.day, one.source, one.model, one.partner_id))
    return Looked(tuple(rows), tuple(one for one in fresh if one.day < ended))


def keep_days(connection: Connection, idx: int, unkept: Sequence[Usage]) -> int:
    """Keeps the sums of days that are over, as `usage` found them; returns how many rows are new.

    Args:
        connection: a writing transaction: two that keep the same days come one after the other.
        idx: the account.
        unkept: all of `Looked.unkept`.
    """
    last = _last_kept(connection, idx)
    rows = [
        {"account_idx": idx} | {name: getattr(one, name) for name in Usage.__slots__}
        for one in unkept
        if last is None or one.day > last
    ]
    if rows:
        connection.execute(insert(USAGE_DAY), rows)
    return len(rows)


def _last_kept(connection: Connection, idx: int) -> int | None:
    last: int | None = connection.execute(_LAST_KEPT, {"idx": idx}).scalar_one()
    return last


def _summed(row: Any) -> Usage:
    day, source, model, partner_id, *sums = row
    return Usage(int(day), source, model, partner_id, *map(int, sums))  # PostgreSQL sums to numeric
