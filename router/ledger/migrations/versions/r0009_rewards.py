"""Rewards: epochs, scores of calls, refunds and referrals, and what was counted, vested and paid by account.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.db import Guard
from router.ledger.migrations.tools import (
    big,
    guard,
    keep_nothing_owed,
    key_number,
    maybe_big,
    row_number,
    unguard,
    words,
)

revision = "0009"
down_revision = "0008"

GUARDS = (
    Guard(
        "reward_vests_once", "reward", "UPDATE", "OLD.vested_base IS NOT NULL", "a vested reward is immutable"
    ),
    Guard("reward_is_kept", "reward", "DELETE", "1 = 1", "rewards are never deleted"),
    Guard("refund_is_immutable", "refund", "UPDATE", "1 = 1", "refunds are immutable"),
    Guard("refund_is_kept", "refund", "DELETE", "1 = 1", "refunds are never deleted"),
    Guard("referral_is_immutable", "referral", "UPDATE", "1 = 1", "a referrer is named once"),
    Guard("referral_is_kept", "referral", "DELETE", "1 = 1", "a referrer is named once"),
)
_SUMS = ("counted_base", "vested_base", "rewarded_base")


def upgrade() -> None:
    """No batch of this bridge has paid a reward before: 0."""
    for name in _SUMS:
        op.add_column("account", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    paid = sa.Column("rewarded_base", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("account_change", paid)
    op.create_table(
        "reward_epoch",
        key_number("number"),
        *big("ended_s"),
        *maybe_big("shared_s"),
        *big("pool_base"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "reward",
        key_number("epoch"),
        key_number("account_idx"),
        *big("after_total_base", "upto_total_base", "fees_base", "earned_base"),
        *maybe_big("vested_base"),
        sa.CheckConstraint(
            "earned_base >= 0 AND vested_base >= 0 AND vested_base <= earned_base", name="reward_amounts"
        ),
        sa.ForeignKeyConstraint(["epoch"], ["reward_epoch.number"]),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("epoch", "account_idx"),
    )
    op.create_index("ix_reward_account_idx", "reward", ["account_idx"])
    op.create_table(
        "call_score",
        row_number("entry_number"),
        *big("score", "fingerprint"),
        sa.CheckConstraint("score >= 0 AND score <= 100", name="call_score_range"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("entry_number"),
    )
    _refunds_and_referrals()
    guard(GUARDS)


def downgrade() -> None:
    """Scores and epochs in which nobody earned anything are dropped.

    A refund that is forgotten could be recorded, and paid, again; and who has paid for a call cannot name a
    referrer any more.
    """
    keep_nothing_owed("reward", "rewards of accounts", "earned_base > 0")
    keep_nothing_owed("refund", "refunds")
    keep_nothing_owed("referral", "referrals")
    unguard(GUARDS)
    for table in ("referral", "refund", "call_score", "reward", "reward_epoch"):
        op.drop_table(table)
    op.drop_column("account_change", "rewarded_base")
    for name in _SUMS:
        op.drop_column("account", name)


def _refunds_and_referrals() -> None:
    op.create_table(
        "refund",
        *words("reference"),
        *big("entry_number", "amount_base", "refunded_s"),
        sa.CheckConstraint("amount_base > 0", name="refund_amount"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("reference"),
    )
    op.create_index("ix_refund_entry_number", "refund", ["entry_number"])
    op.create_table(
        "referral",
        key_number("account_idx"),
        *big("referrer_idx", "named_s"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.ForeignKeyConstraint(["referrer_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("account_idx"),
    )
