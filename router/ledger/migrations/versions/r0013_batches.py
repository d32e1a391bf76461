"""Batches as the chain settled them, and the bridge's report.

Revision ID: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.ledger.migrations.tools import big, key_number, maybe_big, octets, words

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """They begin empty: the bridge adds what it has of earlier batches when it starts."""
    op.create_table(
        "settled_batch",
        key_number("number"),
        *big("entry_number"),
        *words("tx_hash"),
        *big("log_index", "block_number"),
        *maybe_big("block_time_s", "gas_used"),
        *big("size", "accounts"),
        sa.Column("verifier", sa.String(), nullable=True),
        *octets("old_root", "new_root", "receipts_root"),
        *big("receipts_total_base"),
        *octets("public_inputs"),
        *big("burned_base", "rewarded_base"),
        *big("settled_total_base", "burned_total_base", "rewarded_total_base"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_settled_batch_entry_number", "settled_batch", ["entry_number"], unique=True)
    op.create_index("ix_settled_batch_tx_hash", "settled_batch", ["tx_hash"])
    missing = sa.text("gas_used IS NULL")
    op.create_index(
        "settled_batch_unpriced", "settled_batch", ["number"], sqlite_where=missing, postgresql_where=missing
    )
    op.create_table(
        "settled_slot",
        key_number("batch_number"),
        key_number("account_idx"),
        *big("charge_base", "reward_base", "deposit_base", "withdraw_base"),
        sa.Column("drain", sa.Boolean(), nullable=False),
        sa.Column("key_commit", sa.LargeBinary(), nullable=True),
        *big("spent_base", "balance_base"),
        sa.ForeignKeyConstraint(["batch_number"], ["settled_batch.number"]),
        sa.PrimaryKeyConstraint("batch_number", "account_idx"),
    )
    op.create_index("settled_slot_of_account", "settled_slot", ["account_idx", "batch_number"])
    op.create_index("settled_slot_by_total", "settled_slot", ["account_idx", "spent_base", "batch_number"])
    op.create_table(
        "settled_partner",
        key_number("batch_number"),
        key_number("partner_id"),
        *big("gross_base", "gross_total_base"),
        sa.ForeignKeyConstraint(["batch_number"], ["settled_batch.number"]),
        sa.PrimaryKeyConstraint("batch_number", "partner_id"),
    )
    op.create_index("settled_partner_batches", "settled_partner", ["partner_id", "batch_number"])
    op.create_table(
        "bridge_report",
        key_number("id"),
        *big("written_s"),
        *words("document"),
        sa.CheckConstraint("id = 1", name="bridge_report_is_one"),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """The chain has it all."""
    for table in ("bridge_report", "settled_partner", "settled_slot", "settled_batch"):
        op.drop_table(table)
