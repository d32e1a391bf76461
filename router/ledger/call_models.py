"""The tables of calls: usage and receipt, kept answer, tries, and the budgets that calls count against.

Rows of `call`, `attempt` and `budget_use` are history and never change; `budget` holds running sums of it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, text
from sqlmodel import Field

from router.db import LedgerTable
from router.ledger.models import entry_number_column, table_of


class Call(LedgerTable, table=True):
    """Usage of one call, and its receipt if it was charged (the receipt columns are null otherwise)."""

    __table_args__ = (
        CheckConstraint("charge_base >= 0 AND lost_base >= 0", name="call_amounts"),
        CheckConstraint("(charge_base = 0) = (signature IS NULL)", name="call_receipt"),
        Index("call_account_sequence", "account_idx", "account_sequence", unique=True),
        Index("call_account_total", "account_idx", "account_total_base", unique=True),
        Index("call_account_time", "account_idx", "time_s", "entry_number"),
        Index("call_time", "time_s"),
        Index("call_partner_sequence", "partner_id", "partner_sequence", unique=True),
    )

    entry_number: int = Field(sa_column=entry_number_column())
    account_idx: int = Field(sa_type=BigInteger)
    partner_id: int = Field(sa_type=BigInteger)
    provider: str
    deployment: str
    model: str
    prompt_tokens: int = Field(sa_type=BigInteger)  # in all; cached, cache_write and audio are parts of them
    completion_tokens: int = Field(sa_type=BigInteger)  # in all; reasoning and audio are parts of them
    cached_tokens: int = Field(default=0, sa_type=BigInteger)
    cache_write_tokens: int = Field(default=0, sa_type=BigInteger)
    reasoning_tokens: int = Field(default=0, sa_type=BigInteger)
    audio_prompt_tokens: int = Field(default=0, sa_type=BigInteger)
    audio_completion_tokens: int = Field(default=0, sa_type=BigInteger)
    estimated: bool  # tokens counted by the router, because the provider reported none
    prompt_price_base_per_mtok: int = Field(sa_type=BigInteger)
    completion_price_base_per_mtok: int = Field(sa_type=BigInteger)
    vibes_per_usd: int = Field(sa_type=BigInteger)
    charge_base: int = Field(sa_type=BigInteger)
    lost_base: int = Field(sa_type=BigInteger)  # used but not charged: the operator's loss
    wholesale_base: int = Field(default=0, sa_type=BigInteger)  # what the provider bills for it
    retail_base: int = Field(default=0, sa_type=BigInteger)  # before the tier's rate; 0 of calls of before
    tier: str = ""  # whose price it was; empty of calls of before
    time_s: int = Field(sa_type=BigInteger)
    prompt_salt: bytes = Field(sa_type=LargeBinary)
    prompt_hash: bytes = Field(sa_type=LargeBinary)
    account_sequence: int | None = Field(sa_type=BigInteger)
    partner_sequence: int | None = Field(sa_type=BigInteger)
    account_total_base: int | None = Field(sa_type=BigInteger)
    partner_total_base: int | None = Field(sa_type=BigInteger)
    previous_receipt: bytes | None = Field(sa_type=LargeBinary)
    signature: bytes | None = Field(sa_type=LargeBinary)


class Answer(LedgerTable, table=True):
    """The answer to a call that came with an idempotency key, for replays. It may be erased."""

    entry_number: int = Field(sa_column=entry_number_column())
    status: int
    content_type: str
    body: bytes = Field(sa_type=LargeBinary)


class Budget(LedgerTable, table=True):
    """Running sums of one spending limit's period; the limit itself comes with each reservation.

    `code` names owner and period, e.g. `key:{id}:day:2026-11-21`. Spent = charges of the calls that used it.
    """

    __table_args__ = (CheckConstraint("reserved_base >= 0 AND spent_base >= 0", name="budget_sums"),)

    code: str = Field(primary_key=True)
    reserved_base: int = Field(sa_type=BigInteger)
    spent_base: int = Field(sa_type=BigInteger)


class BudgetUse(LedgerTable, table=True):
    """A call counts against a budget: its quote while it is pending, then its charge."""

    __tablename__ = "budget_use"
    __table_args__ = ({"sqlite_with_rowid": False},)

    entry_number: int = Field(sa_column=entry_number_column())
    code: str = Field(primary_key=True, foreign_key="budget.code")


class Attempt(LedgerTable, table=True):
    """One try of a call at a deployment; `cost_base` is what the operator may owe its provider for it."""

    __table_args__ = (
        CheckConstraint("cost_base >= 0", name="attempt_cost"),
        Index(
            "attempt_billed",
            "entry_number",
            sqlite_where=text("cost_base > 0"),
            postgresql_where=text("cost_base > 0"),
        ),
        {"sqlite_with_rowid": False},
    )

    entry_number: int = Field(sa_column=entry_number_column())
    position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    deployment: str
    outcome: str
    ms: int = Field(sa_type=BigInteger)
    cost_base: int = Field(sa_type=BigInteger)


CALL: Final = table_of(Call)
ANSWER: Final = table_of(Answer)
BUDGET: Final = table_of(Budget)
BUDGET_USE: Final = table_of(BudgetUse)
ATTEMPT: Final = table_of(Attempt)
