"""Keccak Merkle-sum tree over a batch's receipts: one root proves each receipt and the total of all charges.

A leaf hash is ``keccak256(0x00 ‖ digest ‖ charge)``, a node's is
``keccak256(0x01 ‖ left hash ‖ left sum ‖ right hash ‖ right sum)`` and its sum the two sums added. Numbers
are 32 bytes, big-endian. The prefixes keep a node from passing as a leaf. An odd last node is paired with
(0x00…00, 0).
Leaves are in the order of account index, then account sequence.

Source: docs/protocol.md (receipts); Settlement.settleBatch (receiptsRoot, receiptsTotal).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from mini_llm.wallet.limits import MAX_AMOUNT_BASE

EMPTY_ROOT: Final = bytes(32)
"""Root of the tree without receipts; its total is 0."""

Leaf = tuple[bytes, int]
"""(receipt digest of 32 bytes, charge in base units)."""

Node = tuple[bytes, int]
"""(hash of 32 bytes, sum of the charges below in base units)."""

_PADDING: Final[Node] = (bytes(32), 0)
_MAX_SUM: Final = 2**256 - 1


class InvalidReceiptLeaf(ValueError):
    """A digest that is not 32 bytes, or a charge outside ``[0, 2^54)``."""

    def __init__(self, digest: bytes, charge_base: int) -> None:
        super().__init__(f"receipt leaf 0x{digest.hex()} with {charge_base} base units is malformed")
        self.digest, self.charge_base = digest, charge_base


@dataclass(frozen=True)
class InclusionProof:
    """Place of a leaf and the other node at each level from the leaves up."""

    index: int
    siblings: tuple[Node, ...]


def receipts_tree(leaves: Sequence[Leaf]) -> Node:
    """Root and total of the tree; ``(EMPTY_ROOT, 0)`` without leaves.

    Raises:
        InvalidReceiptLeaf: a leaf is malformed.
    """
    return _levels(leaves)[-1][0] if leaves else _PADDING


def inclusion_proof(leaves: Sequence[Leaf], index: int) -> InclusionProof:
    """Proof that leaf ``index`` is in the tree of ``leaves``.

    Raises:
        IndexError: no such leaf.
        InvalidReceiptLeaf: a leaf is malformed.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    siblings = []
    position = index
    for level in _levels(leaves)[:-1]:
        sibling = position ^ 1
        siblings.append(level[sibling] if sibling < len(level) else _PADDING)
        position //= 2
    return InclusionProof(index, tuple(siblings))


def verify_inclusion(root: bytes, total: int, leaf: Leaf, proof: InclusionProof) -> bool:
    """True if ``leaf`` is at ``proof.index`` of the tree with this root and total."""
    if not 0 <= proof.index < 1 << len(proof.siblings) or not _is_leaf(leaf):
        return False
    if not all(0 <= amount <= _MAX_SUM for _, amount in proof.siblings):
        return False
    node = _leaf_node(leaf)
    position = proof.index
    for sibling in proof.siblings:
        if node[1] > _MAX_SUM:
            return False
        node = _parent(sibling, node) if position % 2 else _parent(node, sibling)
        position //= 2
    return node == (root, total)


def _levels(leaves: Sequence[Leaf]) -> list[list[Node]]:
    """All levels of the tree, leaves first, root last; at least one leaf."""
    for leaf in leaves:
        if not _is_leaf(leaf):
            raise InvalidReceiptLeaf(*leaf)
    levels = [[_leaf_node(leaf) for leaf in leaves]]
    while len(level := levels[-1]) > 1:
        padded = level + [_PADDING] * (len(level) % 2)
        levels.append([_parent(left, right) for left, right in zip(padded[::2], padded[1::2], strict=True)])
    return levels


def _is_leaf(leaf: Leaf) -> bool:
    digest, charge = leaf
    return len(digest) == 32 and 0 <= charge <= MAX_AMOUNT_BASE


def _leaf_node(leaf: Leaf) -> Node:
    digest, charge = leaf
    return keccak(b"\x00" + digest + charge.to_bytes(32, "big")), charge


def _parent(left: Node, right: Node) -> Node:
    encoded = b"".join(node_hash + amount.to_bytes(32, "big") for node_hash, amount in (left, right))
    return keccak(b"\x01" + encoded), left[1] + right[1]
