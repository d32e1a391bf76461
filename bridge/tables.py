"""Rows of the bridge's store, and a batch as the steps see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bridge.state import BatchHeader, ChainEvent


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
    chain_id: Mapped[int]
    indexed_block: Mapped[int]
    indexed_hash: Mapped[str]
    start_block: Mapped[int]
    start_hash: Mapped[str]
    rewinds: Mapped[int] = mapped_column(default=0)


class EventRow(Table):
    """One log, in chain order; `mirrored` once the ledger has it."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("tx_hash", "log_index"),
        Index("event_unmirrored", "mirrored", "position"),
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    tx_hash: Mapped[str]
    log_index: Mapped[int]
    block_number: Mapped[int]
    block_hash: Mapped[str]
    name: Mapped[str]
    args: Mapped[str]
    seen_at: Mapped[int]
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
    raw_tx: the signed transaction, stored before it is sent.
    """

    __tablename__ = "batch"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[str] = mapped_column(index=True)
    size: Mapped[int]
    header: Mapped[str]
    words: Mapped[str]
    partner_words: Mapped[str]
    witness: Mapped[str]
    sealed_at: Mapped[int]
    proof: Mapped[str | None] = mapped_column(default=None)
    witness_ms: Mapped[int | None] = mapped_column(default=None)
    prove_ms: Mapped[int | None] = mapped_column(default=None)
    raw_tx: Mapped[str | None] = mapped_column(default=None)
    tx_hash: Mapped[str | None] = mapped_column(default=None)
    nonce: Mapped[int | None] = mapped_column(default=None)
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
            raw_tx=self.raw_tx,
            tx_hash=self.tx_hash,
            nonce=self.nonce,
            block_number=self.block_number,
            gas_used=self.gas_used,
        )


@dataclass(frozen=True)
class Batch:
    """A batch as stored: fields of later steps are empty until the step is done.

    words: two per slot, padded to `size` slots. partner_words: partner id << 64 | gross. proof: 8 words.
    witness_ms, prove_ms: milliseconds. gas_used: gas of the settling transaction.
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
    raw_tx: str | None = None
    tx_hash: str | None = None
    nonce: int | None = None
    block_number: int | None = None
    gas_used: int | None = None

    @property
    def accounts(self) -> int:
        """Used slots."""
        return sum(word != 0 for word in self.words[::2])
