"""Rebuilds the account tree from the calldata of batches, believing nothing but the contract's root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from eth_abi.exceptions import DecodingError
from eth_typing import ABIEvent, HexStr
from eth_utils.abi import event_abi_to_log_topic
from web3.types import LogReceipt

from bridge.chain.client import hex0x
from bridge.chain.settlement import SettlementContract, load_abi
from bridge.errors import UnexpectedEvent
from bridge.exit.errors import BatchUnreadable, RootDiffers
from bridge.progress import Progress
from bridge.rollup.batch import Slot, decode_slot
from bridge.rollup.errors import InvalidTransition
from bridge.rollup.transition import UNUSED, AccountState, leaf, next_state
from bridge.rollup.tree import GENESIS_ROOT, AccountTree

LEAVES_AT_A_TIME: Final = 4_096
"""Leaves hashed between two reports of progress: one region of the tree if all are used."""


@dataclass(frozen=True)
class Rebuilt:
    """All accounts after some batch.

    Args:
        batches: how many batches led there.
        accounts: used accounts by index.
        tree: the tree over their leaves; its root is the contract's.
    """

    batches: int
    accounts: dict[int, AccountState]
    tree: AccountTree


def rebuild(settlement: SettlementContract, root: int, first_block: int, progress: Progress) -> Rebuilt:
    """The accounts at the moment when the contract had this root.

    Args:
        settlement: the contract, on a node that has its whole history from `first_block` on.
        root: `stateRoot`, or the `frozenRoot` of an account.
        first_block: not after the block of the deployment.
        progress: told how far it is.

    Raises:
        BatchUnreadable: the node does not have a batch's calldata, or not the true one.
        RootDiffers: the batches do not lead to the root.
        RpcUnavailable, RpcRefused: the node does not answer, or refuses.
    """
    accounts: dict[int, AccountState] = {}
    reached, number = GENESIS_ROOT, 0
    client = settlement.client
    logs = client.logs(settlement.address, first_block, client.head(), [_settled_topic()])
    for log in logs:
        if reached == root:
            break
        number += 1
        slots, old_root, reached_next = _read_batch(settlement, log, number)
        if old_root != reached:
            raise BatchUnreadable(
                number, f"it starts from root {old_root}, the one before ended at {reached}"
            )
        reached = reached_next
        for slot in slots:
            try:
                accounts[slot.idx] = next_state(accounts.get(slot.idx, UNUSED), slot)
            except InvalidTransition as error:
                raise BatchUnreadable(number, str(error)) from error
        progress("batches", number, len(logs))
    tree = _tree(accounts, progress)
    if tree.root != root:
        raise RootDiffers(root, tree.root)
    return Rebuilt(number, accounts, tree)


def _tree(accounts: dict[int, AccountState], progress: Progress) -> AccountTree:
    tree, used = AccountTree(), sorted(accounts)
    for start in range(0, len(used), LEAVES_AT_A_TIME):
        part = used[start : start + LEAVES_AT_A_TIME]
        tree.set_leaves({idx: leaf(accounts[idx]) for idx in part})
        progress("tree", start + len(part), len(used))
    return tree


def _read_batch(settlement: SettlementContract, log: LogReceipt, number: int) -> tuple[list[Slot], int, int]:
    """The slots of a batch and the roots before and after it."""
    try:
        event = settlement.read_event(log, 0)
        if event is None or event.args["batchNumber"] != number:
            raise BatchUnreadable(number, "its event is missing")
        args: dict[str, Any] = dict(event.args)
        words: Sequence[int] = args["words"]
        pairs = zip(words[::2], words[1::2], strict=True)
        slots = [slot for w0, w1 in pairs if (slot := decode_slot(w0, w1)) is not None]
        return slots, args["oldRoot"], args["newRoot"]
    except (UnexpectedEvent, InvalidTransition, DecodingError, KeyError, ValueError) as error:
        raise BatchUnreadable(number, str(error)) from error


@cache
def _settled_topic() -> HexStr:
    (event,) = (item for item in load_abi("Settlement") if item.get("name") == "BatchSettled")
    return HexStr(hex0x(event_abi_to_log_topic(cast(ABIEvent, event))))
