"""Tables of what an account is offered: its tier, and promotional credit."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey
from sqlmodel import Field

from router.db import LedgerTable
from router.ledger.models import table_of


class AccountTier(LedgerTable, table=True):
    """The tier that an account has earned; an account without a row has the first.

    `margin_base` = charges less the providers' bills of its calls of the last 30 days, as of `computed_s`.
    """

    __tablename__ = "account_tier"

    account_idx: int = Field(
        sa_column=Column(BigInteger, ForeignKey("account.idx"), primary_key=True, autoincrement=False)
    )
    tier: str
    margin_base: int = Field(sa_type=BigInteger)
    computed_s: int = Field(sa_type=BigInteger)


class PromoGrant(LedgerTable, table=True):
    """Promotional credit: calls of `account_idx` that a sponsor pays for, up to the sum of its grants.

    `sponsor_idx` is the sponsor at that time; if the configuration names another by now, that one pays.
    """

    __tablename__ = "promo_grant"
    __table_args__ = (CheckConstraint("amount_base > 0", name="promo_grant_amount"),)

    reference: str = Field(primary_key=True)  # what it was granted for; the same is granted once
    account_idx: int = Field(sa_type=BigInteger, foreign_key="account.idx", index=True)
    sponsor_idx: int = Field(sa_type=BigInteger, foreign_key="account.idx")
    amount_base: int = Field(sa_type=BigInteger)
    granted_s: int = Field(sa_type=BigInteger)


ACCOUNT_TIER: Final = table_of(AccountTier)
PROMO_GRANT: Final = table_of(PromoGrant)
