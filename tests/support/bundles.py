"""What a bundle's reader does, in Python: the specification that the page's script is held to."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.receipts_tree import Leaf, Node, Subtree, tiles

PADDING: Node = (bytes(32), 0)


def root_of_tiles(pieces: Iterable[Leaf | Subtree]) -> Node:
    """Root and total of a tree told as leaves and subtrees, from left to right."""
    kept: list[Subtree] = []
    for piece in pieces:
        subtree = piece if isinstance(piece, Subtree) else Subtree(0, leaf_node(piece))
        if kept and kept[-1].level < subtree.level:
            raise ValueError(f"a subtree of level {subtree.level} does not begin here")
        while kept and kept[-1].level == subtree.level:
            subtree = Subtree(subtree.level + 1, parent(kept.pop().node, subtree.node))
        kept.append(subtree)
    while len(kept) > 1:
        right = kept.pop()
        node = right.node
        for _ in range(right.level, kept[-1].level):
            node = parent(node, PADDING)
        left = kept.pop()
        kept.append(Subtree(left.level + 1, parent(left.node, node)))
    return kept[0].node if kept else PADDING


def leaf_node(leaf: Leaf) -> Node:
    digest, charge_base = leaf
    return keccak(b"\0" + digest + charge_base.to_bytes(32, "big")), charge_base


def parent(left: Node, right: Node) -> Node:
    words = b"".join(digest + sum_base.to_bytes(32, "big") for digest, sum_base in (left, right))
    return keccak(b"\1" + words), left[1] + right[1]


def bundle_lines(marked: Iterable[tuple[Leaf, bool]]) -> list[str]:
    """The lines of a bundle after its first: `marked` are the leaves of the whole tree."""
    return [json.dumps(_told(piece)) for piece in tiles(marked)]


def _told(piece: Leaf | Subtree) -> list[int | str]:
    if isinstance(piece, Subtree):
        return [piece.level, "0x" + piece.node[0].hex(), str(piece.node[1])]
    return ["0x" + piece[0].hex(), str(piece[1])]
