"""The receipts' Merkle-sum tree refuses what is not in it; its roots are in tests/golden."""

from dataclasses import replace
from itertools import pairwise

import pytest
from support.bundles import root_of_tiles

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.receipts_tree import (
    EMPTY_ROOT,
    InclusionProof,
    InvalidReceiptLeaf,
    ReceiptsTree,
    Subtree,
    inclusion_proof,
    receipts_tree,
    tiles,
    verify_inclusion,
)

LEAVES = [(bytes([i]) * 32, 100 + i) for i in range(1, 6)]
ROOT, TOTAL = receipts_tree(LEAVES)


def test_no_receipts_have_the_empty_root() -> None:
    assert receipts_tree([]) == (EMPTY_ROOT, 0)


def test_every_leaf_is_proved_and_the_total_is_their_sum() -> None:
    assert sum(charge for _, charge in LEAVES) == TOTAL
    for index, leaf in enumerate(LEAVES):
        assert verify_inclusion(ROOT, TOTAL, leaf, inclusion_proof(LEAVES, index))


@pytest.mark.parametrize("index", range(5))
def test_any_change_breaks_the_proof(index: int) -> None:
    digest, charge = LEAVES[index]
    proof = inclusion_proof(LEAVES, index)
    assert not verify_inclusion(ROOT, TOTAL, (bytes(32), charge), proof)
    assert not verify_inclusion(ROOT, TOTAL, (digest, charge + 1), proof)
    assert not verify_inclusion(bytes(32), TOTAL, (digest, charge), proof)
    assert not verify_inclusion(ROOT, TOTAL + 1, (digest, charge), proof)
    assert not verify_inclusion(ROOT, TOTAL, (digest, charge), replace(proof, index=proof.index ^ 1))
    for level, (sibling, amount) in enumerate(proof.siblings):
        for changed in ((bytes([9]) * 32, amount), (sibling, amount + 1)):
            siblings = (*proof.siblings[:level], changed, *proof.siblings[level + 1 :])
            assert not verify_inclusion(ROOT, TOTAL, (digest, charge), InclusionProof(index, siblings))


@pytest.mark.parametrize(
    "proof",
    [
        InclusionProof(8, inclusion_proof(LEAVES, 0).siblings),
        InclusionProof(-1, inclusion_proof(LEAVES, 0).siblings),
        InclusionProof(0, ()),
        InclusionProof(0, ((bytes(31), 0),)),
        InclusionProof(0, ((bytes(32), -1),)),
        InclusionProof(0, ((bytes(32), 2**256),)),
        InclusionProof(0, ((bytes(32), 2**256 - 1),) * 2),
    ],
)
def test_malformed_proofs_are_refused(proof: InclusionProof) -> None:
    assert not verify_inclusion(ROOT, TOTAL, LEAVES[0], proof)


def test_a_node_does_not_pass_as_a_leaf() -> None:
    pair_root, pair_total = receipts_tree(LEAVES[:2])
    assert receipts_tree([(pair_root, pair_total)])[0] != pair_root


@pytest.mark.parametrize(
    "leaf", [(bytes(31), 1), (bytes(33), 1), (bytes(32), -1), (bytes(32), MAX_AMOUNT_BASE + 1)]
)
def test_malformed_leaves_are_refused(leaf: tuple[bytes, int]) -> None:
    with pytest.raises(InvalidReceiptLeaf) as caught:
        receipts_tree([LEAVES[0], leaf])
    assert (caught.value.digest, caught.value.charge_base) == leaf
    assert not verify_inclusion(ROOT, TOTAL, leaf, InclusionProof(0, ()))


@pytest.mark.parametrize("index", [-1, 5])
def test_a_proof_needs_a_leaf(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES, index)


@pytest.mark.parametrize("count", range(34))
def test_a_tree_grown_leaf_by_leaf_holds_each_of_them(count: int) -> None:
    leaves, tree = [(bytes((at,)) * 32, at + 1) for at in range(count)], ReceiptsTree()
    for at, leaf in enumerate(leaves):
        tree.add(leaf)
        root, total = tree.root
        assert all(
            verify_inclusion(root, total, grown, inclusion_proof(leaves[: at + 1], position))
            for position, grown in enumerate(leaves[: at + 1])
        )
    assert tree.root == receipts_tree(leaves)


@pytest.mark.parametrize("count", range(14))
@pytest.mark.parametrize("marked", [0, 1, 0b101, 0b110010011, 0b1111, 2**14 - 1])
def test_tiles_are_the_marked_leaves_and_as_few_nodes_as_tell_the_rest(count: int, marked: int) -> None:
    leaves = [(bytes((at,)) * 32, at + 1) for at in range(count)]
    pieces = list(tiles((leaf, bool(marked >> at & 1)) for at, leaf in enumerate(leaves)))
    assert root_of_tiles(pieces) == receipts_tree(leaves)
    assert [one for one in pieces if not isinstance(one, Subtree)] == [
        leaf for at, leaf in enumerate(leaves) if marked >> at & 1
    ]
    position = 0
    for left, right in pairwise([*pieces, None]):
        if isinstance(left, Subtree) and isinstance(right, Subtree) and left.level == right.level:
            assert position >> left.level & 1  # neighbours, but no siblings
        position += 1 << left.level if isinstance(left, Subtree) else 1
    assert position == count


def test_tiles_refuse_a_malformed_leaf() -> None:
    with pytest.raises(InvalidReceiptLeaf):
        list(tiles([(LEAVES[0], True), ((bytes(31), 1), False)]))
