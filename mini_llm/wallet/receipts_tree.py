"""Keccak Merkle-sum tree over a batch's receipts: one root proves each receipt and the total of all charges.

A leaf hash is ``keccak256(0x00 ‖ digest ‖ charge)``, a node's is
``keccak256(0x01 ‖ left hash ‖ left sum ‖ right hash ‖ right sum)`` and its sum the two sums added. Numbers
are 32 bytes, big-endian. The prefixes keep a node from passing as a leaf. An odd last node is paired with
(0x00…00, 0).
Leaves are in the order of account index, then account sequence.

Source: docs/protocol.md (receipts); Settlement.settleBatch (receiptsRoot, receiptsTotal).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.limits import MAX_AMOUNT_BASE

EMPTY_ROOT: Final = bytes(32)
"""Root of the tree without receipts; its total is 0."""

Leaf = tuple[bytes, int]
"""(receipt digest of 32 bytes, charge in base units)."""

Node = tuple[bytes, int]
"""(hash of 32 bytes, sum of the charges below in base units)."""

_PADDING: Final[Node] = (bytes(32), 0)
_MAX_SUM: Final = 2**256 - 1
_MAX_LEVEL: Final = 40
"""Of a subtree that somebody tells: it has more receipts below it than there can be."""


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


@dataclass(frozen=True)
class Subtree:
    """The top of ``2^level`` neighbouring leaves."""

    level: int
    node: Node


class MisplacedSubtree(ValueError):
    """A subtree that cannot begin where it stands, or whose sum no tree can have."""

    def __init__(self, subtree: Subtree) -> None:
        super().__init__(f"a subtree of level {subtree.level} with {subtree.node[1]} does not begin here")
        self.subtree = subtree


class ReceiptsTree:
    """A tree that is given its leaves one by one and keeps one node per level, however many there are."""

    def __init__(self) -> None:
        # (level, node) of the whole subtrees so far, no two of one level, highest first.
        self._subtrees: list[tuple[int, Node]] = []

    def add(self, leaf: Leaf) -> None:
        """Append the next leaf.

        Raises:
            InvalidReceiptLeaf: it is malformed.
        """
        if not _is_leaf(leaf):
            raise InvalidReceiptLeaf(*leaf)
        self._add(0, _leaf_node(leaf))

    def add_subtree(self, subtree: Subtree) -> None:
        """Append the top of the next `2^level` leaves, for those who are not told the leaves.

        Raises:
            MisplacedSubtree: no subtree of its level begins here.
        """
        level, (_, sum_base) = subtree.level, subtree.node
        most = self._subtrees[-1][0] if self._subtrees else _MAX_LEVEL
        if not (0 <= level <= most and 0 <= sum_base <= _MAX_SUM - self.total_base):
            raise MisplacedSubtree(subtree)
        self._add(level, subtree.node)

    def _add(self, level: int, node: Node) -> None:
        while self._subtrees and self._subtrees[-1][0] == level:
            node = _parent(self._subtrees.pop()[1], node)
            level += 1
        self._subtrees.append((level, node))

    @property
    def total_base(self) -> int:
        """Sum of all charges so far, base units."""
        return sum(sum_base for _, (_, sum_base) in self._subtrees)

    @property
    def root(self) -> Node:
        """Root and total of the tree so far; ``(EMPTY_ROOT, 0)`` without leaves."""
        if not self._subtrees:
            return _PADDING
        *higher, (level, node) = self._subtrees
        for left_level, left in reversed(higher):
            while level < left_level:
                node = _parent(node, _PADDING)
                level += 1
            node = _parent(left, node)
            level += 1
        return node


def receipts_tree(leaves: Iterable[Leaf]) -> Node:
    """Root and total of the tree; ``(EMPTY_ROOT, 0)`` without leaves.

    Raises:
        InvalidReceiptLeaf: a leaf is malformed.
    """
    tree = ReceiptsTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root


def tiles(leaves: Iterable[tuple[Leaf, bool]]) -> Iterator[Leaf | Subtree]:
    """The tree from left to right: the leaves marked True, and as few subtrees as cover all the others.

    This proves all marked leaves together: whoever puts a subtree in its place for the leaves below it has
    the root and the total. Keeps two nodes per level, however many leaves there are.

    Raises:
        InvalidReceiptLeaf: a leaf is malformed.
    """
    others: list[Subtree] = []
    for position, (leaf, marked) in enumerate(leaves):
        if not _is_leaf(leaf):
            raise InvalidReceiptLeaf(*leaf)
        if marked:
            yield from others
            others.clear()
            yield leaf
            continue
        level, node = 0, _leaf_node(leaf)
        while position >> level & 1 and others and others[-1].level == level:
            node = _parent(others.pop().node, node)
            level += 1
        others.append(Subtree(level, node))
    yield from others


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
