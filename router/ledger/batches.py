"""Reading what the bridge told: batches as the chain settled them, and how the bridge is doing.

Pages go backwards: `before` is the number of the last batch already seen, None for the newest. Each look
is at an index, however many batches there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, bindparam, select

from router.ledger.batch_tables import BRIDGE_REPORT, SETTLED_BATCH, SETTLED_PARTNER, SETTLED_SLOT
from router.ledger.models import ACCOUNT, Status
from router.ledger.settled import WORD_BYTES


@dataclass(frozen=True)
class BatchView:
    """A batch that the chain has; amounts in base units.

    Args:
        number: batch number, from 1.
        tx_hash: of the chain tx, 0x hex.
        log_index: of its `BatchSettled` in the block.
        block_number: block that has it.
        block_time_s: unix seconds of the block, None until the bridge has asked for it.
        gas_used: of the chain tx, None until the bridge has asked for it.
        size: slots of the circuit that proved it.
        accounts: slots that are used.
        verifier: address of the contract that verified the proof, None if the bridge does not know.
        old_root: root of the account tree before it.
        new_root: root of the account tree after it.
        receipts_root: root of the receipts' Merkle-sum tree, 32 bytes as 0x hex.
        receipts_total_base: sum of its receipts, which is the sum of its charges.
        public_inputs: C, r and y, for which the proof was verified.
        burned_base: tokens that it burned.
        rewarded_base: rewards that it paid.
        settled_total_base: charges of all batches up to this one.
        burned_total_base: tokens that these burned.
        rewarded_total_base: rewards that these paid.
    """

    number: int
    tx_hash: str
    log_index: int
    block_number: int
    block_time_s: int | None
    gas_used: int | None
    size: int
    accounts: int
    verifier: str | None
    old_root: int
    new_root: int
    receipts_root: str
    receipts_total_base: int
    public_inputs: tuple[int, int, int]
    burned_base: int
    rewarded_base: int
    settled_total_base: int
    burned_total_base: int
    rewarded_total_base: int


@dataclass(frozen=True)
class SlotView:
    """One account's update in a batch; amounts in base units.

    Args:
        account_idx: the account.
        charge_base: paid for calls.
        reward_base: paid out of the reward pool.
        deposit_base: taken over from the contract's pending deposit.
        withdraw_base: set aside for the owner's wallet.
        drain: True if that emptied the account.
        key_commit: commitment of a new session key, None if it kept its key.
        spent_base: what the account's leaf has spent since ever, after this batch.
        balance_base: what is left in the leaf, after this batch.
    """

    account_idx: int
    charge_base: int
    reward_base: int
    deposit_base: int
    withdraw_base: int
    drain: bool
    key_commit: int | None
    spent_base: int
    balance_base: int

    @property
    def spent_before_base(self) -> int:
        """Its receipts in this batch are those with a total above this, and not above `spent_base`."""
        return self.spent_base - self.charge_base


@dataclass(frozen=True)
class PartnerView:
    """A partner's part of a batch's charges, base units; `gross_total_base` counts all batches up to it."""

    partner_id: int
    gross_base: int
    gross_total_base: int


@dataclass(frozen=True)
class BridgeReport:
    """How the bridge last said that it was doing: a JSON object, and when (unix seconds)."""

    written_s: int
    document: Mapping[str, Any]


_COLUMNS: Final = tuple(SETTLED_BATCH.c[name] for name in BatchView.__annotations__)
_SLOT_COLUMNS: Final = tuple(SETTLED_SLOT.c[name] for name in SlotView.__annotations__)
_PARTNER_COLUMNS: Final = tuple(SETTLED_PARTNER.c[name] for name in PartnerView.__annotations__)
_BATCHES: Final = select(*_COLUMNS)
_BATCH: Final = _BATCHES.where(SETTLED_BATCH.c.number == bindparam("number"))
_OF_TX: Final = _BATCHES.where(SETTLED_BATCH.c.tx_hash == bindparam("tx_hash"))
_SLOTS: Final = (
    select(*_SLOT_COLUMNS)
    .where(SETTLED_SLOT.c.batch_number == bindparam("number"))
    .order_by(SETTLED_SLOT.c.account_idx)
)
_PARTNERS: Final = (
    select(*_PARTNER_COLUMNS)
    .where(SETTLED_PARTNER.c.batch_number == bindparam("number"))
    .order_by(SETTLED_PARTNER.c.partner_id)
)
_OF_TOTAL: Final = (
    _BATCHES.join(SETTLED_SLOT, SETTLED_SLOT.c.batch_number == SETTLED_BATCH.c.number)
    .where(
        SETTLED_SLOT.c.account_idx == bindparam("account_idx"),
        SETTLED_SLOT.c.spent_base >= bindparam("total"),
    )
    .order_by(SETTLED_SLOT.c.spent_base, SETTLED_SLOT.c.batch_number)
    .limit(1)
)
_LAST_ACCOUNT: Final = (
    select(ACCOUNT.c.idx).where(ACCOUNT.c.status != Status.DROPPED).order_by(ACCOUNT.c.idx.desc()).limit(1)
)


def batches(connection: Connection, before: int | None = None, limit: int = 25) -> list[BatchView]:
    """The newest batches, newest first."""
    query = _page(_BATCHES, SETTLED_BATCH, "number", before, limit)
    return [_batch_of(row) for row in connection.execute(query)]


def batch(connection: Connection, number: int) -> BatchView | None:
    """A batch by its number, None if the chain has none or the bridge has not read it yet."""
    row = connection.execute(_BATCH, {"number": number}).one_or_none()
    return None if row is None else _batch_of(row)


def batch_of_tx(connection: Connection, tx_hash: str) -> BatchView | None:
    """The batch that a chain tx settled, by its hash in lower-case 0x hex; None if it settled none."""
    row = connection.execute(_OF_TX, {"tx_hash": tx_hash}).first()
    return None if row is None else _batch_of(row)


def batch_of_total(connection: Connection, account_idx: int, account_total_base: int) -> BatchView | None:
    """The batch that settled an account's receipt with this running total, None if none has yet.

    Source: docs/adr/0005-receipts-are-assigned-by-running-total.md
    """
    where = {"account_idx": account_idx, "total": account_total_base}
    row = connection.execute(_OF_TOTAL, where).one_or_none()
    return None if row is None else _batch_of(row)


def slots(connection: Connection, number: int) -> list[SlotView]:
    """A batch's account updates, by account."""
    return [_slot_of(row) for row in connection.execute(_SLOTS, {"number": number})]


