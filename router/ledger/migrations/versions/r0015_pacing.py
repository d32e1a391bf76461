"""Budgets of calls to `auto`: named by API keys, paced in a table of their own.

Revision ID: 0015
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, maybe_big, words

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """No key had a budget before."""
    for column in maybe_big("auto_day_base", "auto_month_base"):
        op.add_column("api_key", column)
    op.create_table(
        "pace",
        *words("owner", "period"),
        *big("since_s"),
        sa.Column("price", sa.Float(), nullable=False),
        *big("cheapest_base"),
        *words("calls", "expected"),
        sa.CheckConstraint("price > 0 AND cheapest_base >= 0", name="pace_price"),
        sa.PrimaryKeyConstraint("owner"),
    )


def downgrade() -> None:
    """A key with a budget, which earlier releases do not know, is revoked."""
    op.execute(
        f"UPDATE api_key SET revoked_s = {int(time.time())} WHERE revoked_s IS NULL"  # noqa: S608
        " AND (auto_day_base IS NOT NULL OR auto_month_base IS NOT NULL)"
    )
    op.drop_table("pace")
    for name in ("auto_day_base", "auto_month_base"):
        op.drop_column("api_key", name)
