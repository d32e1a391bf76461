"""Usage by day, and indices by which an account's calls are listed.

Revision ID: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, key_number, words

revision = "0016"
down_revision = "0015"

_OTHERS_PAY = sa.text("user_idx IS NOT NULL")


def upgrade() -> None:
    """Sums of earlier days are reckoned when somebody looks at them."""
    op.create_table(
        "usage_day",
        key_number("account_idx"),
        key_number("day"),
        *words("source", "model"),
        key_number("partner_id"),
        *big("calls", "prompt_tokens", "completion_tokens", "largest_tokens"),
        *big("charge_base", "wholesale_base"),
        sa.CheckConstraint("calls > 0", name="usage_day_calls"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("account_idx", "day", "source", "model", "partner_id"),
    )
    op.create_index("call_account_time", "call", ["account_idx", "time_s", "entry_number"])
    op.create_index(
        "entry_user",
        "entry",
        ["user_idx", "opened_s", "number"],
        sqlite_where=_OTHERS_PAY,
        postgresql_where=_OTHERS_PAY,
    )


def downgrade() -> None:
    """Nothing is lost: the sums follow from the calls."""
    op.drop_index("entry_user", "entry")
    op.drop_index("call_account_time", "call")
    op.drop_table("usage_day")
