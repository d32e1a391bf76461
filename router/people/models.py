"""Tables of people: sign-ins, members of teams, held keys. Times are unix seconds, addresses checksummed.

API keys, teams and provider keys are in `router.ledger.access`, since the ledger ends them when an account
changes hands.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary
from sqlmodel import Field

from router.db import LedgerTable, RowNumber
from router.ledger.models import table_of

ADDRESS_LENGTH: Final = 42


class Role:
    """What a member may do in a team; each may do what the next may."""

    OWNER: Final = "owner"  # sets the team's budget, makes owners and admins, closes the team
    ADMIN: Final = "admin"  # adds and removes members, sets their budgets, revokes their keys
    MEMBER: Final = "member"  # makes keys, which the team's account pays for
    VIEWER: Final = "viewer"  # sees members and spending


class UsedNonce(LedgerTable, table=True):
    """A sign-in nonce that opened a session, or a form that counts once; kept long after that."""

    __tablename__ = "used_nonce"

    nonce: str = Field(primary_key=True, max_length=64)
    expires_s: int = Field(sa_type=BigInteger, index=True)


class WalletSession(LedgerTable, table=True):
    """A signed-in wallet. Its token is known by the sha256 only, whose first 16 digits name the session."""

    __tablename__ = "wallet_session"

    token_hash: str = Field(primary_key=True, max_length=64)
    address: str = Field(max_length=ADDRESS_LENGTH, index=True)
    created_s: int = Field(sa_type=BigInteger)
    expires_s: int = Field(sa_type=BigInteger)
    revoked_s: int | None = Field(sa_type=BigInteger)


class TeamMember(LedgerTable, table=True):
    """A wallet in a team, with a budget of its own."""

    __tablename__ = "team_member"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer')", name="team_member_role"),
        CheckConstraint("month_limit_base IS NULL OR month_limit_base >= 0", name="team_member_limit"),
    )

    team_id: int = Field(sa_column=Column(BigInteger, ForeignKey("team.id"), primary_key=True))
    address: str = Field(primary_key=True, max_length=ADDRESS_LENGTH, index=True)
    role: str
    month_limit_base: int | None = Field(sa_type=BigInteger)
    added_s: int = Field(sa_type=BigInteger)


class SessionKey(LedgerTable, table=True):
    """A session key that the router holds for a wallet, sealed as `access.ProviderKey` is.

    `limit_base` is the highest cumulative ceiling that the owner lets the router sign.
    """

    __tablename__ = "session_key"

    key_commit: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    owner: str = Field(max_length=ADDRESS_LENGTH, index=True)
    limit_base: int = Field(sa_type=BigInteger)
    sealed: bytes = Field(sa_type=LargeBinary)
    wrapped: bytes = Field(sa_type=LargeBinary)
    master_id: str
    created_s: int = Field(sa_type=BigInteger)


class RateUse(LedgerTable, table=True):
    """What a worker served of a key in the last minute; workers read one another's rows."""

    __tablename__ = "rate_use"

    key_id: str = Field(primary_key=True, max_length=64)
    worker: str = Field(primary_key=True, max_length=32)
    requests: int = Field(sa_type=BigInteger)
    tokens: int = Field(sa_type=BigInteger)
    running: int = Field(sa_type=BigInteger)
    seen_s: int = Field(sa_type=BigInteger)


class DeviceState:
    """Where a device's login is. The last two are final."""

    PENDING: Final = "pending"
    APPROVED: Final = "approved"  # a wallet said yes; the key is made when the device asks for it
    DENIED: Final = "denied"
    TAKEN: Final = "taken"  # the device has its key


class DeviceLogin(LedgerTable, table=True):
    """A program that waits for a wallet's yes. Both its codes are known by their hashes only."""

    __tablename__ = "device_login"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'approved', 'denied', 'taken')", name="device_login_state"),
        CheckConstraint(
            "state IN ('pending', 'denied') OR (account_idx IS NOT NULL AND granted IS NOT NULL)",
            name="device_login_approval",
        ),
    )

    device_hash: str = Field(primary_key=True, max_length=64)
    user_hash: str = Field(max_length=64, unique=True, index=True)
    client_id: str
    device_name: str
    scopes: str  # asked for, sorted, one space between
    created_s: int = Field(sa_type=BigInteger)
    expires_s: int = Field(sa_type=BigInteger, index=True)
    interval_s: int = Field(sa_type=BigInteger)
    polled_s: int | None = Field(sa_type=BigInteger)
    state: str
    address: str | None = Field(max_length=ADDRESS_LENGTH)  # the wallet that decided
    account_idx: int | None = Field(sa_type=BigInteger, foreign_key="account.idx")
    granted: str | None  # JSON of the key's `Grant`


class DeviceMiss(LedgerTable, table=True):
    """A user code that a wallet typed and that no login waits for; kept as long as it counts."""

    __tablename__ = "device_miss"
    __table_args__ = (Index("device_miss_of_wallet", "address", "at_s"),)

    number: int = Field(sa_column=Column(RowNumber, primary_key=True))
    address: str = Field(max_length=ADDRESS_LENGTH)
    at_s: int = Field(sa_type=BigInteger, index=True)


USED_NONCE: Final = table_of(UsedNonce)
WALLET_SESSION: Final = table_of(WalletSession)
TEAM_MEMBER: Final = table_of(TeamMember)
SESSION_KEY: Final = table_of(SessionKey)
RATE_USE: Final = table_of(RateUse)
DEVICE_LOGIN: Final = table_of(DeviceLogin)
DEVICE_MISS: Final = table_of(DeviceMiss)
