"""PostgreSQL checks the ledger's rules once for a statement where it can, not for each of its rows.

Revision ID: 0008
"""

from __future__ import annotations

from alembic import op

from router.ledger.migrations.tools import guard, unguard
from router.ledger.migrations.versions.r0003_calls import GUARDS
from router.ledger.migrations.versions.r0004_operating import GUARDS as LATER_GUARDS

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """The rules are the same, and so is how SQLite holds them."""
    if op.get_bind().dialect.name == "postgresql":
        unguard((*GUARDS, *LATER_GUARDS))
        guard((*GUARDS, *LATER_GUARDS))


def downgrade() -> None:
    """Release 0007 needs the rules, however they are held."""