def partner_words(connection: Connection, number: int) -> list[PartnerView]:
    """How a batch's charges divide among partners, by partner."""
    return [_partner_of(row) for row in connection.execute(_PARTNERS, {"number": number})]


def account_batches(
    connection: Connection, idx: int, before: int | None = None, limit: int = 25
) -> list[tuple[BatchView, SlotView]]:
    """The newest batches that changed an account, newest first, each with its slot."""
    of_account = _joined(SETTLED_SLOT, _SLOT_COLUMNS).where(SETTLED_SLOT.c.account_idx == idx)
    found = connection.execute(_page(of_account, SETTLED_SLOT, "batch_number", before, limit))
    return [(_batch_of(row), _slot_of(row[len(_COLUMNS) :])) for row in found]


def partner_batches(
    connection: Connection, partner_id: int, before: int | None = None, limit: int = 25
) -> list[tuple[BatchView, PartnerView]]:
    """The newest batches that credited a partner, newest first, each with what it credited."""
    of_partner = _joined(SETTLED_PARTNER, _PARTNER_COLUMNS).where(SETTLED_PARTNER.c.partner_id == partner_id)
    found = connection.execute(_page(of_partner, SETTLED_PARTNER, "batch_number", before, limit))
    return [(_batch_of(row), _partner_of(row[len(_COLUMNS) :])) for row in found]


def accounts_opened(connection: Connection) -> int:
    """How many accounts the chain has; it numbers them from 1 without gaps."""
    return connection.execute(_LAST_ACCOUNT).scalar_one_or_none() or 0


def bridge_report(connection: Connection) -> BridgeReport | None:
    """What the bridge last said of itself, None if none ever ran."""
    row = connection.execute(select(BRIDGE_REPORT)).one_or_none()
    return None if row is None else BridgeReport(row.written_s, json.loads(row.document))


def _joined(table: Table, columns: tuple[Any, ...]) -> Select[Any]:
    return select(*_COLUMNS, *columns).join(table, table.c.batch_number == SETTLED_BATCH.c.number)


def _page(query: Select[Any], table: Table, name: str, before: int | None, limit: int) -> Select[Any]:
    """The last rows by batch number, of a table's index over it."""
    numbers = table.c[name]
    if before is not None:
        query = query.where(numbers < before)
    return query.order_by(numbers.desc()).limit(limit)


def _batch_of(row: Any) -> BatchView:
    values = {name: getattr(row, name) for name in BatchView.__annotations__}
    packed = values["public_inputs"]
    inputs = tuple(_number(packed[at : at + WORD_BYTES]) for at in range(0, len(packed), WORD_BYTES))
    return BatchView(
        **values
        | {
            "old_root": _number(row.old_root),
            "new_root": _number(row.new_root),
            "receipts_root": "0x" + row.receipts_root.hex(),
            "public_inputs": inputs,
        }
    )


def _slot_of(row: Any) -> SlotView:
    values = dict(zip(SlotView.__annotations__, row, strict=True))
    key_commit = values.pop("key_commit")
    return SlotView(**values, key_commit=None if key_commit is None else _number(key_commit))


def _partner_of(row: Any) -> PartnerView:
    return PartnerView(*row)


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")
