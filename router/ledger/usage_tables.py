"""The table of usage by day: sums of calls on days that are over, kept when somebody looks at them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey
from sqlmodel import Field

from router.db import LedgerTable
from router.ledger.models import table_of


class UsageDay(LedgerTable, table=True):
    """What an account's calls of one UTC day to one model of one partner sum up to; see `usage.Usage`.

    It can be reckoned again from the calls at any time: nothing rests on it but how fast a page is.
    """

    __tablename__ = "usage_day"
    __table_args__ = (CheckConstraint("calls > 0", name="usage_day_calls"),)

    account_idx: int = Field(
        sa_column=Column(BigInteger, ForeignKey("account.idx"), primary_key=True, autoincrement=False)
    )
    day: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    source: str = Field(primary_key=True)  # of `usage.Source`
    model: str = Field(primary_key=True)
    partner_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    calls: int = Field(sa_type=BigInteger)
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    largest_tokens: int = Field(sa_type=BigInteger)
    charge_base: int = Field(sa_type=BigInteger)
    wholesale_base: int = Field(sa_type=BigInteger)


USAGE_DAY: Final = table_of(UsageDay)
