"""What operators did.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.db import Guard
from router.ledger.migrations.tools import big, guard, row_number, unguard, words

revision = "0004"
down_revision = "0003"

GUARDS = (
    Guard("audit_is_immutable", "audit", "UPDATE", "1 = 1", "the audit log is immutable"),
    Guard("audit_is_kept", "audit", "DELETE", "1 = 1", "the audit log is never deleted"),
)


def upgrade() -> None:
    """It begins empty."""
    op.create_table(
        "audit",
        row_number("number", counted=True),
        *big("at_s"),
        *words("actor", "action", "subject", "before", "after", "request_id"),
        sa.PrimaryKeyConstraint("number"),
    )
    guard(GUARDS)


def downgrade() -> None:
    """The audit log goes: export it before."""
    unguard(GUARDS)
    op.drop_table("audit")
