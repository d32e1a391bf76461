"""Tables of what the bridge knows and people look at: batches as the chain settled them, its own report.

They repeat the chain and can be made again from it: a reorganisation deletes rows. `settled` alone writes
them, for the bridge.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, text
from sqlmodel import Field

from router.db import LedgerTable
from router.ledger.models import table_of


def _batch_number_column() -> Column[int]:
    return Column(BigInteger, ForeignKey("settled_batch.number"), primary_key=True, autoincrement=False)


class SettledBatch(LedgerTable, table=True):
    """A batch that the chain has, by number; gas and block time may come later than the rest.

    The sums over this batch and all before it are in `settled_total_base`, `burned_total_base` and
    `rewarded_total_base`.
    """

    __tablename__ = "settled_batch"
    __table_args__ = (
        Index(
            "settled_batch_unpriced",
            "number",
            sqlite_where=text("gas_used IS NULL"),
            postgresql_where=text("gas_used IS NULL"),
        ),
    )

    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    entry_number: int = Field(sa_type=BigInteger, foreign_key="entry.number", unique=True, index=True)
    tx_hash: str = Field(index=True)
    log_index: int = Field(sa_type=BigInteger)
    block_number: int = Field(sa_type=BigInteger)
    block_time_s: int | None = Field(sa_type=BigInteger)
    gas_used: int | None = Field(sa_type=BigInteger)
    size: int = Field(sa_type=BigInteger)  # slots of the circuit
    accounts: int = Field(sa_type=BigInteger)  # slots that are used
    verifier: str | None
    old_root: bytes = Field(sa_type=LargeBinary)
    new_root: bytes = Field(sa_type=LargeBinary)
    receipts_root: bytes = Field(sa_type=LargeBinary)
    receipts_total_base: int = Field(sa_type=BigInteger)
    public_inputs: bytes = Field(sa_type=LargeBinary)  # C, r and y, 32 bytes each
    burned_base: int = Field(sa_type=BigInteger)
    rewarded_base: int = Field(sa_type=BigInteger)
    settled_total_base: int = Field(sa_type=BigInteger)
    burned_total_base: int = Field(sa_type=BigInteger)
    rewarded_total_base: int = Field(sa_type=BigInteger)


class SettledSlot(LedgerTable, table=True):
    """One account's update in a batch; `spent_base` and `balance_base` are what its leaf says after it."""

    __tablename__ = "settled_slot"
    __table_args__ = (
        Index("settled_slot_of_account", "account_idx", "batch_number"),
        Index("settled_slot_by_total", "account_idx", "spent_base", "batch_number"),
    )

    batch_number: int = Field(sa_column=_batch_number_column())
    account_idx: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    charge_base: int = Field(sa_type=BigInteger)
    reward_base: int = Field(sa_type=BigInteger)
    deposit_base: int = Field(sa_type=BigInteger)
    withdraw_base: int = Field(sa_type=BigInteger)
    drain: bool
    key_commit: bytes | None = Field(sa_type=LargeBinary)  # the new one, if there is one
    spent_base: int = Field(sa_type=BigInteger)
    balance_base: int = Field(sa_type=BigInteger)


class SettledPartner(LedgerTable, table=True):
    """A partner's part of a batch's charges; `gross_total_base` is the sum up to and with this batch."""

    __tablename__ = "settled_partner"
    __table_args__ = (Index("settled_partner_batches", "partner_id", "batch_number"),)

    batch_number: int = Field(sa_column=_batch_number_column())
    partner_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    gross_base: int = Field(sa_type=BigInteger)
    gross_total_base: int = Field(sa_type=BigInteger)


class BridgeReportRow(LedgerTable, table=True):
    """How the bridge last said that it was doing: one row, a JSON object."""

    __tablename__ = "bridge_report"
    __table_args__ = (CheckConstraint("id = 1", name="bridge_report_is_one"),)

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    written_s: int = Field(sa_type=BigInteger)
    document: str


SETTLED_BATCH: Final = table_of(SettledBatch)
SETTLED_SLOT: Final = table_of(SettledSlot)
SETTLED_PARTNER: Final = table_of(SettledPartner)
BRIDGE_REPORT: Final = table_of(BridgeReportRow)
