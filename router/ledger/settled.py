"""What the bridge writes for people to look at: each batch as the chain settled it, and its own report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Column, ColumnElement, Connection, Row, delete, func, insert, select, update

from router.ledger.batch_tables import BRIDGE_REPORT, SETTLED_BATCH, SETTLED_PARTNER, SETTLED_SLOT
from router.ledger.errors import LedgerMismatch
from router.ledger.models import ENTRY

_REPORT_ID: Final = 1
WORD_BYTES: Final = 32


class Slot(Protocol):
    """One account's update in a settled batch, amounts in base units (`bridge.rollup.batch.Slot` is one)."""

    @property
    def idx(self) -> int: ...
    @property
    def charge(self) -> int: ...
    @property
    def reward(self) -> int: ...
    @property
    def deposit(self) -> int: ...
    @property
    def withdraw(self) -> int: ...
    @property
    def drain(self) -> bool: ...
    @property
    def key_commit(self) -> int: ...


@dataclass(frozen=True)
class BatchFacts:
    """A batch as the chain settled it; amounts in base units.

    Args:
        number: batch number, from 1.
        slots: the account updates, without padding, by account.
        partners: (partner id, gross) of each partner word, each partner once.
        burned_base: tokens that the batch burned.
        size: slots of the circuit that proved it.
        verifier: address of the contract that verified the proof, None if it is not known.
        old_root, new_root: roots of the account tree.
        receipts_root: root of the receipts' Merkle-sum tree, 32 bytes as 0x hex.
        receipts_total_base: sum of its receipts.
        public_inputs: C, r and y, for which the proof was verified.
        tx_hash: of the chain tx, 0x hex.
        log_index: of its `BatchSettled` in the block.
        block_number: block that has it.
    """

    number: int
    slots: Sequence[Slot]
    partners: Sequence[tuple[int, int]]
    burned_base: int
    size: int
    verifier: str | None
    old_root: int
    new_root: int
    receipts_root: str
    receipts_total_base: int
    public_inputs: tuple[int, int, int]
    tx_hash: str
    log_index: int
    block_number: int


@dataclass(frozen=True)
class Unpriced:
    """A batch whose gas is not known yet, and where to ask for it."""

    number: int
    tx_hash: str
    block_number: int


def keep(connection: Connection, batch: BatchFacts, entry_id: str) -> None:
    """Keeps a batch of the entry that posted it; one that is kept already stays as it is.

    Args:
        connection: the transaction that posts the batch.
        batch: what is kept.
        entry_id: its entry, which has to be there.

    Raises:
        LedgerMismatch: the batch before it is not kept: the sums would be wrong.
    """
    if _row(connection, batch.number) is not None:
        return
    before = _row(connection, batch.number - 1)
    if before is None and batch.number != 1:
        raise LedgerMismatch("batches kept", batch.number - 1, kept(connection))
    values = _batch_values(batch, before) | {"entry_number": _entry_number(connection, entry_id)}
    connection.execute(insert(SETTLED_BATCH), values)
    slots = [_slot_values(connection, batch.number, slot) for slot in batch.slots]
    partners = [
        {
            "batch_number": batch.number,
            "partner_id": partner_id,
            "gross_base": gross_base,
            "gross_total_base": _gross_total_base(connection, partner_id) + gross_base,
        }
        for partner_id, gross_base in batch.partners
    ]
    for table, rows in ((SETTLED_SLOT, slots), (SETTLED_PARTNER, partners)):
        if rows:
            connection.execute(insert(table), rows)


def drop(connection: Connection, entry_number: int) -> None:
    """Forgets the batch that an entry posted, if it posted one: the chain dropped it."""
    mine = SETTLED_BATCH.c.entry_number == entry_number
    number: int | None = connection.execute(select(SETTLED_BATCH.c.number).where(mine)).scalar_one_or_none()
    if number is None:
        return
    for table in (SETTLED_SLOT, SETTLED_PARTNER):
        connection.execute(delete(table).where(table.c.batch_number == number))
    connection.execute(delete(SETTLED_BATCH).where(mine))


def kept(connection: Connection) -> int:
    """How many batches are kept, which is the number of the last one."""
    last: int | None = connection.execute(select(func.max(SETTLED_BATCH.c.number))).scalar_one()
    return last or 0


