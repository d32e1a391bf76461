"""The relay sends deposits: which contract a signed transfer goes to.

Revision ID: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import keep_nothing_owed

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """What is there pays for calls."""
    op.add_column("x402_payment", sa.Column("settlement", sa.String(42), nullable=True))
    op.create_index("x402_payment_deposits", "x402_payment", ["settlement", "payer", "claimed_s"])


def downgrade() -> None:
    """Deposits that were sent to the end are forgotten: the chain has them."""
    keep_nothing_owed(
        "x402_payment", "deposits that are on their way", "settlement IS NOT NULL AND state = 'sent'"
    )
    op.execute("DELETE FROM x402_payment WHERE settlement IS NOT NULL")
    op.drop_index("x402_payment_deposits", "x402_payment")
    op.drop_column("x402_payment", "settlement")
