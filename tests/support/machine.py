"""A settlement with a verifier double on a real anvil, driven call by call at chosen block times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from web3 import Web3
from web3.contract import Contract

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract, decode_revert
from bridge.rollup.batch import encode_partner_word
from bridge.rollup.transition import BatchWitness
from bridge.state import ChainState
from support.anvil import Anvil, artifact, double, running_anvil
from support.stack import BURN_BPS, DAY_S, FEE_BPS, POOL_BPS, VIBES, labelled_account

HOUSE = 0
TERMS = {1: 3_000, 2: 1_234}
"""Basis points that the registry starts with."""
PARTNERS = tuple(TERMS)
MAX_BPS = 5_000
DEADLINE_S = DAY_S
GAS = 3_000_000
MINTED = 10_000 * VIBES
RECORD_FIELDS = {
    "owner": "owner",
    "pendingDeposit": "pending_deposit",
    "pendingWithdrawal": "pending_withdrawal",
    "withdrawable": "withdrawable",
    "withdrawalDeadline": "withdrawal_deadline",
    "keyDeadline": "key_deadline",
    "pendingKey": "pending_key",
    "cancelling": "cancelling",
    "cancelDeadline": "cancel_deadline",
    "status": "status",
    "frozenRoot": "frozen_root",
}
"""`ISettlement.Account` in the words of the model."""


class World:
    """One deployment that can be put back to its beginning. Senders are anvil's unlocked accounts."""

    def __init__(self, anvil: Anvil, size: int) -> None:
        self._anvil, self._web3 = anvil, anvil.web3
        self._web3.middleware_onion.remove("validation")  # asks for the chain id before every call
        accounts = self._web3.eth.accounts
        self._owner, self.operator, self.guardian, self.stranger = accounts[:4]
        self.wallets = accounts[4:]
        self._size = size
        self._deploy()
        self.domain: int = self._settlement.functions.domain().call()
        self._client = ChainClient(anvil.url, 20)
        self._reader = SettlementContract(self._client, self._settlement.address)
        self._snapshot = anvil.rpc("evm_snapshot")
        self.reset()

    # -- time

    def reset(self) -> None:
        """Back to just after the deployment."""
        self._anvil.rpc("evm_revert", self._snapshot)
        self._snapshot = self._anvil.rpc("evm_snapshot")
        self.now: int = self._web3.eth.get_block("latest")["timestamp"]
        self._state, self._read_block = ChainState(self.domain), -1

    def next_time(self) -> int:
        """Moves on by a second: the time of the block that the next call is mined in."""
        self.now += 1
        self._anvil.rpc("evm_setNextBlockTimestamp", self.now)
        return self.now

    def wait(self, seconds: int) -> None:
        """Lets time pass."""
        self.now += seconds

    # -- calls

    def send(self, name: str, arguments: tuple[Any, ...], sender: str) -> str | None:
        """Mines one call; the name of the contract's error if it reverted."""
        return self._mine(self._settlement.functions[name](*arguments), sender)

    def settle(self, batch: BatchWitness, gross: Mapping[int, int], receipts_total: int) -> str | None:
        """Mines settleBatch; the double takes exactly the public inputs that the specification computed."""
        self._must(self._verifier.functions.expectInput(list(batch.public)), self._owner)
        self.next_time()
        header = (batch.old_root, batch.new_root, batch.public[0], b"\1" * 32, receipts_total)
        partner_words = [encode_partner_word(partner, gross[partner]) for partner in sorted(gross)]
        call = self._settlement.functions.settleBatch(header, list(batch.words[3:]), partner_words, [0] * 8)
        return self._mine(call, self.operator)

    def expect_exit(self, root: int, idx: int, balance: int) -> None:
        """The double takes an exit proof for these public inputs only."""
        self._must(self._exit_verifier.functions.expectInput([root, idx, balance]), self._owner)

    def set_bps(self, partner: int, bps: int) -> None:
        """Changes the registry's terms, by the timelock."""
        self._anvil.rpc("anvil_impersonateAccount", self._timelock.address)
        self.next_time()
        self._must(self._registry.functions.setBps(partner, bps), self._timelock.address)

    # -- views

    def view(self, name: str) -> Any:
        """A view of the settlement without arguments."""
        return self._settlement.functions[name]().call()

    def account(self, idx: int) -> dict[str, Any]:
        """The contract's record in the words of the model."""
        record = self._settlement.functions.account(idx).call()
        names = [part["name"] for part in self._account_parts()]
        values = dict(zip(names, record, strict=True))
        return {RECORD_FIELDS[name]: value for name, value in values.items()}

    def held(self) -> int:
        """Tokens of the settlement."""
        return int(self._token.functions.balanceOf(self._settlement.address).call())

    def replayed_root(self) -> int:
        """The root rebuilt from events and calldata, as the bridge does it."""
        head = self._client.head()
        if head == self._read_block:
            return self._state.rollup.root
        for log in self._client.logs(self._reader.address, self._read_block + 1, head):
            event = self._reader.read_event(log, 0)
            if event is not None:
                self._state.apply(event)
        self._read_block = head
        return self._state.rollup.root

    # -- parts of the above

    def _deploy(self) -> None:
        self._token = self._new("VibesToken", self._owner, [(wallet, MINTED) for wallet in self.wallets])
        self._timelock = self._new("PolicyTimelock", 3 * DEADLINE_S + 3 * DAY_S, self._owner)
        partners = [
            (f"partner {id}", labelled_account(f"partner {id}").address, bps) for id, bps in TERMS.items()
        ]
        self._registry = self._new("PartnerRegistry", self._timelock.address, MAX_BPS, partners)
        self._verifier = self._new("SwitchVerifier", self._size)
        self._exit_verifier = self._new("SwitchVerifier", 0)
        treasury, signer = labelled_account("treasury"), labelled_account("receipt signer")
        config = (
            *(self._token.address, self._registry.address, treasury.address, self._timelock.address),
            *(self.guardian, self.operator, signer.address, FEE_BPS, BURN_BPS, POOL_BPS),
            *(DEADLINE_S, VIBES, self._exit_verifier.address, [self._verifier.address]),
        )
        self._settlement = self._new("Settlement", config)
        for wallet in self.wallets:
            self._must(self._token.functions.approve(self._settlement.address, 2**256 - 1), wallet)
        self._anvil.rpc("anvil_setBalance", self._timelock.address, hex(10**21))

    def _account_parts(self) -> list[dict[str, Any]]:
        abi = next(item for item in self._settlement.abi if item.get("name") == "account")
        return abi["outputs"][0]["components"]  # type: ignore[index,typeddict-item,return-value]

    def _mine(self, call: Any, sender: str) -> str | None:
        tx_hash = call.transact({"from": sender, "gas": GAS})
        if self._receipt(tx_hash)["status"] == 1:
            return None
        trace = self._anvil.rpc("debug_traceTransaction", Web3.to_hex(tx_hash), {"tracer": "callTracer"})
        return decode_revert(bytes.fromhex(trace.get("output", "0x")[2:]))[0]

    def _receipt(self, tx_hash: Any) -> Any:
        return self._web3.eth.wait_for_transaction_receipt(tx_hash, timeout=20, poll_latency=0.002)

    def _must(self, call: Any, sender: str) -> None:
        error = self._mine(call, sender)
        if error is not None:
            raise RuntimeError(error)

    def _new(self, name: str, *arguments: Any) -> Contract:
        abi, bytecode = double(name) if name == "SwitchVerifier" else artifact(name)
        factory = self._web3.eth.contract(abi=abi, bytecode=bytecode)
        tx_hash = factory.constructor(*arguments).transact({"from": self._owner})
        address = self._receipt(tx_hash)["contractAddress"]
        return self._web3.eth.contract(address=address, abi=abi)


@contextmanager
def deployed_world(size: int) -> Iterator[World]:
    """A world on an anvil of its own."""
    with running_anvil("--accounts", "8") as anvil:
        yield World(anvil, size)