def unpriced(connection: Connection, limit: int) -> list[Unpriced]:
    """The first batches whose gas and time are not known yet."""
    table = SETTLED_BATCH.c
    query = select(table.number, table.tx_hash, table.block_number).where(table.gas_used.is_(None))
    rows = connection.execute(query.order_by(table.number).limit(limit))
    return [Unpriced(row.number, row.tx_hash, row.block_number) for row in rows]


def price(connection: Connection, batch: Unpriced, gas_used: int, block_time_s: int) -> None:
    """Adds what a batch's chain tx cost and when its block was made, unless it was dropped meanwhile.

    Args:
        connection: a writing transaction.
        batch: from `unpriced`.
        gas_used: of the chain tx.
        block_time_s: unix seconds of the block.
    """
    same = (SETTLED_BATCH.c.tx_hash == batch.tx_hash, SETTLED_BATCH.c.block_number == batch.block_number)
    connection.execute(
        update(SETTLED_BATCH)
        .where(SETTLED_BATCH.c.number == batch.number, *same)
        .values(gas_used=gas_used, block_time_s=block_time_s)
    )


def report(connection: Connection, document: Mapping[str, Any], now_s: int) -> None:
    """Writes how the bridge is doing, in place of what it said before.

    Args:
        connection: a writing transaction.
        document: a JSON object.
        now_s: unix seconds.
    """
    values = {"written_s": now_s, "document": json.dumps(document, sort_keys=True)}
    if not connection.execute(update(BRIDGE_REPORT).values(values)).rowcount:
        connection.execute(insert(BRIDGE_REPORT), {"id": _REPORT_ID} | values)


def _row(connection: Connection, number: int) -> Row[Any] | None:
    return connection.execute(select(SETTLED_BATCH).where(SETTLED_BATCH.c.number == number)).one_or_none()


def _entry_number(connection: Connection, entry_id: str) -> int:
    found: int = connection.execute(select(ENTRY.c.number).where(ENTRY.c.id == entry_id)).scalar_one()
    return found


def _batch_values(batch: BatchFacts, before: Row[Any] | None) -> dict[str, Any]:
    sums = {
        "settled_total_base": batch.receipts_total_base,
        "burned_total_base": batch.burned_base,
        "rewarded_total_base": sum(slot.reward for slot in batch.slots),
    }
    return {
        "number": batch.number,
        "tx_hash": batch.tx_hash,
        "log_index": batch.log_index,
        "block_number": batch.block_number,
        "block_time_s": None,
        "gas_used": None,
        "size": batch.size,
        "accounts": len(batch.slots),
        "verifier": batch.verifier,
        "old_root": _word(batch.old_root),
        "new_root": _word(batch.new_root),
        "receipts_root": bytes.fromhex(batch.receipts_root.removeprefix("0x")),
        "receipts_total_base": batch.receipts_total_base,
        "public_inputs": b"".join(_word(value) for value in batch.public_inputs),
        "burned_base": batch.burned_base,
        "rewarded_base": sums["rewarded_total_base"],
        **{name: value + (getattr(before, name) if before else 0) for name, value in sums.items()},
    }


def _slot_values(connection: Connection, batch_number: int, slot: Slot) -> dict[str, Any]:
    mine = SETTLED_SLOT.c.account_idx == slot.idx
    gained_base = slot.deposit + slot.reward - slot.charge - slot.withdraw
    return {
        "batch_number": batch_number,
        "account_idx": slot.idx,
        "charge_base": slot.charge,
        "reward_base": slot.reward,
        "deposit_base": slot.deposit,
        "withdraw_base": slot.withdraw,
        "drain": slot.drain,
        "key_commit": _word(slot.key_commit) if slot.key_commit else None,
        "spent_base": _last(connection, SETTLED_SLOT.c.spent_base, mine) + slot.charge,
        "balance_base": _last(connection, SETTLED_SLOT.c.balance_base, mine) + gained_base,
    }


def _gross_total_base(connection: Connection, partner_id: int) -> int:
    return _last(connection, SETTLED_PARTNER.c.gross_total_base, SETTLED_PARTNER.c.partner_id == partner_id)


def _last(connection: Connection, column: Column[int], mine: ColumnElement[bool]) -> int:
    """The column in the last batch with such a row, 0 if there is none."""
    query = select(column).where(mine).order_by(column.table.c.batch_number.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none() or 0


def _word(value: int) -> bytes:
    return value.to_bytes(WORD_BYTES, "big")
