"""Calls by kind of token, with tries, budgets and the provider's bill; tiers and promotional credit.

Revision ID: 0003
"""

from __future__ import annotations

from dataclasses import replace

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
from router.ledger.migrations.versions.r0001_first_release import GUARDS as OLD_GUARDS

revision = "0003"
down_revision = "0002"

_COUNTS = (
    *("cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_prompt_tokens"),
    *("audio_completion_tokens", "wholesale_base"),
)
_WITH_ORIGIN = sa.text("origin_key IS NOT NULL")
_IDENTITY = next(one for one in OLD_GUARDS if one.name == "entry_keeps_identity")

GUARDS = (
    *(one for one in OLD_GUARDS if one is not _IDENTITY),
    replace(
        _IDENTITY,
        refuse=_IDENTITY.refuse + " OR coalesce(NEW.user_idx, 0) <> coalesce(OLD.user_idx, 0)"
        " OR coalesce(NEW.key_id, '') <> coalesce(OLD.key_id, '')",
    ),
    Guard("attempt_is_immutable", "attempt", "UPDATE", "1 = 1", "attempts are immutable"),
    Guard("attempt_is_kept", "attempt", "DELETE", "1 = 1", "attempts are never deleted"),
    Guard("use_is_immutable", "budget_use", "UPDATE", "1 = 1", "uses of a budget are immutable"),
    Guard("use_is_kept", "budget_use", "DELETE", "1 = 1", "uses of a budget are never deleted"),
)


def upgrade() -> None:
    """A call of before has no provider's bill on record: 0."""
    unguard(OLD_GUARDS)
    op.add_column("entry", sa.Column("key_id", sa.String(), nullable=True))
    op.add_column("entry", *maybe_big("user_idx"))
    op.drop_index("entry_origin", "entry")
    op.create_index(
        *("entry_origin", "entry", ["origin_key", "attempt"]),
        unique=True,
        sqlite_where=_WITH_ORIGIN,
        postgresql_where=_WITH_ORIGIN,
    )
    op.add_column("call", sa.Column("deployment", sa.String(), nullable=False, server_default=""))
    for name in _COUNTS:
        op.add_column("call", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE call SET deployment = provider || '/' || model")
    _tries_and_budgets()
    _offers()
    op.create_table("probe", key_number("id"), *big("written_s"), sa.PrimaryKeyConstraint("id"))
    guard(GUARDS)


def downgrade() -> None:
    """Tries, budgets and kinds of tokens are dropped; charges, receipts and totals stay."""
    keep_nothing_owed(
        "promo_grant",
        "grants of promotional credit that are not spent",
        "(SELECT sum(amount_base) FROM promo_grant g WHERE g.account_idx = promo_grant.account_idx) >"
        " coalesce((SELECT spent_base FROM budget WHERE code = 'promo:' || promo_grant.account_idx), 0)",
    )
    unguard(GUARDS)
    for table in ("probe", "promo_grant", "account_tier", "budget_use", "budget", "attempt"):
        op.drop_table(table)
    for name in ("deployment", *_COUNTS):
        op.drop_column("call", name)
    op.drop_index("entry_origin", "entry")
    op.create_index("entry_origin", "entry", ["origin_key", "attempt"], unique=True)
    for name in ("user_idx", "key_id"):
        op.drop_column("entry", name)
    guard(OLD_GUARDS)


def _tries_and_budgets() -> None:
    op.create_table(
        "budget",
        *words("code"),
        *big("reserved_base", "spent_base"),
        sa.CheckConstraint("reserved_base >= 0 AND spent_base >= 0", name="budget_sums"),
        sa.PrimaryKeyConstraint("code"),
    )
    op.create_table(
        "budget_use",
        row_number("entry_number"),
        *words("code"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.ForeignKeyConstraint(["code"], ["budget.code"]),
        sa.PrimaryKeyConstraint("entry_number", "code"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempt",
        row_number("entry_number"),
        key_number("position"),
        *words("deployment", "outcome"),
        *big("ms", "cost_base"),
        sa.CheckConstraint("cost_base >= 0", name="attempt_cost"),
        sa.ForeignKeyConstraint(["entry_number"], ["entry.number"]),
        sa.PrimaryKeyConstraint("entry_number", "position"),
        sqlite_with_rowid=False,
    )


def _offers() -> None:
    op.create_table(
        "account_tier",
        key_number("account_idx"),
        *words("tier"),
        *big("margin_base", "computed_s"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("account_idx"),
    )
    op.create_table(
        "promo_grant",
        *words("reference"),
        *big("account_idx", "sponsor_idx", "amount_base", "granted_s"),
        sa.CheckConstraint("amount_base > 0", name="promo_grant_amount"),
        sa.ForeignKeyConstraint(["account_idx"], ["account.idx"]),
        sa.ForeignKeyConstraint(["sponsor_idx"], ["account.idx"]),
        sa.PrimaryKeyConstraint("reference"),
    )
    op.create_index("ix_promo_grant_account_idx", "promo_grant", ["account_idx"])
