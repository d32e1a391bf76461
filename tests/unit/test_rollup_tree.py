"""The account tree: indices, paths and copies; its roots are in tests/golden."""

import random

import pytest

from bridge.rollup import tree as tree_module
from bridge.rollup.tree import GENESIS_ROOT, AccountTree, IndexOutOfRange
from mini_llm.wallet.field import NotCanonical, P
from mini_llm.wallet.limits import MAX_IDX
from mini_llm.wallet.poseidon import poseidon


def test_an_empty_tree_has_the_genesis_root() -> None:
    tree = AccountTree()
    assert tree.root == GENESIS_ROOT
    assert tree.leaf(MAX_IDX) == 0


def test_the_root_does_not_depend_on_the_order_of_writes() -> None:
    leaves = {1: 11, 8: 18, 9: 19, 4095: 5, MAX_IDX: 7}
    forwards, backwards = AccountTree(), AccountTree()
    for idx in leaves:
        forwards.set_leaf(idx, leaves[idx])
    for idx in reversed(leaves):
        backwards.set_leaf(idx, 99)
        backwards.set_leaf(idx, leaves[idx])
    assert forwards.root == backwards.root != GENESIS_ROOT


def test_emptying_a_leaf_restores_the_root() -> None:
    tree = AccountTree()
    tree.set_leaf(5, 1)
    tree.set_leaf(5, 0)
    assert tree.root == GENESIS_ROOT


@pytest.mark.parametrize("idx", [0, 1, 7, 8, 123456, MAX_IDX])
def test_a_path_leads_from_leaf_to_root(idx: int) -> None:
    tree = AccountTree()
    for other in (1, 8, 123456, MAX_IDX):
        tree.set_leaf(other, other + 1)
    node = tree.leaf(idx)
    for level, children in enumerate(tree.path(idx)):
        assert children[idx // 8**level % 8] == node
        node = poseidon(children)
    assert node == tree.root


@pytest.mark.parametrize("idx", [-1, MAX_IDX + 1])
def test_indices_outside_the_tree_are_refused(idx: int) -> None:
    tree = AccountTree()
    for read in (tree.leaf, tree.path):
        with pytest.raises(IndexOutOfRange) as caught:
            read(idx)
        assert caught.value.idx == idx
    with pytest.raises(IndexOutOfRange):
        tree.set_leaf(idx, 1)


def test_leaf_0_stays_empty() -> None:
    with pytest.raises(IndexOutOfRange):
        AccountTree().set_leaf(0, 1)


def test_leaves_are_field_elements() -> None:
    tree = AccountTree()
    with pytest.raises(NotCanonical):
        tree.set_leaf(1, P)
    assert tree.leaf(1) == 0


def test_copies_are_independent() -> None:
    tree = AccountTree()
    tree.set_leaf(1, 1)
    copy = tree.copy()
    copy.set_leaf(1, 2)
    assert tree.leaf(1) == 1
    assert tree.root != copy.root


def test_bulk_writes_make_the_tree_of_single_ones() -> None:
    rng = random.Random(3)
    leaves = {idx: idx + 1 for idx in (1, 2, 7, 8, 4095, 4096, MAX_IDX, *rng.sample(range(1, MAX_IDX), 50))}
    single = AccountTree()
    for idx, leaf in leaves.items():
        single.set_leaf(idx, leaf)
    built = AccountTree()
    built.set_leaves(leaves)
    assert built.root == single.root
    assert all(built.path(idx) == single.path(idx) for idx in leaves)
    changes = {1: 0, 4096: 5, 123456: 6}
    for idx, leaf in changes.items():
        single.set_leaf(idx, leaf)
    built.set_leaves(changes)
    assert built.root == single.root


def test_bulk_writes_hash_each_node_once(monkeypatch: pytest.MonkeyPatch) -> None:
    AccountTree().root  # noqa: B018  # the empty nodes are hashed once per process
    hashed = []
    monkeypatch.setattr(tree_module, "poseidon", lambda inputs: hashed.append(1) or poseidon(inputs))
    AccountTree().set_leaves({idx: idx for idx in range(1, 1000)})
    assert len(hashed) == 125 + 16 + 2 + 5


@pytest.mark.parametrize(
    ("leaves", "error"),
    [
        ({1: 1, 0: 1}, IndexOutOfRange),
        ({1: 1, MAX_IDX + 1: 1}, IndexOutOfRange),
        ({1: 1, 2: P}, NotCanonical),
    ],
)
def test_bulk_writes_are_checked_before_the_first(leaves: dict[int, int], error: type[Exception]) -> None:
    tree = AccountTree()
    with pytest.raises(error):
        tree.set_leaves(leaves)
    assert tree.leaf(1) == 0
    assert tree.root == GENESIS_ROOT
