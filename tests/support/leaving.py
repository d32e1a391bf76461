"""Owners who leave without the operator, as the contract lets them."""

from __future__ import annotations

from web3.types import TxReceipt

from bridge.prover import prove_once
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import RollupState
from support.anvil import circuits
from support.stack import SERVICE_DEADLINE_S, VIBES, Stack, Wallet

EXIT = "exit"


def pass_time(stack: Stack, seconds: int) -> None:
    """Moves the chain's clock and makes a block at the new time."""
    stack.anvil.rpc("evm_increaseTime", seconds)
    stack.anvil.rpc("evm_mine")


def prove_exit(state: RollupState, idx: int) -> list[int]:
    """A real proof of what the account holds in this state."""
    witness = exit_inputs(state.tree, idx, state.accounts[idx])
    return list(prove_once(circuits(), EXIT, witness.circuit_inputs).words)


def exit_account(stack: Stack, state: RollupState, idx: int) -> TxReceipt:
    """Has a frozen account's balance paid; the relayer pays the gas."""
    call = stack.settlement.functions.exit(idx, state.accounts[idx].balance, prove_exit(state, idx))
    return stack.send(stack.relayer, call)


def leave(stack: Stack, state: RollupState, opened: Wallet, unopened: Wallet) -> None:
    """Both leave: `opened` by an unserved withdrawal, `unopened`, who only deposited, by taking that back.

    In between the guardian pauses, which must not keep anybody.
    """
    functions = stack.settlement.functions
    stack.fund_gas(unopened)
    stack.send(unopened.account, functions.announceCancelDeposit())
    stack.request_withdrawal(opened, 2 * VIBES)
    pass_time(stack, SERVICE_DEADLINE_S + 1)
    stack.send(stack.guardian, functions.pause())
    stack.send(stack.relayer, functions.cancelDeposit(unopened.idx))
    stack.send(stack.relayer, functions.withdraw(unopened.idx))
    stack.send(stack.relayer, functions.freeze(opened.idx))
    exit_account(stack, state, opened.idx)
    stack.send(stack.relayer, functions.withdraw(opened.idx))
    stack.send(stack.guardian, functions.unpause())
