"""Tables of who may spend an account's money, and with whose provider keys."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary
from sqlmodel import Field

from router.db import LedgerTable, RowNumber
from router.ledger.models import table_of


class ApiKey(LedgerTable, table=True):
    """What a key may do. It keeps its id when its secret is rotated; a limit that is null does not limit."""

    __tablename__ = "api_key"
    __table_args__ = (
        CheckConstraint("day_limit_base IS NULL OR day_limit_base >= 0", name="api_key_day_limit"),
        CheckConstraint("month_limit_base IS NULL OR month_limit_base >= 0", name="api_key_month_limit"),
        CheckConstraint("(team_id IS NULL) = (member IS NULL)", name="api_key_member"),
    )

    key_id: str = Field(primary_key=True, max_length=16)
    account_idx: int = Field(sa_type=BigInteger, foreign_key="account.idx", index=True)
    team_id: int | None = Field(
        sa_type=BigInteger, index=True
    )  # made by a member of a team, paid by its account
    member: str | None = Field(max_length=42)  # wallet address of that member
    label: str
    scopes: str  # names of `keys.Scope`, sorted, one space between
    models: str | None  # JSON list of names and `prefix*`; null: all
    day_limit_base: int | None = Field(sa_type=BigInteger)
    month_limit_base: int | None = Field(sa_type=BigInteger)
    auto_day_base: int | None = Field(sa_type=BigInteger)
    auto_month_base: int | None = Field(sa_type=BigInteger)
    requests_per_minute: int | None
    tokens_per_minute: int | None
    parallel: int | None
    created_s: int = Field(sa_type=BigInteger)
    expires_s: int | None = Field(sa_type=BigInteger)
    revoked_s: int | None = Field(sa_type=BigInteger)


class ApiSecret(LedgerTable, table=True):
    """A secret of a key, known by its sha256 only. A rotated one works until `until_s`."""

    __tablename__ = "api_secret"

    secret_hash: str = Field(primary_key=True, max_length=64)
    key_id: str = Field(foreign_key="api_key.key_id", index=True)
    created_s: int = Field(sa_type=BigInteger)
    until_s: int | None = Field(sa_type=BigInteger)


class Team(LedgerTable, table=True):
    """People who spend one account's money. A null limit does not limit."""

    __table_args__ = (
        CheckConstraint("month_limit_base IS NULL OR month_limit_base >= 0", name="team_limit"),
    )

    id: int = Field(sa_column=Column(RowNumber, primary_key=True))
    account_idx: int = Field(sa_type=BigInteger, foreign_key="account.idx", index=True)
    name: str
    month_limit_base: int | None = Field(sa_type=BigInteger)
    created_s: int = Field(sa_type=BigInteger)
    closed_s: int | None = Field(sa_type=BigInteger)


class ProviderKey(LedgerTable, table=True):
    """A user's own key at a provider, sealed: `sealed` under a data key, and that one under a master key."""

    __tablename__ = "provider_key"
    __table_args__ = (Index("provider_key_of_account", "account_idx", "provider", unique=True),)

    id: int = Field(sa_column=Column(RowNumber, primary_key=True))
    account_idx: int = Field(sa_type=BigInteger, foreign_key="account.idx")
    provider: str
    base_url: str | None
    last4: str
    sealed: bytes = Field(sa_type=LargeBinary)
    wrapped: bytes = Field(sa_type=LargeBinary)
    master_id: str
    created_s: int = Field(sa_type=BigInteger)


API_KEY: Final = table_of(ApiKey)
API_SECRET: Final = table_of(ApiSecret)
TEAM: Final = table_of(Team)
PROVIDER_KEY: Final = table_of(ProviderKey)
