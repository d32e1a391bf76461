"""Tables of who may spend: API keys, and the secrets that speak for them."""

from __future__ import annotations

from typing import Final, cast

from sqlalchemy import BigInteger, CheckConstraint, Table
from sqlmodel import Field

from router.db import LedgerTable


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


API_KEY: Final = cast(Table, ApiKey.__table__)  # type: ignore[attr-defined]
API_SECRET: Final = cast(Table, ApiSecret.__table__)  # type: ignore[attr-defined]
