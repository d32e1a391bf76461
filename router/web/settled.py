"""How far the chain has settled calls: nothing to settle, waiting for a batch, settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from router.ledger import read
from router.ledger.batches import BatchView, batch_of_total
from router.ledger.views import CallView


class Stage(StrEnum):
    """Where a call's charge is."""

    FREE = "free"  # nothing was charged
    WAITING = "waiting"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where a call's charge is, and its batch: None if none settled it, or the bridge has not told."""

    stage: Stage
    batch: BatchView | None = None


def settlements(connection: Connection, calls: Iterable[CallView]) -> dict[str, Settlement]:
    """Of each call, by its entry id; whose account paid for it says how far batches have come."""
    settled_base: dict[int, int] = {}
    found = {}
    for call in calls:
        idx = call.account_idx
        if call.receipt is None:
            found[call.entry_id] = Settlement(Stage.FREE)
            continue
        if idx not in settled_base:
            settled_base[idx] = read.account_view(connection, idx).settled_spent_base
        total_base = call.receipt.receipt.account_total_base
        if total_base > settled_base[idx]:
            found[call.entry_id] = Settlement(Stage.WAITING)
        else:
            found[call.entry_id] = Settlement(Stage.SETTLED, batch_of_total(connection, idx, total_base))
    return found
