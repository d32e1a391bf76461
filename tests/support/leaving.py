"""Owners who leave without the operator, as the contract lets them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from eth_account.signers.local import LocalAccount
from web3.types import TxReceipt

from bridge.cli import main
from bridge.prover import prove_once
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import RollupState
from support.anvil import circuits
from support.stack import SERVICE_DEADLINE_S, VIBES, Stack, Wallet

EXIT = "exit"


@dataclass
class Exited:
    """What `vibes exit` printed and returned."""

    code: int
    output: str
    errors: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.output)

    @property
    def sent(self) -> list[str]:
        return [call["function"] for call in self.report["sent"]]


def save_key(folder: Path, account: LocalAccount) -> Path:
    path = folder / f"{account.address}.key"
    path.touch(0o600)
    path.write_text("0x" + bytes(account.key).hex() + "\n")
    return path


def run_exit(stack: Stack, *options: object, url: str = "") -> Exited:
    """`vibes exit --json` with these options."""
    fixed = ["exit", "--json", "--settlement", stack.settlement.address, "--circuits", str(circuits())]
    arguments = [*fixed, "--rpc", url or stack.url, *map(str, options)]
    result = CliRunner(mix_stderr=False).invoke(main, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Exited(result.exit_code, result.stdout, result.stderr)


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
