"""The batch circuit's private inputs, slot by slot and region by region.

Source: contracts/circuits/slot.circom, region.circom, batch.circom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bridge.rollup.batch import REGION_BITS, REGION_LEVELS, Slot, encode_slot
from bridge.rollup.tree import EMPTY_PATH, AccountTree
from mini_llm.wallet.babyjub import BASE8, IDENTITY

if TYPE_CHECKING:
    from bridge.rollup.transition import AccountState, Authorisation

Signal = int | list["Signal"]
"""Value of a circuit input: a field element or nested lists of them."""

Inputs = dict[str, Signal]


def slot_inputs(
    slot: Slot, before: AccountState, auths: Mapping[int, Authorisation], path: Sequence[list[int]]
) -> Inputs:
    """A slot's signals.

    Args:
        slot: the update.
        before: its account before it.
        auths: signed ceilings by account; a slot that charges has one.
        path: the account's path before the slot, of which the levels inside its region are taken.
    """
    w0, w1 = encode_slot(slot)
    row = padding_inputs() | {
        "w0": w0,
        "w1": w1,
        "used": int(before.key_commit != 0),
        "keyCommit": before.key_commit,
        "balance": before.balance,
        "spent": before.spent,
        "ceiling": before.spent,
        "children": _levels(path[:REGION_LEVELS]),
    }
    if slot.charge:
        auth = auths[slot.idx]
        row |= {
            "key": list(auth.key),
            "ceiling": auth.ceiling_base,
            "r8": list(auth.signature.r8),
            "s": auth.signature.s,
        }
    return row


def padding_inputs() -> Inputs:
    """A slot that changes nothing; where no key is opened, harmless values stand in for it."""
    row: Inputs = dict.fromkeys(("w0", "w1", "used", "keyCommit", "balance", "spent", "ceiling", "s"), 0)
    return row | {
        "key": list(BASE8),
        "r8": list(IDENTITY),
        "children": _levels(EMPTY_PATH[:REGION_LEVELS]),
    }


def unit_inputs(tree: AccountTree, region: int) -> Inputs:
    """A region's path to the root in ``tree``, for a unit that leaves the region as it is."""
    top = tree.node(REGION_LEVELS, region)
    upper = tree.path(region << REGION_BITS)[REGION_LEVELS:]
    return {"unitRegion": region, "unitOld": top, "unitNew": top, "unitChildren": _levels(upper)}


def columns(rows: Sequence[Inputs]) -> Inputs:
    """The signals of all rows, which have the same names, as one list by name."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def _levels(path: Sequence[list[int]]) -> list[Signal]:
    return [list(level) for level in path]
