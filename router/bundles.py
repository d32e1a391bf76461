"""A partner's proof bundle: all its receipts in one settled batch, and why they are in the batch's tree.

One JSON value a line: what it is about, then the tree's tiles from left to right, each of the partner's
receipts as `["0x<digest>","<charge>"]` and whatever lies between as `[level,"0x<hash>","<sum>"]`.

Source: docs/protocol.md (proof bundles).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection

from mini_llm.wallet.receipt import ReceiptDomain
from mini_llm.wallet.receipts_tree import Leaf, Subtree, tiles
from router.ledger import batches
from router.ledger.batches import BatchView, SlotView
from router.ledger.leaves import ReceiptLeaf, leaves_between
from router.ledger.writer import Ledger

FORMAT: Final = "vibes-partner-bundle/1"
MEDIA_TYPE: Final = "application/jsonl"
CHUNK_RECEIPTS: Final = 1000
"""Receipts that one transaction reads: no reader holds up the ledger, however slow its line is."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle is made of.

    Args:
        domain: chain and settlement contract.
        batch: the settled batch.
        slots: its account updates, by account.
        partner_id: whose receipts it proves.
        gross_base: the partner's part of the batch's charges.
    """

    domain: ReceiptDomain
    batch: BatchView
    slots: Sequence[SlotView]
    partner_id: int
    gross_base: int

    def lines(self, ledger: Ledger) -> Iterator[bytes]:
        """The bundle's lines in pieces of some size; the ledger is read while they are taken."""
        buffer = [_line(self._head())]
        marked = ((leaf, partner_id == self.partner_id) for partner_id, leaf in self._leaves(ledger))
        for piece in tiles(marked):
            buffer.append(_line(_told(piece)))
            if len(buffer) >= CHUNK_RECEIPTS:
                yield b"".join(buffer)
                buffer.clear()
        yield b"".join(buffer)

    def _head(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "chain_id": self.domain.chain_id,
            "settlement": self.domain.settlement,
            "batch": self.batch.number,
            "transaction": self.batch.tx_hash,
            "receipts_root": self.batch.receipts_root,
            "receipts_total_base": str(self.batch.receipts_total_base),
            "partner": self.partner_id,
            "partner_gross_base": str(self.gross_base),
        }

    def _leaves(self, ledger: Ledger) -> Iterator[tuple[int, Leaf]]:
        """Every receipt of the batch with its partner, in the order of the tree (ADR 0005)."""
        for slot in self.slots:
            reached_base = slot.spent_before_base
            while reached_base < slot.spent_base:
                found = ledger.read(partial(_leaves_after, slot=slot, reached_base=reached_base))
                if not found:  # the ledger lacks them; whoever checks the bundle sees it
                    return
                yield from ((one.partner_id, one.leaf) for one in found)
                reached_base = found[-1].account_total_base


def find_bundle(connection: Connection, domain: ReceiptDomain, number: int, partner_id: int) -> Bundle | None:
    """The bundle of a batch for a partner, None if no such batch has settled a charge of the partner."""
    batch = batches.batch(connection, number)
    words = {word.partner_id: word.gross_base for word in batches.partner_words(connection, number)}
    if batch is None or partner_id not in words:
        return None
    return Bundle(domain, batch, batches.slots(connection, number), partner_id, words[partner_id])


def _leaves_after(connection: Connection, slot: SlotView, reached_base: int) -> list[ReceiptLeaf]:
    return leaves_between(connection, slot.account_idx, reached_base, slot.spent_base, CHUNK_RECEIPTS)


def _told(piece: Leaf | Subtree) -> list[Any]:
    if isinstance(piece, Subtree):
        return [piece.level, "0x" + piece.node[0].hex(), str(piece.node[1])]
    return ["0x" + piece[0].hex(), str(piece[1])]


def _line(value: Any) -> bytes:
    return to_json(value) + b"\n"
