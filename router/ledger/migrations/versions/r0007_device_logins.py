"""Logins of devices, which a wallet approves elsewhere.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, maybe_big, row_number, words

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """They begin empty."""
    op.create_table(
        "device_login",
        sa.Column("device_hash", sa.String(64), nullable=False),
        sa.Column("user_hash", sa.String(64), nullable=False),
        *words("client_id", "device_name", "scopes"),
        *big("created_s", "expires_s", "interval_s"),
        *maybe_big("polled_s"),
        *words("state"),
        sa.Column("address", sa.String(42), nullable=True),
        *maybe_big("account_idx"),
        sa.Column("granted", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'approved', 'denied', 'taken')", name="device_login_state"),
        sa.CheckConstraint(
            "state IN ('pending', 'denied') OR (account_idx IS NOT NULL AND granted IS NOT NULL)",
            name="device_login_approval",
        ),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("device_hash"),
    )
    op.create_index("ix_device_login_user_hash", "device_login", ["user_hash"], unique=True)
    op.create_index("ix_device_login_expires_s", "device_login", ["expires_s"])
    op.create_table(
        "device_miss",
        row_number("number", counted=True),
        sa.Column("address", sa.String(42), nullable=False),
        *big("at_s"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("device_miss_of_wallet", "device_miss", ["address", "at_s"])
    op.create_index("ix_device_miss_at_s", "device_miss", ["at_s"])


def downgrade() -> None:
    """Logins that wait must be begun again; the keys that were made stay."""
    op.drop_table("device_miss")
    op.drop_table("device_login")
