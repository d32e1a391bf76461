"""Mirror learning: chances that models were chosen with, and who follows what was learned.

Revision ID: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, row_number, words

revision = "0011"
down_revision = "0010"

_CHANCES = ("shipped_quality", "learned_quality", "shipped_chance", "learned_chance")


def upgrade() -> None:
    """Nobody followed before."""
    op.create_table(
        "drawn_call",
        *words("entry_id"),
        *big("account_idx", "made_s"),
        *words("served", "shipped", "learned"),
        *(sa.Column(name, sa.Float(), nullable=False) for name in _CHANCES),
        *big("shipped_base", "learned_base"),
        sa.PrimaryKeyConstraint("entry_id"),
    )
    op.create_index("ix_drawn_call_made_s", "drawn_call", ["made_s"])
    op.create_table(
        "learning_step",
        row_number("number", counted=True),
        *big("at_s", "percent"),
        *words("reason"),
        sa.PrimaryKeyConstraint("number"),
    )


def downgrade() -> None:
    """What was tried is forgotten: it is worth no money."""
    op.drop_table("learning_step")
    op.drop_table("drawn_call")
