"""Tiers and promotional credit in the database: who earned which, who was granted what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
)

from mini_llm.wallet.limits import BPS
from router.ledger.call_models import BUDGET, CALL
from router.ledger.errors import LedgerError
from router.ledger.models import ACCOUNT
from router.ledger.offers import ACCOUNT_TIER, PROMO_GRANT
from router.ledger.post import check_amount
from router.ledger.record import account_row

TRAILING_S: Final = 30 * 86_400
"""A tier is earned with the margin of the calls of this long."""
_FUNDS: Final = ACCOUNT.c.balance_base + ACCOUNT.c.spent_base
_DAY_S: Final = 86_400
_AT_ONCE: Final = 500
"""Most sign-up credits granted in one go."""
_GRANTED: Final = func.sum(PROMO_GRANT.c.amount_base)


class NeedsDeposit(LedgerError):
    """Promotional credit is for accounts that have made a deposit; `idx` has not."""

    def __init__(self, idx: int) -> None:
        super().__init__(f"account {idx} has made no deposit yet: promotional credit comes after one")
        self.idx = idx


@dataclass(frozen=True, slots=True)
class Rung:
    """A tier as the ledger reckons it: its name, and the margin in base units from which on it is earned."""

    name: str
    margin_base: int


@dataclass(frozen=True, slots=True)
class PromoView:
    """Promotional credit of an account, base units.

    Attributes:
        granted_base: all grants.
        spent_base: charges that it paid.
        reserved_base: quotes of calls that run on it now.
    """

    granted_base: int
    spent_base: int
    reserved_base: int

    @property
    def left_base(self) -> int:
        """What is left for new calls."""
        return max(0, self.granted_base - self.spent_base - self.reserved_base)


def promo_code(idx: int) -> str:
    """The budget that an account's promotional calls count against."""
    return f"promo:{idx}"


def signup_reference(idx: int) -> str:
    """What an account's sign-up credit is granted for."""
    return f"signup:{idx}"


def margins(
    connection: Connection,
    since_s: int,
    kept_bps: int,
    own: Mapping[int, Collection[int]],
    sponsors: Collection[int],
) -> dict[int, int]:
    """Net margin by account of its calls since a time: what is kept of charges, less the providers' bills.

    Args:
        connection: a reading transaction.
        since_s: unix seconds.
        kept_bps: part of a charge that is kept.
        own: accounts of each partner, whose calls to it do not count.
        sponsors: accounts that pay promotional calls, which count for nobody.
    """
    own_calls = [
        and_(CALL.c.partner_id == partner, CALL.c.account_idx.in_(tuple(accounts)))
        for partner, accounts in own.items()
        if accounts
    ]
    query: Select[Any] = (
        select(CALL.c.account_idx, func.sum(CALL.c.charge_base), func.sum(CALL.c.wholesale_base))
        .where(CALL.c.time_s >= since_s, CALL.c.charge_base > 0)
        .where(CALL.c.account_idx.not_in(tuple(sponsors)))
        .group_by(CALL.c.account_idx)
    )
    if own_calls:
        query = query.where(not_(or_(*own_calls)))
    return {
        row[0]: int(row[1]) * kept_bps // BPS - int(row[2])  # charged, and what providers bill for it
        for row in connection.execute(query)
    }


def store_tiers(
    connection: Connection, margin_base: Mapping[int, int], rungs: Sequence[Rung], now_s: int
) -> None:
    """Writes down who has earned which tier; who has not earned more than the first has no row.

    Args:
        connection: a writing transaction.
        margin_base: net margins by account.
        rungs: the tiers, from everybody's to the highest.
        now_s: unix seconds.
    """
    connection.execute(delete(ACCOUNT_TIER))
    rows: list[dict[str, Any]] = []
    for idx, earned_base in margin_base.items():
        earned = [rung for rung in rungs[1:] if earned_base >= rung.margin_base]
        if earned:
            row = {"account_idx": idx, "tier": earned[-1].name, "margin_base": earned_base}
            rows.append(row | {"computed_s": now_s})
    if rows:
        connection.execute(insert(ACCOUNT_TIER), rows)


def tiers(connection: Connection) -> dict[int, str]:
    """The tier of each account that has earned more than the first."""
    query = select(ACCOUNT_TIER.c.account_idx, ACCOUNT_TIER.c.tier)
    return {row[0]: row[1] for row in connection.execute(query)}


def grant(
    connection: Connection, reference: str, idx: int, sponsor_idx: int, amount_base: int, now_s: int
) -> bool:
    """Grants promotional credit once per `reference`; returns whether this was now.

    Raises:
        UnknownAccount: the account or its sponsor.
        NeedsDeposit: the account has made none.
        AmountOutOfRange.
    """
    check_amount("promotional credit", amount_base)
    account = account_row(connection, idx)
    account_row(connection, sponsor_idx)
    if account.balance_base + account.spent_base <= 0:
        raise NeedsDeposit(idx)
    if connection.execute(select(exists().where(PROMO_GRANT.c.reference == reference))).scalar_one():
        return False
    values = {"reference": reference, "account_idx": idx, "sponsor_idx": sponsor_idx}
    connection.execute(insert(PROMO_GRANT), values | {"amount_base": amount_base, "granted_s": now_s})
    return True


def without_signup(
    connection: Connection, sponsor_idx: int, least_base: int, limit: int, now_s: int
) -> list[int]:
    """Accounts that are to be granted their sign-up credit now.

    Args:
        connection: a reading transaction.
        sponsor_idx: who pays for it, and gets none.
        least_base: what they hold or have spent at least, base units; in any case something.
        limit: most that are granted it within 24 hours.
        now_s: unix seconds.
    """
    of_today = PROMO_GRANT.c.reference.startswith("signup:") & (PROMO_GRANT.c.granted_s > now_s - _DAY_S)
    limit -= int(connection.execute(select(func.count()).where(of_today)).scalar_one())
    if limit <= 0:
        return []
    granted = exists().where(PROMO_GRANT.c.reference == _named("signup:", ACCOUNT.c.idx))
    query = (
        select(ACCOUNT.c.idx)
        .where(max(least_base, 1) <= _FUNDS, ACCOUNT.c.idx != sponsor_idx, not_(granted))
        .limit(min(limit, _AT_ONCE))
    )
    return list(connection.execute(query.order_by(ACCOUNT.c.idx)).scalars())


def promo_limits(connection: Connection) -> dict[int, int]:
    """All grants, base units, of each account that has some of its promotional credit left."""
    spent = func.coalesce(BUDGET.c.spent_base, 0)
    query: Select[Any] = (
        select(PROMO_GRANT.c.account_idx, _GRANTED)
        .join(BUDGET, BUDGET.c.code == _named("promo:", PROMO_GRANT.c.account_idx), isouter=True)
        .group_by(PROMO_GRANT.c.account_idx, BUDGET.c.spent_base)
        .having(spent < _GRANTED)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def promo_view(connection: Connection, idx: int) -> PromoView:
    """The promotional credit of one account."""
    granted = select(func.coalesce(_GRANTED, 0)).where(PROMO_GRANT.c.account_idx == idx)
    granted_base = int(connection.execute(granted).scalar_one())
    used = connection.execute(select(BUDGET).where(BUDGET.c.code == literal(promo_code(idx)))).one_or_none()
    return PromoView(granted_base, used.spent_base if used else 0, used.reserved_base if used else 0)


def _named(prefix: str, idx: ColumnElement[int]) -> ColumnElement[str]:
    return literal(prefix).concat(cast(idx, String))
