"""The exit statement's inputs: an account's balance in a tree that will not change for it any more.

Source: docs/protocol.md (leaving); contracts/circuits/exit.circom; Settlement.exit.
"""

from dataclasses import dataclass

from bridge.rollup.errors import NothingToExit
from bridge.rollup.inputs import Inputs
from bridge.rollup.transition import AccountState, leaf
from bridge.rollup.tree import AccountTree


@dataclass(frozen=True)
class ExitWitness:
    """What the prover needs for an exit and what the contract will check it against.

    Attributes:
        circuit_inputs: signals of contracts/circuits/exit.circom by name.
        public: (root, idx, balance in base units).
    """

    circuit_inputs: Inputs
    public: tuple[int, int, int]


def exit_inputs(tree: AccountTree, idx: int, account: AccountState) -> ExitWitness:
    """The exit circuit's inputs for account ``idx`` in ``tree``.

    Raises:
        IndexOutOfRange: no such index.
        NothingToExit: the tree does not hold this account: it was never used, or its numbers are others.
    """
    if account.key_commit == 0 or tree.leaf(idx) != leaf(account):
        raise NothingToExit(idx, tree.leaf(idx))
    public = (tree.root, idx, account.balance)
    inputs: Inputs = {"root": tree.root, "idx": idx, "balance": account.balance}
    inputs |= {"keyCommit": account.key_commit, "spent": account.spent}
    inputs["children"] = [list(level) for level in tree.path(idx)]
    return ExitWitness(inputs, public)
