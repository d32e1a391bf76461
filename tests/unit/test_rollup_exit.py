"""Exit inputs are made only for an account that the tree holds as stated."""

from dataclasses import replace

import pytest

from bridge.rollup.batch import Slot
from bridge.rollup.errors import NothingToExit
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import UNUSED, RollupState
from bridge.rollup.tree import IndexOutOfRange
from mini_llm.wallet.limits import MAX_IDX


@pytest.fixture
def state() -> RollupState:
    state = RollupState(77)
    state.apply([Slot(1, deposit=10, key_commit=5), Slot(2, deposit=20, key_commit=6)])
    return state


def test_inputs_name_root_account_and_balance(state: RollupState) -> None:
    witness = exit_inputs(state.tree, 2, state.accounts[2])
    assert witness.public == (state.root, 2, 20)
    children = witness.circuit_inputs.pop("children")
    assert children == state.tree.path(2)
    assert witness.circuit_inputs == {"root": state.root, "idx": 2, "balance": 20, "keyCommit": 6, "spent": 0}


def test_account_that_the_tree_does_not_hold(state: RollupState) -> None:
    for idx, account in (
        (3, UNUSED),
        (0, UNUSED),
        (1, state.accounts[2]),
        (1, replace(state.accounts[1], balance=11)),
    ):
        with pytest.raises(NothingToExit) as refusal:
            exit_inputs(state.tree, idx, account)
        assert (refusal.value.idx, refusal.value.leaf) == (idx, state.tree.leaf(idx))


def test_index_outside_the_tree(state: RollupState) -> None:
    with pytest.raises(IndexOutOfRange):
        exit_inputs(state.tree, MAX_IDX + 1, state.accounts[1])
