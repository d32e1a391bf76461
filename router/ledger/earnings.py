"""What calls brought and cost in a period, by tier, model or partner: sums over the calls that ended in it.

A try that failed counts when its call ended, or, of a call that came to nothing, when that began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from router.ledger import post
from router.ledger.call_models import ATTEMPT, CALL
from router.ledger.models import ACCOUNT, ENTRY, POSTING

DAY_S: Final = 86_400
KEYS: Final[dict[str, ColumnElement[Any]]] = {
    "tier": CALL.c.tier,
    "model": CALL.c.model,
    "partner_id": CALL.c.partner_id,
    "day": CALL.c.time_s // DAY_S,
}
"""What the sums can be taken by; a day is UTC, counted from 1970."""
_PARTNERS: Final = post.partner(0).removesuffix("0")
_PAYERS: Final = post.user(0).removesuffix("0")


@dataclass(frozen=True)
class Earnings:
    """Sums over calls; base units but for `calls`.

    Args:
        calls: how many.
        retail_base: what they cost at list price; 0 for calls of before that was kept.
        charged_base: what was charged.
        lost_base: used and never charged.
        wholesale_base: what the providers bill for them.
        attempts_base: what providers may bill for tries that failed.
        partners_base, fee_base, burn_base, pool_base, treasury_base: shares of the charges.
    """

    calls: int = 0
    retail_base: int = 0
    charged_base: int = 0
    lost_base: int = 0
    wholesale_base: int = 0
    attempts_base: int = 0
    partners_base: int = 0
    fee_base: int = 0
    burn_base: int = 0
    pool_base: int = 0
    treasury_base: int = 0

    @property
    def cost_base(self) -> int:
        """All that providers bill."""
        return self.wholesale_base + self.attempts_base

    @property
    def kept_base(self) -> int:
        """What is there to pay providers with: partners' shares are paid towards their bills."""
        return self.partners_base + self.fee_base + self.treasury_base

    @property
    def margin_base(self) -> int:
        """What is left when providers are paid; below 0 the calls lost money."""
        return self.kept_base - self.cost_base

    def __add__(self, other: Earnings) -> Earnings:
        return Earnings(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Earnings)))


_OF_CALLS: Final = ("retail_base", "charge_base", "lost_base", "wholesale_base")
_SHARES: Final = {
    post.FEE: "fee_base",
    post.BURN: "burn_base",
    post.POOL: "pool_base",
    post.TREASURY: "treasury_base",
}


def earnings(
    connection: Connection, since_s: int, until_s: int, by: Sequence[str] = ()
) -> dict[tuple[Any, ...], Earnings]:
    """Earnings of calls that ended from `since_s` on and before `until_s` (unix seconds).

    Args:
        connection: a reading transaction.
        since_s: the first second.
        until_s: the second behind the last.
        by: names out of `KEYS`; with none, all sums are under `()`.

    Returns: sums by the values of `by`; tries of calls that came to nothing are under `None` for each.
    """
    keys = [KEYS[name] for name in by]
    found: dict[tuple[Any, ...], Earnings] = {}
    for key, part in _parts(connection, since_s, until_s, keys):
        found[key] = found.get(key, Earnings()) + part
    return found


def unsettled_base(connection: Connection) -> int:
    """Posted charges of all accounts that a batch can still settle, base units."""
    open_base = ACCOUNT.c.spent_base - ACCOUNT.c.written_off_base - ACCOUNT.c.settled_spent_base
    return int(connection.execute(select(func.coalesce(func.sum(open_base), 0))).scalar_one())


def _parts(
    connection: Connection, since_s: int, until_s: int, keys: Sequence[ColumnElement[Any]]
) -> Iterator[tuple[tuple[Any, ...], Earnings]]:
    width = len(keys)
    ended = (CALL.c.time_s >= since_s) & (CALL.c.time_s < until_s)
    sums = (func.sum(CALL.c[name]) for name in _OF_CALLS)
    calls = select(*keys, func.count(), *sums).where(ended).group_by(*keys)
    for row in connection.execute(calls):
        count, *rest = (int(part or 0) for part in row[width:])
        if count:
            yield tuple(row[:width]), Earnings(count, *rest)
    legs = (
        select(*keys, POSTING.c.account, func.sum(POSTING.c.amount_base))
        .join(CALL, CALL.c.entry_number == POSTING.c.entry_number)
        .where(ended, POSTING.c.account.not_like(f"{_PAYERS}%"))
        .group_by(*keys, POSTING.c.account)
    )
    for row in connection.execute(legs):
        account, amount_base = row[width], int(row[width + 1])
        name = "partners_base" if account.startswith(_PARTNERS) else _SHARES.get(account)
        if name is not None:
            yield tuple(row[:width]), replace(Earnings(), **{name: amount_base})
    when = func.coalesce(CALL.c.time_s, ENTRY.c.opened_s)
    tries = (
        select(*keys, func.sum(ATTEMPT.c.cost_base))
        .join(ENTRY, ENTRY.c.number == ATTEMPT.c.entry_number)
        .join(CALL, CALL.c.entry_number == ATTEMPT.c.entry_number, isouter=True)
        .where(ATTEMPT.c.cost_base > 0, when >= since_s, when < until_s)
        .group_by(*keys)
    )
    for row in connection.execute(tries):
        if row[width] is not None:
            yield tuple(row[:width]), Earnings(attempts_base=int(row[width]))
