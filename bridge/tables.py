"""Rows of the bridge's store, and a batch as the steps see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bridge.rollup.batch import decode_slot
from bridge.state import BatchHeader, ChainEvent
from mini_llm.wallet.gas import Fees


class BatchStep(StrEnum):
    """How far a batch got: SEALED fixes its content, SUBMITTED its transaction bytes, FINAL is on chain."""

    SEALED = "sealed"
    PROVED = "proved"
    SUBMITTED = "submitted"
    FINAL = "final"


class Table(DeclarativeBase):
    """Own metadata, apart from the ledger's, so that neither store creates the other's tables."""


class Deployment(Table):
    """The one contract that this store is about, and how far its chain was read.

    start_block, start_hash: the block before the first one to read. rewinds: how often blocks that had been
    read were dropped by the chain.
    """

    __tablename__ = "deployment"
    settlement: Mapped[str] = mapped_column(primary_key=True)
    chain_id: Mapped[int] = mapped_column(BigInteger)
    indexed_block: Mapped[int] = mapped_column(BigInteger)
    indexed_hash: Mapped[str]
    start_block: Mapped[int] = mapped_column(BigInteger)
    start_hash: Mapped[str]
    rewinds: Mapped[int] = mapped_column(default=0)


class EventRow(Table):
    """One log, in chain order; `mirrored` once the ledger has it."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("tx_hash", "log_index"),
        Index("event_unmirrored", "mirrored", "position"),
        Index("event_name", "name", "position"),
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    tx_hash: Mapped[str]
    log_index: Mapped[int]
    block_number: Mapped[int] = mapped_column(BigInteger)
    block_hash: Mapped[str]
    name: Mapped[str]
    args: Mapped[str]
    seen_at: Mapped[int] = mapped_column(BigInteger)
    mirrored: Mapped[bool] = mapped_column(default=False)

    def to_event(self) -> ChainEvent:
        return ChainEvent(
            self.name,
            json.loads(self.args),
            self.block_number,
            self.block_hash,
            self.tx_hash,
            self.log_index,
            self.seen_at,
        )


class DroppedRow(Table):
    """An event whose block the chain dropped, until the ledger took it back."""

    __tablename__ = "dropped"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    reference: Mapped[str]


class BatchRow(Table):
    """A batch of this operator. JSON columns hold integers of any size.

    witness: the circuit's inputs, dropped once the batch is final.
    tx_hash: the newest attempt; once the batch is final, the transaction that settled it.
    """

    __tablename__ = "batch"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[str] = mapped_column(index=True)
    size: Mapped[int]
    header: Mapped[str]
    words: Mapped[str]
    partner_words: Mapped[str]
    witness: Mapped[str]
    sealed_at: Mapped[int] = mapped_column(BigInteger)
    proof: Mapped[str | None] = mapped_column(default=None)
    witness_ms: Mapped[int | None] = mapped_column(default=None)
    prove_ms: Mapped[int | None] = mapped_column(default=None)
    tx_hash: Mapped[str | None] = mapped_column(default=None)
    block_number: Mapped[int | None] = mapped_column(default=None)
    gas_used: Mapped[int | None] = mapped_column(default=None)

    def to_batch(self) -> Batch:
        return Batch(
            number=self.number,
            step=BatchStep(self.step),
            size=self.size,
            header=BatchHeader(**json.loads(self.header)),
            words=tuple(json.loads(self.words)),
            partner_words=tuple(json.loads(self.partner_words)),
            witness=json.loads(self.witness),
            proof=tuple(json.loads(self.proof)) if self.proof else (),
            witness_ms=self.witness_ms,
            prove_ms=self.prove_ms,
            tx_hash=self.tx_hash,
            block_number=self.block_number,
            gas_used=self.gas_used,
            sealed_at=self.sealed_at,
        )


class AttemptRow(Table):
    """One signed transaction for a batch, stored before it is sent.

    batch_number: None once the batch was discarded; the transaction may still hold its nonce.
    """

    __tablename__ = "attempt"
    id: Mapped[int] = mapped_column(primary_key=True)
    batch_number: Mapped[int | None] = mapped_column(index=True)
    tx_hash: Mapped[str] = mapped_column(unique=True)
    raw_tx: Mapped[str]
    nonce: Mapped[int] = mapped_column(BigInteger, index=True)
    max_fee_wei: Mapped[int] = mapped_column(BigInteger)
    tip_wei: Mapped[int | None] = mapped_column(BigInteger)
    signed_at: Mapped[int] = mapped_column(BigInteger)
    reverted: Mapped[bool] = mapped_column(default=False)

    def to_attempt(self) -> Attempt:
        return Attempt(
            self.tx_hash, self.raw_tx, self.nonce, Fees(self.max_fee_wei, self.tip_wei), self.signed_at,
            self.reverted,
        )  # fmt: skip


class AlertRow(Table):
    """Something that an operator has to know: open until `cleared_at` (unix seconds)."""

    __tablename__ = "alert"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(index=True)
    detail: Mapped[str]
    opened_at: Mapped[int] = mapped_column(BigInteger)
    cleared_at: Mapped[int | None] = mapped_column(default=None)

    def to_alert(self) -> Alert:
        return Alert(self.code, self.detail, self.opened_at, self.cleared_at)


class LeaderRow(Table):
    """Who settles, for people to read; what keeps others out is the lock in `bridge.leader`."""

    __tablename__ = "leader"
    id: Mapped[int] = mapped_column(primary_key=True)
    holder: Mapped[str]
    since: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True)
class Alert:
    """One alert event. opened_at, cleared_at: unix seconds; both the same for what happens in a moment."""

    code: str
    detail: str
    opened_at: int
    cleared_at: int | None


@dataclass(frozen=True)
class Attempt:
    """A signed transaction that settles a batch. signed_at: unix seconds. reverted: mined without effect."""

    tx_hash: str
    raw_tx: str
    nonce: int
    fees: Fees
    signed_at: int
    reverted: bool = False


@dataclass(frozen=True)
class Batch:
    """A batch as stored: fields of later steps are empty until the step is done.

    words: two per slot, padded to `size` slots. partner_words: partner id << 64 | gross. proof: 8 words.
    witness_ms, prove_ms: milliseconds. gas_used: gas of the settling transaction. sealed_at: unix seconds.
    """

    number: int
    step: BatchStep
    size: int
    header: BatchHeader
    words: tuple[int, ...]
    partner_words: tuple[int, ...]
    witness: Mapping[str, Any]
    proof: tuple[int, ...] = ()
    witness_ms: int | None = None
    prove_ms: int | None = None
    tx_hash: str | None = None
    block_number: int | None = None
    gas_used: int | None = None
    sealed_at: int = 0

    @property
    def indices(self) -> list[int]:
        """The accounts that it updates."""
        slots = zip(self.words[::2], self.words[1::2], strict=True)
        return [slot.idx for w0, w1 in slots if (slot := decode_slot(w0, w1)) is not None]

    @property
    def accounts(self) -> int:
        """Used slots."""
        return sum(word != 0 for word in self.words[::2])
