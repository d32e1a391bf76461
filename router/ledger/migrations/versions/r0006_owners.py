"""A wallet's accounts are found by an index: each sign-in and each call on a team's key looks for them.

Revision ID: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("ix_account_owner", "account", ["owner"])


def downgrade() -> None:
    op.drop_index("ix_account_owner", "account")
