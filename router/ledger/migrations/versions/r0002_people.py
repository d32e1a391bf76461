"""Keys that are limited and rotated, sign-ins, teams, and keys that the router holds sealed.

Revision ID: 0002
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, keep_nothing_owed, maybe_big, octets, row_number, words

revision = "0002"
down_revision = "0001"

_TABLES = (
    *("api_secret", "rate_use", "session_key", "used_nonce", "wallet_session", "provider_key"),
    *("team_member", "team"),
)
_KEY_ID = 16
"""A key that came from the first release is named by this many digits of its hash, as it was shown before."""
_SCOPES = "account:read account:write chat embeddings keys:read models"
"""What a key may do that the first release made."""


def upgrade() -> None:
    op.execute("CREATE TABLE old_key AS SELECT * FROM api_key")
    op.drop_table("api_key")
    _keys()
    op.execute(
        "INSERT INTO api_key (key_id, account_idx, label, scopes, created_s, revoked_s)"  # noqa: S608
        f" SELECT substr(key_hash, 1, {_KEY_ID}), account_idx, label, '{_SCOPES}', created_s, revoked_s"
        " FROM old_key"
    )
    op.execute(
        "INSERT INTO api_secret (secret_hash, key_id, created_s)"  # noqa: S608
        f" SELECT key_hash, substr(key_hash, 1, {_KEY_ID}), created_s FROM old_key"
    )
    op.drop_table("old_key")
    _sign_ins()
    _teams()
    _sealed()


def downgrade() -> None:
    """A key with limits, which the first release does not know, is revoked; a secret that lapses lapsed."""
    keep_nothing_owed(
        "session_key", "session keys that the router holds for wallets: let them withdraw first"
    )
    limits = (
        *("team_id", "models", "day_limit_base", "month_limit_base", "requests_per_minute"),
        *("tokens_per_minute", "parallel", "expires_s"),
    )
    limited = " OR ".join(f"{name} IS NOT NULL" for name in limits)
    op.execute(
        "CREATE TABLE old_key AS SELECT secret_hash, account_idx, label, api_secret.created_s,"  # noqa: S608
        " coalesce(revoked_s, until_s,"
        f" CASE WHEN {limited} OR scopes <> '{_SCOPES}' THEN {int(time.time())} END) AS revoked_s"
        " FROM api_secret JOIN api_key ON api_key.key_id = api_secret.key_id"
    )
    for table in (*_TABLES, "api_key"):
        op.drop_table(table)
    op.create_table(
        "api_key",
        sa.Column("key_hash", sa.String(64), nullable=False),
        *big("account_idx"),
        *words("label"),
        *big("created_s"),
        *maybe_big("revoked_s"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("key_hash"),
    )
    op.create_index("ix_api_key_account_idx", "api_key", ["account_idx"])
    op.execute(
        "INSERT INTO api_key (key_hash, account_idx, label, created_s, revoked_s)"
        " SELECT secret_hash, account_idx, label, created_s, revoked_s FROM old_key"
    )
    op.drop_table("old_key")


def _keys() -> None:
    op.create_table(
        "api_key",
        sa.Column("key_id", sa.String(16), nullable=False),
        *big("account_idx"),
        *maybe_big("team_id"),
        sa.Column("member", sa.String(42), nullable=True),
        *words("label", "scopes"),
        sa.Column("models", sa.String(), nullable=True),
        *maybe_big("day_limit_base", "month_limit_base"),
        *(
            sa.Column(name, sa.Integer(), nullable=True)
            for name in ("requests_per_minute", "tokens_per_minute", "parallel")
        ),
        *big("created_s"),
        *maybe_big("expires_s", "revoked_s"),
        sa.CheckConstraint("day_limit_base IS NULL OR day_limit_base >= 0", name="api_key_day_limit"),
        sa.CheckConstraint("month_limit_base IS NULL OR month_limit_base >= 0", name="api_key_month_limit"),
        sa.CheckConstraint("(team_id IS NULL) = (member IS NULL)", name="api_key_member"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_index("ix_api_key_account_idx", "api_key", ["account_idx"])
    op.create_index("ix_api_key_team_id", "api_key", ["team_id"])
    op.create_table(
        "api_secret",
        sa.Column("secret_hash", sa.String(64), nullable=False),
        *words("key_id"),
        *big("created_s"),
        *maybe_big("until_s"),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.key_id"]),
        sa.PrimaryKeyConstraint("secret_hash"),
    )
    op.create_index("ix_api_secret_key_id", "api_secret", ["key_id"])


def _sign_ins() -> None:
    op.create_table(
        "used_nonce",
        sa.Column("nonce", sa.String(64), nullable=False),
        *big("expires_s"),
        sa.PrimaryKeyConstraint("nonce"),
    )
    op.create_index("ix_used_nonce_expires_s", "used_nonce", ["expires_s"])
    op.create_table(
        "wallet_session",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("address", sa.String(42), nullable=False),
        *big("created_s", "expires_s"),
        *maybe_big("revoked_s"),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("ix_wallet_session_address", "wallet_session", ["address"])
    op.create_table(
        "rate_use",
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("worker", sa.String(32), nullable=False),
        *big("requests", "tokens", "running", "seen_s"),
        sa.PrimaryKeyConstraint("key_id", "worker"),
    )


def _teams() -> None:
    limit = "month_limit_base IS NULL OR month_limit_base >= 0"
    op.create_table(
        "team",
        row_number("id", counted=True),
        *big("account_idx"),
        *words("name"),
        *maybe_big("month_limit_base"),
        *big("created_s"),
        *maybe_big("closed_s"),
        sa.CheckConstraint(limit, name="team_limit"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_team_account_idx", "team", ["account_idx"])
    op.create_table(
        "team_member",
        *big("team_id"),
        sa.Column("address", sa.String(42), nullable=False),
        *words("role"),
        *maybe_big("month_limit_base"),
        *big("added_s"),
        sa.CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer')", name="team_member_role"),
        sa.CheckConstraint(limit, name="team_member_limit"),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"]),
        sa.PrimaryKeyConstraint("team_id", "address"),
    )
    op.create_index("ix_team_member_address", "team_member", ["address"])


def _sealed() -> None:
    op.create_table(
        "provider_key",
        row_number("id", counted=True),
        *big("account_idx"),
        *words("provider"),
        sa.Column("base_url", sa.String(), nullable=True),
        *words("last4"),
        *octets("sealed", "wrapped"),
        *words("master_id"),
        *big("created_s"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("provider_key_of_account", "provider_key", ["account_idx", "provider"], unique=True)
    op.create_table(
        "session_key",
        *octets("key_commit"),
        sa.Column("owner", sa.String(42), nullable=False),
        *big("limit_base"),
        *octets("sealed", "wrapped"),
        *words("master_id"),
        *big("created_s"),
        sa.PrimaryKeyConstraint("key_commit"),
    )
    op.create_index("ix_session_key_owner", "session_key", ["owner"])
