"""What the conductor decided.

Revision ID: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.db import Guard
from router.ledger.migrations.tools import big, guard, maybe_big, row_number, unguard, words

revision = "0012"
down_revision = "0011"

GUARDS = (
    Guard("conduct_is_immutable", "conduct", "UPDATE", "1 = 1", "the log of decisions is immutable"),
    Guard("conduct_is_kept", "conduct", "DELETE", "1 = 1", "the log of decisions is never deleted"),
)


def upgrade() -> None:
    """It begins empty."""
    op.create_table(
        "conduct",
        row_number("number", counted=True),
        *big("at_s"),
        *words("actor", "role", "action", "deployment"),
        *big("acted"),
        *words("reason", "detail"),
        *maybe_big("undoes"),
        sa.PrimaryKeyConstraint("number"),
    )
    guard(GUARDS)


def downgrade() -> None:
    """The log goes: nothing rests on it."""
    unguard(GUARDS)
    op.drop_table("conduct")
