"""The operator's batches in the store: how far each got, and every transaction that was signed for it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from bridge.errors import BatchTaken
from bridge.sessions import Sessions
from bridge.tables import Attempt, AttemptRow, Batch, BatchRow, BatchStep


class Batches(Sessions):
    """Every step is taken once: repeated, or out of order, it changes nothing."""

    def open_batch(self) -> Batch | None:
        """The lowest batch that is not final, if there is one."""
        unfinished = self.unfinished()
        return unfinished[0] if unfinished else None

    def unfinished(self) -> list[Batch]:
        """The batches that are sealed and not final, in the order in which they settle."""
        rows = select(BatchRow).where(BatchRow.step != BatchStep.FINAL).order_by(BatchRow.number)
        with self._session() as session:
            return [row.to_batch() for row in session.scalars(rows)]

    def batches(self) -> list[Batch]:
        """Every batch, by number."""
        with self._session() as session:
            return [row.to_batch() for row in session.scalars(select(BatchRow).order_by(BatchRow.number))]

    def proved(self, limit: int) -> list[Batch]:
        """The newest batches that have a proof, newest first."""
        newest = select(BatchRow).where(BatchRow.prove_ms.is_not(None)).order_by(BatchRow.number.desc())
        with self._session() as session:
            return [row.to_batch() for row in session.scalars(newest.limit(limit))]

    def batch(self, number: int) -> Batch:
        """One batch by its number. Raises NoResultFound."""
        with self._session() as session:
            return session.get_one(BatchRow, number).to_batch()

    def find_batch(self, number: int) -> Batch | None:
        """One batch by its number, None if there is none."""
        with self._session() as session:
            row = session.get(BatchRow, number)
            return None if row is None else row.to_batch()

    def last_final(self) -> Batch | None:
        """The newest batch that the chain has, None before the first."""
        newest = select(BatchRow).where(BatchRow.step == BatchStep.FINAL).order_by(BatchRow.number.desc())
        with self._session() as session:
            row = session.scalar(newest.limit(1))
            return None if row is None else row.to_batch()

    def seal(self, batch: Batch) -> None:
        """Fixes a batch's content. Raises BatchTaken: a number is sealed once."""
        row = BatchRow(
            number=batch.number,
            step=BatchStep.SEALED,
            size=batch.size,
            header=_header(batch),
            words=json.dumps(batch.words),
            partner_words=json.dumps(batch.partner_words),
            witness=json.dumps(batch.witness),
            sealed_at=int(time.time()),
        )
        try:
            with self._session() as session:
                session.add(row)
        except IntegrityError as error:
            raise BatchTaken(batch.number) from error

    def store_proof(self, batch: Batch, proof: Sequence[int], witness_ms: int, prove_ms: int) -> None:
        """Keeps a sealed batch's proof; one that is there already stays.

        A batch that was discarded while it was proved, and its number sealed anew, does not get this proof.
        """
        same = (BatchRow.number == batch.number, BatchRow.header == _header(batch))
        with self._session() as session:
            session.execute(
                update(BatchRow)
                .where(*same, BatchRow.step == BatchStep.SEALED)
                .values(
                    step=BatchStep.PROVED,
                    proof=json.dumps(list(proof)),
                    witness_ms=witness_ms,
                    prove_ms=prove_ms,
                )
            )

    def add_attempt(self, number: int, attempt: Attempt) -> None:
        """Keeps one more signed transaction of a proved batch before it is sent; a known one stays."""
        ready = (BatchStep.PROVED, BatchStep.SUBMITTED)
        row = AttemptRow(
            batch_number=number,
            tx_hash=attempt.tx_hash,
            raw_tx=attempt.raw_tx,
            nonce=attempt.nonce,
            max_fee_wei=attempt.fees.max_fee_wei,
            tip_wei=attempt.fees.tip_wei,
            signed_at=attempt.signed_at,
        )
        with self._session() as session:
            batch = session.get_one(BatchRow, number, with_for_update=True)
            known = select(AttemptRow.id).where(AttemptRow.tx_hash == attempt.tx_hash)
            if batch.step in ready and session.scalar(known) is None:
                session.add(row)
                batch.step, batch.tx_hash = BatchStep.SUBMITTED, attempt.tx_hash

    def attempts(self, number: int) -> list[Attempt]:
        """The transactions that were signed for a batch, oldest first."""
        return self._attempts(AttemptRow.batch_number == number)

    def attempts_from(self, nonce: int) -> list[Attempt]:
        """Every signed transaction with this nonce or a later one, whatever became of its batch."""
        return self._attempts(AttemptRow.nonce >= nonce)

    def mark_reverted(self, tx_hash: str) -> None:
        """Notes that a transaction was mined and changed nothing."""
        with self._session() as session:
            session.execute(update(AttemptRow).where(AttemptRow.tx_hash == tx_hash).values(reverted=True))

    def unsubmit(self, number: int) -> None:
        """Goes back to the proof when none of the signed transactions can settle the batch any more."""
        self._advance(number, BatchStep.SUBMITTED, step=BatchStep.PROVED, tx_hash=None)

    def finish(self, number: int, tx_hash: str, block_number: int, gas_used: int) -> None:
        """Notes that the chain has the batch, by whichever transaction."""
        with self._session() as session:
            session.execute(
                update(BatchRow)
                .where(BatchRow.number == number)
                .values(
                    step=BatchStep.FINAL,
                    tx_hash=tx_hash,
                    block_number=block_number,
                    gas_used=gas_used,
                    witness="{}",
                )
            )

    def final_after(self, block_number: int) -> list[int]:
        """Numbers of the batches that are final by a block behind this one."""
        behind = (BatchRow.step == BatchStep.FINAL, BatchRow.block_number > block_number)
        with self._session() as session:
            return list(session.scalars(select(BatchRow.number).where(*behind).order_by(BatchRow.number)))

    def reopen(self, number: int) -> None:
        """Takes a batch back that was final until the chain dropped its block: it is to be sent again."""
        with self._session() as session:
            row = session.get_one(BatchRow, number, with_for_update=True)
            if row.step != BatchStep.FINAL:
                return
            newest = (
                select(AttemptRow).where(AttemptRow.batch_number == number).order_by(AttemptRow.id.desc())
            )
            attempt = session.scalar(newest.limit(1))
            row.step = BatchStep.PROVED if attempt is None else BatchStep.SUBMITTED
            row.tx_hash = None if attempt is None else attempt.tx_hash
            row.block_number = row.gas_used = None

    def discard_from(self, number: int) -> list[int]:
        """Drops a batch that has no place on the chain, and all that build on it; returns their numbers.

        Their charges are collected again. Their transactions are kept: each may still hold a nonce.
        """
        with self._session() as session:
            dropped = (BatchRow.number >= number, BatchRow.step != BatchStep.FINAL)
            numbers = list(session.scalars(select(BatchRow.number).where(*dropped).order_by(BatchRow.number)))
            session.execute(
                update(AttemptRow).where(AttemptRow.batch_number.in_(numbers)).values(batch_number=None)
            )
            session.execute(delete(BatchRow).where(*dropped))
            return numbers

    def _attempts(self, condition: Any) -> list[Attempt]:
        with self._session() as session:
            rows = session.scalars(select(AttemptRow).where(condition).order_by(AttemptRow.id))
            return [row.to_attempt() for row in rows]

    def _advance(self, number: int, expected: BatchStep, **values: Any) -> None:
        with self._session() as session:
            session.execute(
                update(BatchRow).where(BatchRow.number == number, BatchRow.step == expected).values(**values)
            )


def _header(batch: Batch) -> str:
    return json.dumps(asdict(batch.header))
