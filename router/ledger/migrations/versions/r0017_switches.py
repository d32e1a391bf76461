"""What operators switch off; tier and list price of calls, and indices that earnings are read by.

Revision ID: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.db import Guard
from router.ledger.migrations.tools import big, guard, maybe_big, row_number, unguard, words

revision = "0017"
down_revision = "0016"

GUARDS = (
    Guard("switch_is_immutable", "switch", "UPDATE", "1 = 1", "what was switched is immutable"),
    Guard("switch_is_kept", "switch", "DELETE", "1 = 1", "what was switched is never deleted"),
)
_BILLED = sa.text("cost_base > 0")


def upgrade() -> None:
    """Nothing is switched off; of calls of before, tier and list price are not known."""
    op.create_table(
        "switch",
        row_number("number", counted=True),
        *big("at_s"),
        *words("actor", "scope", "name"),
        *maybe_big("setting"),
        *words("reason"),
        sa.PrimaryKeyConstraint("number"),
    )
    guard(GUARDS)
    op.add_column("call", sa.Column("retail_base", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("call", sa.Column("tier", sa.String(), nullable=False, server_default=""))
    op.create_index("call_time", "call", ["time_s"])
    op.create_index(
        "attempt_billed", "attempt", ["entry_number"], sqlite_where=_BILLED, postgresql_where=_BILLED
    )


def downgrade() -> None:
    """What is switched off runs again."""
    op.drop_index("attempt_billed", "attempt")
    op.drop_index("call_time", "call")
    for name in ("tier", "retail_base"):
        op.drop_column("call", name)
    unguard(GUARDS)
    op.drop_table("switch")
