"""The account tree: a sparse Poseidon Merkle tree of arity 8 and 8 levels, one leaf per account index.

Source: docs/protocol.md (state); contracts/circuits/path.circom.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from mini_llm.wallet.field import require_canonical
from mini_llm.wallet.limits import MAX_IDX, TREE_ARITY, TREE_LEVELS
from mini_llm.wallet.poseidon import poseidon

GENESIS_ROOT: Final = 2552032564376518282841702819316767509420179068591702648971399616023257718747
"""Root of the tree in which every leaf is 0; ``Settlement`` starts from it."""


class IndexOutOfRange(ValueError):
    """An account index outside the tree, or index 0 where a leaf is to be written."""

    def __init__(self, idx: int) -> None:
        super().__init__(f"account index {idx} is out of range")
        self.idx = idx


class AccountTree:
    """Merkle tree over leaves ``[0, 2^24)``; only nodes that differ from the empty tree are stored."""

    def __init__(self) -> None:
        # One dict per level, leaves first, root last.
        self._levels: list[dict[int, int]] = [{} for _ in range(TREE_LEVELS + 1)]

    @property
    def root(self) -> int:
        """Root hash, a field element."""
        return self.node(TREE_LEVELS, 0)

    def leaf(self, idx: int) -> int:
        """Leaf of account ``idx``, 0 if it was never set.

        Raises:
            IndexOutOfRange: no such index.
        """
        _require_index(idx, 0)
        return self.node(0, idx)

    def set_leaf(self, idx: int, leaf: int) -> None:
        """Write the leaf of account ``idx`` and rehash its path. Index 0 is reserved and stays empty.

        Raises:
            IndexOutOfRange: ``idx`` is not in ``[1, 2^24)``.
            NotCanonical: ``leaf`` is not a field element.
        """
        self.set_leaves({idx: leaf})

    def set_leaves(self, leaves: Mapping[int, int]) -> None:
        """Write many leaves by account index and hash every node above them once.

        Raises:
            IndexOutOfRange: an index is not in ``[1, 2^24)``; the tree is as before.
            NotCanonical: a leaf is not a field element; the tree is as before.
        """
        for idx, leaf in leaves.items():
            _require_index(idx, 1)
            require_canonical(leaf)
        self._levels[0].update(leaves)
        positions = set(leaves)
        for level in range(TREE_LEVELS):
            positions = {position // TREE_ARITY for position in positions}
            nodes = self._levels[level + 1]
            for position in positions:
                nodes[position] = poseidon(self._siblings(level, TREE_ARITY * position))

    def path(self, idx: int) -> list[list[int]]:
        """For each level from the leaves up, the 8 children of the parent of account ``idx``'s node.

        The node itself is among them, at digit ``idx // 8**level % 8``.

        Raises:
            IndexOutOfRange: no such index.
        """
        _require_index(idx, 0)
        return [self._siblings(level, idx // TREE_ARITY**level) for level in range(TREE_LEVELS)]

    def copy(self) -> "AccountTree":
        """An independent tree with the same leaves."""
        other = AccountTree()
        other._levels = [dict(level) for level in self._levels]
        return other

    def node(self, level: int, position: int) -> int:
        """The hash over the leaves ``[position·8^level, (position + 1)·8^level)``."""
        return self._levels[level].get(position, _empty_node(level))

    def _siblings(self, level: int, position: int) -> list[int]:
        first = position - position % TREE_ARITY
        return [self.node(level, first + child) for child in range(TREE_ARITY)]


@cache
def _empty_node(level: int) -> int:
    """A node of the empty tree, ``level`` levels above the leaves."""
    return 0 if level == 0 else poseidon([_empty_node(level - 1)] * TREE_ARITY)


EMPTY_PATH: Final = tuple([_empty_node(level)] * TREE_ARITY for level in range(TREE_LEVELS))
"""`AccountTree.path` of any account in a tree in which every leaf is 0."""


def _require_index(idx: int, lowest: int) -> None:
    if not lowest <= idx <= MAX_IDX:
        raise IndexOutOfRange(idx)
