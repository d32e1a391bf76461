"""The contracts on a chain of their own, with paying accounts and partners, to measure what batches cost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ape_deployer import Report, connected, prepare_ape, scratch_chain
from deploy import Plan, deploy
from deployable import built_circuits
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, TxReceipt

from bridge.prover import Prover
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.transition import Authorisation, RollupState
from mini_llm.wallet import babyjub
from mini_llm.wallet.ceiling import key_commitment, settlement_domain, sign_ceiling

ROOT = Path(__file__).resolve().parents[1]
ABI = ROOT / "bridge" / "chain" / "abi"
CHAIN_ID = 31337
PARTNERS = 8
TOKENS_BASE = 10**12
DEPOSIT_BASE = 10**9
CEILING_BASE = 10**11
GAS_LIMIT = 10_000_000
RECEIPTS_ROOT = bytes.fromhex("ab" * 32)  # any 32 bytes cost the same

Call = tuple[tuple[Any, ...], list[int], list[int], list[int]]
"""The arguments of settleBatch: header, words, partner words, proof."""


def account_address(number: int) -> str:
    """Owner of the account with this number; the node lets anyone send for it."""
    return Web3.to_checksum_address(f"0x{number:040x}".replace("0x00000000", "0xfeedfeed", 1))


def session_key(number: int, version: int = 0) -> tuple[int, babyjub.Point]:
    """Secret and public key of an account."""
    secret = 10**9 + 1_000 * version + number
    return secret, babyjub.public_key(secret)


@dataclass
class MeasuredChain:
    """A deployment whose operator is this process.

    url: of the node.
    size: slots per batch; so many accounts are opened.
    record: the deployment record of `scripts/deploy.py`.
    """

    url: str
    web3: Web3
    record: Mapping[str, Any]
    operator: Any
    prover: Prover
    size: int
    state: RollupState = field(init=False)
    number: int = 0
    keys: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settlement = self._contract("Settlement", self.record["settlement"])
        self.token = self._contract("VibesToken", self.record["token"])
        self.state = RollupState(settlement_domain(CHAIN_ID, self.settlement.address))

    def rpc(self, method: str, *params: Any) -> Any:
        """Result of a JSON-RPC call. Raises RuntimeError on an error answer."""
        answer = self.web3.provider.make_request(RPCEndpoint(method), list(params))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def send_as(self, sender: str, function: Any) -> TxReceipt:
        """Sends from any address, with ether out of nowhere. Raises RuntimeError if it reverted."""
        self.rpc("anvil_setBalance", sender, hex(10**20))
        receipt = self.web3.eth.wait_for_transaction_receipt(
            function.transact({"from": sender}), poll_latency=0.01
        )
        if receipt["status"] != 1:
            raise RuntimeError(f"{function.fn_name} reverted")
        return receipt

    def open_accounts(self) -> None:
        """Each account's first deposit, not yet in the tree."""
        self.rpc("anvil_autoImpersonateAccount", True)
        for number in range(1, self.size + 1):
            owner = account_address(number)
            commitment = key_commitment(session_key(number)[1])
            self.send_as(owner, self.token.functions.approve(self.settlement.address, TOKENS_BASE))
            self.send_as(owner, self.settlement.functions.deposit(DEPOSIT_BASE, commitment))
            self.keys[number] = 0

    def call(self, slots: Sequence[Slot], partners: int = PARTNERS) -> Call:
        """Proves the next batch; the charges are spread evenly over the partners."""
        auths = {}
        for slot in slots:
            if slot.charge:
                secret, _ = session_key(slot.idx, self.keys[slot.idx])
                signed = sign_ceiling(secret, self.state.domain, slot.idx, CEILING_BASE)
                auths[slot.idx] = Authorisation(CEILING_BASE, signed.key, signed.signature)
        witness = self.state.prove_inputs(self.number + 1, slots, auths, self.size)
        proof = self.prover.prove(self.size, witness.circuit_inputs)
        total = sum(slot.charge for slot in slots)
        gross = dict.fromkeys(range(1, partners + 1), total // partners)
        gross[1] += total % partners
        header = (witness.old_root, witness.new_root, witness.public[0], RECEIPTS_ROOT, total)
        partner_words = [encode_partner_word(*item) for item in gross.items()]
        return header, list(witness.words[3:]), partner_words, list(proof.words)

    def settle(self, slots: Sequence[Slot]) -> TxReceipt:
        """Proves and settles the next batch. Raises RuntimeError if it reverted."""
        return self.send_batch(self.call(slots))

    def send_batch(self, call: Call) -> TxReceipt:
        """Settles a proved batch. Raises RuntimeError if it reverted."""
        function = self.settlement.functions.settleBatch(*call)
        nonce = self.web3.eth.get_transaction_count(self.operator.address)
        transaction = function.build_transaction(
            {"from": self.operator.address, "nonce": nonce, "gas": GAS_LIMIT}
        )
        signed = self.operator.sign_transaction(transaction)
        tx_hash = self.web3.eth.send_raw_transaction(signed.raw_transaction)
        receipt = self.web3.eth.wait_for_transaction_receipt(tx_hash, poll_latency=0.01)
        if receipt["status"] != 1:
            raise RuntimeError(f"batch {self.number + 1} reverted")
        self.number += 1
        return receipt

    def _contract(self, name: str, address: str) -> Any:
        abi = json.loads((ABI / f"{name}.json").read_text())
        return self.web3.eth.contract(Web3.to_checksum_address(address), abi=abi)


@contextmanager
def measured_chain(size: int, circuits: Path, report: Report) -> Iterator[MeasuredChain]:
    """Deploys with the real verifier for batches of `size` slots on an anvil that ends with the block."""
    deployer_key = "0x" + os.urandom(32).hex()
    operator = Account.create()
    deployer = Account.from_key(deployer_key).address
    roles = {name: Account.create().address for name in ("treasury", "guardian", "receipt_signer")}
    plan = Plan(
        **roles,
        operator=operator.address,
        partners=tuple(
            {"name": f"partner-{number}", "payout": Account.create().address, "bps": 3_000}
            for number in range(1, PARTNERS + 1)
        ),
        mint=tuple(
            {"to": account_address(number), "amount_base": TOKENS_BASE} for number in range(1, size + 1)
        ),
    )
    wanted = [circuit for circuit in built_circuits(circuits, CHAIN_ID) if circuit.slots in (0, size)]
    with scratch_chain(CHAIN_ID, deployer, "--steps-tracing") as url:  # for debug_traceTransaction
        with connected(url, prepare_ape(), deployer_key, report) as ape:
            record = deploy(ape, plan, wanted, CHAIN_ID)
        web3 = Web3(HTTPProvider(url, {"timeout": 120}))
        with Prover(circuits, [size], CHAIN_ID) as prover:
            chain = MeasuredChain(url, web3, record, operator, prover, size)
            chain.rpc("anvil_setBalance", operator.address, hex(10**21))
            chain.open_accounts()
            yield chain
