"""The register of x402 payments.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, keep_nothing_owed, maybe_big, octets, words

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "x402_payment",
        sa.Column("id", sa.String(64), nullable=False),
        *words("state"),
        sa.Column("payer", sa.String(42), nullable=False),
        *octets("nonce"),
        *big("amount_base"),
        *words("endpoint"),
        *octets("body_hash"),
        sa.Column("origin_key", sa.String(64), nullable=False),
        *octets("call_data"),
        *big("gas", "from_block", "claimed_s"),
        *maybe_big("tx_nonce"),
        sa.Column("tx_hash", sa.String(), nullable=True),
        sa.Column("raw_tx", sa.LargeBinary(), nullable=True),
        *maybe_big("max_fee_wei", "tip_wei", "sent_s", "settled_s"),
        sa.Column("note", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('claimed', 'sent', 'settled', 'refunded')", name="x402_payment_state"),
        sa.CheckConstraint("amount_base >= 0", name="x402_payment_amount"),
        sa.CheckConstraint(
            "state <> 'sent' OR (tx_nonce IS NOT NULL AND raw_tx IS NOT NULL)", name="x402_payment_sent"
        ),
        sa.CheckConstraint("state <> 'settled' OR tx_hash IS NOT NULL", name="x402_payment_settled"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("x402_payment_by_state", "x402_payment", ["state", "claimed_s"])
    op.create_index("ix_x402_payment_origin_key", "x402_payment", ["origin_key"])


def downgrade() -> None:
    """Payments that bought their call are forgotten; their calls and receipts stay."""
    keep_nothing_owed(
        "x402_payment",
        "x402 payments that bought nothing yet: let them be used, or refund them",
        "state IN ('sent', 'settled') AND NOT EXISTS (SELECT 1 FROM entry"
        " WHERE entry.origin_key = x402_payment.origin_key AND entry.state = 'posted')",
    )
    op.drop_table("x402_payment")
