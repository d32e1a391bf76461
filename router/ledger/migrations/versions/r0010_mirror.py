"""Mirror learning: calls whose model was left to the router, feedback on calls, counts of outcomes.

Revision ID: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, key_number, words

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Nothing was learned before."""
    op.create_table(
        "auto_call",
        *words("entry_id", "model", "form"),
        *big("step"),
        sa.Column("chance", sa.Float(), nullable=False),
        *big("made_s"),
        sa.PrimaryKeyConstraint("entry_id"),
    )
    op.create_index("ix_auto_call_made_s", "auto_call", ["made_s"])
    op.create_table(
        "call_feedback",
        *words("entry_id"),
        *big("account_idx"),
        sa.Column("value", sa.Float(), nullable=False),
        *big("told_s"),
        sa.CheckConstraint("value >= 0 AND value <= 1", name="call_feedback_value"),
        sa.PrimaryKeyConstraint("entry_id"),
    )
    op.create_index("call_feedback_account", "call_feedback", ["account_idx", "told_s"])
    op.create_table(
        "outcome_count",
        *words("model", "form", "kind"),
        key_number("step"),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("good", sa.Float(), nullable=False),
        *big("at_s"),
        sa.CheckConstraint("good >= 0 AND good <= weight", name="outcome_count_good"),
        sa.PrimaryKeyConstraint("model", "form", "kind", "step"),
    )


def downgrade() -> None:
    """What was learned is forgotten: it is worth no money."""
    for table in ("outcome_count", "call_feedback", "auto_call"):
        op.drop_table(table)
