"""The first release: accounts, keys, entries, calls and their receipts.

Revision ID: 0001
Source: the tables and triggers of the release that had no migrations.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from router.db import Guard
from router.ledger.migrations.tools import (
    big,
    guard,
    key_number,
    maybe_big,
    octets,
    row_number,
    unguard,
    words,
)

revision = "0001"
down_revision = None

_TABLES = ("answer", "call", "posting", "account_change", "entry", "share", "ceiling", "api_key", "account")
_PENDING = sa.text("state = 'pending'")

_LEGS_OF_ENTRY = "FROM posting WHERE posting.entry_number = NEW.number"

GUARDS = (
    Guard(
        "entry_opens_pending",
        "entry",
        "INSERT",
        "NEW.state <> 'pending' OR EXISTS (SELECT 1 FROM entry WHERE entry.id = NEW.id)"
        " OR EXISTS (SELECT 1 FROM entry WHERE entry.number = NEW.number)",
        "an entry opens as pending, once",
    ),
    Guard(
        "entry_closes_once",
        "entry",
        "UPDATE",
        "OLD.state <> 'pending'",
        "a closed entry is immutable",
    ),
    Guard(
        "entry_keeps_identity",
        "entry",
        "UPDATE",
        "NEW.number <> OLD.number OR NEW.id <> OLD.id OR NEW.kind <> OLD.kind"
        " OR NEW.quote_base <> OLD.quote_base OR NEW.body_hash <> OLD.body_hash"
        " OR coalesce(NEW.account_idx, 0) <> coalesce(OLD.account_idx, 0)",
        "only state and lease of an entry change",
    ),
    Guard(
        "entry_balances",
        "entry",
        "UPDATE",
        f"NEW.state = 'posted' AND (SELECT coalesce(sum(amount_base), 0) {_LEGS_OF_ENTRY}) <> 0",
        "the postings of an entry do not sum to zero",
    ),
    Guard(
        "entry_unposted_is_empty",
        "entry",
        "UPDATE",
        f"NEW.state IN ('voided', 'expired') AND EXISTS (SELECT 1 {_LEGS_OF_ENTRY})",
        "an entry with postings can only be posted",
    ),
    Guard("entry_is_kept", "entry", "DELETE", "1 = 1", "entries are never deleted"),
    Guard(
        "posting_needs_pending_entry",
        "posting",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM entry WHERE entry.number = NEW.entry_number AND entry.state = 'pending')",
        "postings belong to a pending entry",
    ),
    Guard("posting_is_immutable", "posting", "UPDATE", "1 = 1", "postings are immutable"),
    Guard("posting_is_kept", "posting", "DELETE", "1 = 1", "postings are never deleted"),
    Guard("change_is_immutable", "account_change", "UPDATE", "1 = 1", "account changes are immutable"),
    Guard("change_is_kept", "account_change", "DELETE", "1 = 1", "account changes are never deleted"),
    Guard("call_is_immutable", "call", "UPDATE", "1 = 1", "calls and their receipts are immutable"),
    Guard("call_is_kept", "call", "DELETE", "1 = 1", "calls and their receipts are never deleted"),
)


def upgrade() -> None:
    _accounts()
    _keys()
    _entries()
    _calls()
    guard(GUARDS)


def downgrade() -> None:
    unguard(GUARDS)
    for table in _TABLES:
        op.drop_table(table)


def _accounts() -> None:
    op.create_table(
        "account",
        key_number("idx"),
        sa.Column("owner", sa.String(42), nullable=False),
        *words("status"),
        sa.Column("key_commit", sa.LargeBinary(), nullable=True),
        sa.Column("requested_key_commit", sa.LargeBinary(), nullable=True),
        *big("balance_base", "deficit_base", "reserved_base", "pending_deposit_base", "cancelling_base"),
        *big("withdraw_requested_base", "ceiling_base", "spent_base", "settled_spent_base"),
        *big("written_off_base", "sequence"),
        *octets("last_receipt"),
        sa.CheckConstraint("reserved_base >= 0", name="account_reserved"),
        sa.CheckConstraint("balance_base >= reserved_base", name="account_never_negative"),
        sa.CheckConstraint("withdraw_requested_base >= 0", name="account_withdraw_requested"),
        sa.CheckConstraint("ceiling_base >= 0", name="account_ceiling"),
        sa.CheckConstraint("deficit_base >= 0", name="account_deficit"),
        sa.CheckConstraint(
            "cancelling_base >= 0 AND cancelling_base <= pending_deposit_base", name="account_cancelling"
        ),
        sa.CheckConstraint(
            "settled_spent_base >= 0 AND written_off_base >= 0"
            " AND settled_spent_base + written_off_base <= spent_base",
            name="account_settled",
        ),
        sa.PrimaryKeyConstraint("idx"),
    )
    op.create_table(
        "share",
        *words("code"),
        sa.Column("bps", sa.Integer(), nullable=False),
        *big("gross_base", "checkpoint_gross_base", "accrued_base", "sequence"),
        sa.CheckConstraint("bps >= 0 AND bps <= 10000", name="share_bps"),
        sa.PrimaryKeyConstraint("code"),
    )


def _keys() -> None:
    op.create_table(
        "api_key",
        sa.Column("key_hash", sa.String(64), nullable=False),
        *big("account_idx"),
        *words("label"),
        *big("created_s"),
        *maybe_big("revoked_s"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("key_hash"),
    )
    op.create_index("ix_api_key_account_idx", "api_key", ["account_idx"])
    op.create_table(
        "ceiling",
        key_number("account_idx"),
        *octets("key_commit"),
        *big("ceiling_base"),
        *words("signed"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("account_idx", "key_commit"),
    )


def _entries() -> None:
    op.create_table(
        "entry",
        row_number("number", counted=True),
        sa.Column("id", sa.String(64), nullable=False),
        *words("kind", "state"),
        *maybe_big("account_idx"),
        sa.Column("origin_key", sa.String(64), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        *octets("body_hash"),
        *big("quote_base"),
        *maybe_big("lease_until_s"),
        *big("opened_s"),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'posted', 'voided', 'expired')", name="entry_state"),
        sa.CheckConstraint("quote_base >= 0", name="entry_quote"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("entry_id", "entry", ["id"], unique=True)
    op.create_index("entry_origin", "entry", ["origin_key", "attempt"], unique=True)
    op.create_index(
        "entry_lease", "entry", ["lease_until_s"], sqlite_where=_PENDING, postgresql_where=_PENDING
    )
    op.create_table(
        "posting",
        row_number("entry_number"),
        key_number("leg"),
        *words("account"),
        *big("amount_base"),
        sa.CheckConstraint("amount_base <> 0", name="posting_amount"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("entry_number", "leg"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "account_change",
        row_number("entry_number"),
        key_number("account_idx"),
        *big("pending_base", "settled_base", "written_off_base"),
        *words("before"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("entry_number", "account_idx"),
    )


def _calls() -> None:
    op.create_table(
        "call",
        row_number("entry_number"),
        *big("account_idx", "partner_id"),
        *words("provider", "model"),
        *big("prompt_tokens", "completion_tokens"),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        *big("prompt_price_base_per_mtok", "completion_price_base_per_mtok", "vibes_per_usd"),
        *big("charge_base", "lost_base", "time_s"),
        *octets("prompt_salt", "prompt_hash"),
        *maybe_big("account_sequence", "partner_sequence", "account_total_base", "partner_total_base"),
        sa.Column("previous_receipt", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("charge_base >= 0 AND lost_base >= 0", name="call_amounts"),
        sa.CheckConstraint("(charge_base = 0) = (signature IS NULL)", name="call_receipt"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("entry_number"),
    )
    op.create_index("call_account_sequence", "call", ["account_idx", "account_sequence"], unique=True)
    op.create_index("call_account_total", "call", ["account_idx", "account_total_base"], unique=True)
    op.create_index("call_partner_sequence", "call", ["partner_id", "partner_sequence"], unique=True)
    op.create_table(
        "answer",
        row_number("entry_number"),
        sa.Column("status", sa.Integer(), nullable=False),
        *words("content_type"),
        *octets("body"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("entry_number"),
    )
