"""Brings one account out: looks where it stands, makes the next step, and looks again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from web3.exceptions import BlockNotFound

from bridge.chain import Status
from bridge.chain.settlement import SettlementContract, load_abi
from bridge.errors import RpcRefused
from bridge.exit.errors import KeyNeeded, NoAccount, OtherCircuit, OwnerKeyNeeded
from bridge.exit.rebuild import Rebuilt, rebuild
from bridge.exit.sender import Call, Sender, Sent
from bridge.exit.steps import Standing, Step, Wait, next_step
from bridge.progress import Progress
from bridge.prover import prove_once
from bridge.proving.artifacts import Artifacts
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import UNUSED

EXIT_CIRCUIT: Final = "exit"
LONGEST_NAP_S: Final = 60


@dataclass
class Left:
    """What a run did and where it left the account.

    Args:
        standing: the account at the end.
        sent: the calls that were mined.
        paid_base: what they paid to the owner, base units.
        waiting: set if a deadline is to be waited for.
        planned: set on a dry run: the next call, not sent.
    """

    standing: Standing
    sent: list[Sent] = field(default_factory=list)
    paid_base: int = 0
    waiting: Wait | None = None
    planned: tuple[Step, Call] | None = None


@dataclass
class Leaving:
    """One account on its way out.

    Args:
        settlement: the contract.
        owner: whose account it is.
        key: pays for the calls, and is the owner's for those that only the owner may send; None on a dry run.
        circuits: folder with the exit circuit.
        first_block: not after the contract's deployment.
        progress: told how far the rebuilding is.
        say: told each step in words.
    """

    settlement: SettlementContract
    owner: ChecksumAddress
    key: LocalAccount | None
    circuits: Path
    first_block: int
    progress: Progress
    say: Callable[[str], None]
    _rebuilt: dict[int, Rebuilt] = field(default_factory=dict)

    def run(self, dry_run: bool = False, wait: bool = False) -> Left:
        """Makes every step that can be made now.

        Args:
            dry_run: only prepares the first of them.
            wait: stays through deadlines until nothing is left to do.

        Raises:
            NoAccount, OwnerKeyNeeded, KeyNeeded: nobody's account, or no key for it.
            BatchUnreadable, RootDiffers: the node does not give the whole truth.
            OtherCircuit, ArtifactsMissing: the exit circuit at hand is not the contract's.
            ContractReverted, Reverted, NotMined: a step was refused, or is not mined yet.
        """
        sender, left = Sender(self.settlement), Left(self.look())
        while True:
            step = next_step(left.standing)
            if step is None:
                return left
            if isinstance(step, Wait):
                left.waiting = step
                if dry_run or not wait:
                    return left
                self._sit_out(step)
            else:
                call = sender.prepare(step.function, self._arguments(step, left.standing), self._sender(step))
                if dry_run:
                    left.planned = (step, call)
                    return left
                if self.key is None:
                    raise KeyNeeded(step.function)
                self.say(f"{step.function}: sending, {call.gas:,} gas")
                left.sent.append(sender.send(call, self.key))
                left.paid_base += step.pays_base
            left.waiting, left.standing = None, self.look()

    def look(self) -> Standing:
        """Where the account stands now.

        Raises:
            NoAccount: the owner has none.
            BatchUnreadable, RootDiffers: the tree cannot be rebuilt from this node.
        """
        idx = self.settlement.view("indexOf", self.owner)
        if idx == 0:
            raise NoAccount(self.owner)
        view = self.settlement.view("account", idx)
        names = [part["name"] for part in _account_fields()]
        account = dict(zip(names, view, strict=True))
        status = Status(account["status"])
        balance_base = 0
        if status in (Status.OPEN, Status.FROZEN):
            root = account["frozenRoot"] or self.settlement.view("stateRoot")
            balance_base = self._at(root).accounts.get(idx, UNUSED).balance
        return Standing(
            idx=idx,
            owner=account["owner"],
            status=status,
            now_s=self._now_s(),
            balance_base=balance_base,
            pending_deposit_base=account["pendingDeposit"],
            cancelling_base=account["cancelling"],
            cancel_deadline_s=account["cancelDeadline"],
            pending_withdrawal_base=account["pendingWithdrawal"],
            withdrawal_deadline_s=account["withdrawalDeadline"],
            pending_key=account["pendingKey"],
            key_deadline_s=account["keyDeadline"],
            withdrawable_base=account["withdrawable"],
            frozen_root=account["frozenRoot"],
        )

    def _at(self, root: int) -> Rebuilt:
        if root not in self._rebuilt:
            self._rebuilt = {root: rebuild(self.settlement, root, self.first_block, self.progress)}
        return self._rebuilt[root]

    def _now_s(self) -> int:
        """The chain's clock: of the block that is being made, as a quiet chain's last one may be old."""
        client = self.settlement.client
        with client.answering("eth_getBlockByNumber"):
            latest_s = client.web3.eth.get_block("latest")["timestamp"]
        try:
            with client.answering("eth_getBlockByNumber"):
                return max(latest_s, client.web3.eth.get_block("pending")["timestamp"])
        except (RpcRefused, BlockNotFound):  # some nodes have no pending block
            return latest_s

    def _sender(self, step: Step) -> ChecksumAddress:
        """Who sends the step. Raises OwnerKeyNeeded if only the owner may, and the key is another's."""
        if self.key is None:
            return self.owner
        if step.by_owner and self.key.address != self.owner:
            raise OwnerKeyNeeded(step.function, self.owner)
        return self.key.address

    def _arguments(self, step: Step, standing: Standing) -> tuple[Any, ...]:
        """The call's arguments; for an exit the proof is made here."""
        if step.function != "exit":
            return step.arguments
        self._require_circuit()
        rebuilt = self._at(standing.frozen_root)
        witness = exit_inputs(rebuilt.tree, standing.idx, rebuilt.accounts[standing.idx])
        self.progress("proof", 0, 1)
        proof = prove_once(self.circuits, EXIT_CIRCUIT, witness.circuit_inputs)
        self.progress("proof", 1, 1)
        return (*step.arguments, list(proof.words))

    def _require_circuit(self) -> None:
        """The key at hand is the one on chain. Raises OtherCircuit, or ArtifactsMissing if there is none."""
        address = self.settlement.view("exitVerifier")
        client = self.settlement.client
        verifier = client.web3.eth.contract(address, abi=load_abi("Verifier"))
        with client.answering("eth_call"):
            on_chain = tuple(verifier.functions.verifyingKey().call())
        if Artifacts.load(self.circuits, EXIT_CIRCUIT).verifying_key != on_chain:
            raise OtherCircuit(address, str(self.circuits))

    def _sit_out(self, wait: Wait) -> None:
        self.say(f"waiting: {wait.what}")
        while (left_s := wait.until_s - self._now_s()) > 0:
            time.sleep(min(left_s, LONGEST_NAP_S))


def _account_fields() -> list[Any]:
    """Names of `ISettlement.Account` in its order, from the ABI."""
    for item in load_abi("Settlement"):
        if item["type"] == "function" and item["name"] == "account":
            return list(item["outputs"][0]["components"])
    raise LookupError("the ABI has no account()")
