"""A compact operator that settles straight from the executable spec, and can be made to cheat."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from web3.types import TxReceipt

from bridge.prover import Prover
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.transition import Authorisation, RollupState
from mini_llm.wallet.receipt import Receipt, ReceiptDomain, SignedReceipt, sign_receipt
from mini_llm.wallet.receipts_tree import receipts_tree
from support.leaving import leave
from support.proofs import remember
from support.stack import Stack, Wallet

SIZE = 4
CEILING_BASE = 10**9


@dataclass
class Call:
    """The arguments of settleBatch."""

    header: tuple[int, int, int, bytes, int]
    words: list[int]
    partner_words: list[int]
    proof: list[int]

    def altered(self, **header: Any) -> Call:
        """The same call with other header fields, by position name."""
        names = ("old_root", "new_root", "commitment", "receipts_root", "receipts_total")
        values = tuple(header.get(name, value) for name, value in zip(names, self.header, strict=True))
        return replace(self, header=values)


@dataclass
class Settling:
    """Books of a small operator.

    receipts: all receipts so far, in the order they were signed.
    open: those that no batch has settled.
    """

    stack: Stack
    prover: Prover
    state: RollupState = field(init=False)
    receipts: list[SignedReceipt] = field(default_factory=list)
    open: list[SignedReceipt] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.state = RollupState(self.stack.domain)

    @property
    def domain(self) -> ReceiptDomain:
        return ReceiptDomain(self.stack.chain_id, self.stack.settlement.address)

    def sign(self, receipt: Receipt) -> SignedReceipt:
        return sign_receipt(receipt, self.domain, bytes(self.stack.receipt_signer.key))

    def charge(self, wallet: Wallet, charge_base: int, partner: int) -> SignedReceipt:
        """One paid call of one base unit per token."""
        mine = [signed.receipt for signed in self.receipts if signed.receipt.account == wallet.idx]
        theirs = [signed.receipt for signed in self.receipts if signed.receipt.partner == partner]
        signed = self.sign(
            Receipt(
                request_id=len(self.receipts).to_bytes(32, "big"),
                account=wallet.idx,
                partner=partner,
                model="pithy-1",
                prompt_tokens=charge_base,
                completion_tokens=0,
                prompt_price_base_per_mtok=10**6,
                completion_price_base_per_mtok=0,
                vibes_per_usd=100,
                charge_base=charge_base,
                account_sequence=len(mine) + 1,
                partner_sequence=len(theirs) + 1,
                account_total_base=sum(receipt.charge_base for receipt in mine) + charge_base,
                partner_total_base=sum(receipt.charge_base for receipt in theirs) + charge_base,
                previous_receipt=mine[-1].digest(self.domain) if mine else bytes(32),
                time=1_800_000_000 + len(self.receipts),
                prompt_hash=bytes(32),
            )
        )
        self.receipts.append(signed)
        self.open.append(signed)
        return signed

    def prepare(self, *slots: Slot, wallets: tuple[Wallet, ...] = ()) -> Call:
        """Proves a batch; the state moves on, the chain does not."""
        by_idx = {wallet.idx: wallet.ceiling(CEILING_BASE) for wallet in wallets}
        auths = {idx: Authorisation(c.ceiling_base, c.key, c.signature) for idx, c in by_idx.items()}
        witness = self.state.prove_inputs(self.number + 1, slots, auths, SIZE)
        proof = self.prover.prove(SIZE, witness.circuit_inputs)
        ordered = sorted((s.receipt for s in self.open), key=lambda r: (r.account, r.account_sequence))
        gross: dict[int, int] = defaultdict(int)
        for receipt in ordered:
            gross[receipt.partner] += receipt.charge_base
        root, total = receipts_tree([(r.digest(self.domain), r.charge_base) for r in ordered])
        partner_words = [encode_partner_word(*item) for item in sorted(gross.items())]
        header = (witness.old_root, witness.new_root, witness.public[0], root, total)
        return Call(header, list(witness.words[3:]), partner_words, list(proof.words))

    def send(self, call: Call) -> TxReceipt:
        """Settles a prepared batch; a refusal raises ContractLogicError."""
        arguments = (call.header, call.words, call.partner_words, call.proof)
        receipt = self.stack.send(
            self.stack.operator, self.stack.settlement.functions.settleBatch(*arguments)
        )
        self.number += 1
        self.open = []
        return receipt

    def settle(self, *slots: Slot, wallets: tuple[Wallet, ...] = ()) -> TxReceipt:
        return self.send(self.prepare(*slots, wallets=wallets))

    @contextmanager
    def branch(self) -> Iterator[None]:
        """What happens inside is undone: on the chain and in these books."""
        snapshot = self.stack.anvil.rpc("evm_snapshot")
        kept = (self.state.copy(), list(self.receipts), list(self.open), self.number)
        try:
            yield
        finally:
            self.state, self.receipts, self.open, self.number = kept
            self.stack.anvil.rpc("evm_revert", snapshot)


def export(path: Path, receipts: list[SignedReceipt]) -> Path:
    """Writes an export as `vibes-router receipts export` does."""
    path.write_text("".join(json.dumps(signed.to_json()) + "\n" for signed in receipts))
    return path


@dataclass
class Scenario:
    """Two accounts, two partners, three batches, a change of terms, rewards, withdrawals and payouts.

    carol: left by a freeze and an exit.
    dave: took back the deposit that no batch had consumed.
    """

    settling: Settling
    alice: Wallet
    bob: Wallet
    carol: Wallet
    dave: Wallet

    @property
    def stack(self) -> Stack:
        return self.settling.stack


def play(settling: Settling) -> Scenario:
    """The honest history that all audit tests start from; one receipt stays unsettled."""
    stack, charge = settling.stack, settling.charge
    names = ("alice", "bob", "carol", "dave")
    alice, bob, carol, dave = wallets = [stack.wallet(name, 20_000_000) for name in names]
    for wallet in wallets:
        stack.deposit(wallet, 10_000_000)
    everyone, functions = (alice, bob), stack.settlement.functions
    charge(alice, 1_234_567, 1), charge(bob, 700_001, 2), charge(alice, 99, 2), charge(bob, 11, 0)
    opening = {"deposit": 10_000_000}
    settling.settle(
        Slot(alice.idx, charge=1_234_666, key_commit=alice.key_commit, **opening),
        Slot(bob.idx, charge=700_012, key_commit=bob.key_commit, **opening),
        Slot(carol.idx, deposit=4_000_000, key_commit=carol.key_commit),
        wallets=everyone,
    )  # fmt: skip
    stack.send(stack.relayer, functions.claimPartner(1))

    stack.as_timelock(stack.registry.functions.setBps(1, 2_000))
    stack.send(stack.relayer, functions.applyTerms(1))
    stack.request_withdrawal(alice, 3_000_000)
    stack.request_withdrawal(bob, 10_000_000)
    charge(alice, 345_679, 1), charge(bob, 33, 2)
    left_base = 10_000_000 - 700_012 - 33 + 7
    settling.settle(
        Slot(alice.idx, charge=345_679, reward=123, withdraw=3_000_000),
        Slot(bob.idx, charge=33, reward=7, withdraw=left_base, drain=True),
        wallets=everyone,
    )  # fmt: skip
    stack.send(stack.relayer, functions.withdraw(bob.idx))
    for claim in (functions.claimPartner(1), functions.claimPartner(2), functions.claimFee()):
        stack.send(stack.relayer, claim)

    stack.deposit(alice, 5_000_000)
    stack.change_key(bob, 1)
    charge(alice, 5, 1)
    settling.settle(Slot(alice.idx, charge=5, deposit=2_000_000), wallets=everyone)
    leave(stack, settling.state, carol, dave)
    charge(alice, 77, 2)
    return Scenario(settling, *wallets)


@contextmanager
def played(stack: Stack, circuits_dir: Path) -> Iterator[Scenario]:
    """`play` on a fresh deployment, with remembered proofs; the prover lives as long as the scenario."""
    with Prover(circuits_dir, (SIZE,), stack.chain_id) as prover:
        with pytest.MonkeyPatch.context() as patch:
            remember(patch)
            scenario = play(Settling(stack, prover))
        yield scenario
