"""The compiled contracts, and batches with real proofs on a real chain."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_abi import encode as abi_encode
from eth_hash.auto import keccak
from support.anvil import ROOT, artifact, circuits, running_anvil
from support.stack import VIBES, Stack, Wallet
from web3.exceptions import ContractCustomError

from bridge.groth16 import Q
from bridge.prover import Prover
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.transition import Authorisation, BatchWitness, RollupState
from bridge.rollup.tree import GENESIS_ROOT
from mini_llm.wallet.field import P

sys.path.insert(0, str(ROOT / "scripts"))

from networks import NETWORKS

DEPLOYED = (
    "VibesToken",
    "PolicyTimelock",
    "PartnerRegistry",
    "Settlement",
    "ExitVerifier",
    "BatchVerifier4",
    "BatchVerifier10",
)
CODE_SIZE_LIMIT = 24_576  # EIP-170


# ---------------------------------------------------------------- what was compiled


def runtime_code(name: str) -> bytes:
    """Deployed bytecode without the metadata that the compiler puts behind it."""
    artifact(name)  # builds if need be
    compiled = json.loads((ROOT / "build" / "forge" / f"{name}.sol" / f"{name}.json").read_text())
    code = bytes.fromhex(compiled["deployedBytecode"]["object"].removeprefix("0x"))
    return code[: len(code) - int.from_bytes(code[-2:], "big") - 2]


@pytest.mark.parametrize("name", DEPLOYED)
def test_no_opcode_outside_the_zkevm(name: str) -> None:
    NETWORKS["polygon-zkevm"].check_code(name, runtime_code(name))


@pytest.mark.parametrize("name", DEPLOYED)
def test_code_fits_the_size_limit(name: str) -> None:
    assert len(runtime_code(name)) < CODE_SIZE_LIMIT


def test_committed_abis_are_those_of_the_build() -> None:
    artifact("Settlement")  # builds if need be
    spec = importlib.util.spec_from_file_location("export_abi", ROOT / "scripts" / "export_abi.py")
    assert spec is not None
    assert spec.loader is not None
    export_abi = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(export_abi)
    assert export_abi.stale_files() == []


# ---------------------------------------------------------------- batches with real proofs


@dataclass(frozen=True)
class Batch:
    """Arguments of `settleBatch`, with a proof."""

    old_root: int
    new_root: int
    commitment: int
    receipts_root: bytes
    receipts_total: int
    words: tuple[int, ...]
    partner_words: tuple[int, ...]
    proof: tuple[int, ...]

    def call(self, settlement: Any) -> Any:
        header = (self.old_root, self.new_root, self.commitment, self.receipts_root, self.receipts_total)
        return settlement.functions.settleBatch(header, self.words, self.partner_words, self.proof)


@dataclass(frozen=True)
class Scene:
    """A chain on which batch 1 is settled and batch 2 is proved and not yet sent."""

    stack: Stack
    wallets: tuple[Wallet, Wallet]
    state: RollupState
    settled: Batch
    waiting: Batch

    def refused(self, batch: Batch, error: str, *values: int, settlement: Any = None) -> None:
        """The operator cannot settle `batch`: it reverts with this error."""
        contract = settlement or self.stack.settlement
        with pytest.raises(ContractCustomError) as raised:
            batch.call(contract).call({"from": self.stack.operator.address})
        assert raised.value.data == error_data(contract.abi, error, values)


def error_data(abi: list[dict[str, Any]], name: str, values: tuple[int, ...]) -> str:
    """What a revert with the custom error returns, 0x hex."""
    entry = next(item for item in abi if item["type"] == "error" and item["name"] == name)
    types = [field["type"] for field in entry["inputs"]]
    selector = keccak(f"{name}({','.join(types)})".encode())[:4]
    return "0x" + (selector + abi_encode(types, values)).hex()


def authorise(wallet: Wallet, ceiling_base: int) -> Authorisation:
    signed = wallet.ceiling(ceiling_base)
    return Authorisation(signed.ceiling_base, signed.key, signed.signature)


def proved(prover: Prover, witness: BatchWitness, partners: dict[int, int]) -> Batch:
    """The batch of a witness; `partners` is gross by partner id, base units."""
    return Batch(
        old_root=witness.old_root,
        new_root=witness.new_root,
        commitment=witness.public[0],
        receipts_root=keccak(b"receipts"),
        receipts_total=sum(partners.values()),
        words=witness.words[3:],
        partner_words=tuple(encode_partner_word(*item) for item in sorted(partners.items())),
        proof=prover.prove(4, witness.circuit_inputs).words,
    )


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with running_anvil() as node:
        stack = Stack(node)
        alice, bob = stack.wallet("alice", 100 * VIBES), stack.wallet("bob", 100 * VIBES)
        for wallet in (alice, bob):
            stack.deposit(wallet, 50 * VIBES)
        state = RollupState(stack.domain)
        with Prover(circuits(), (4,), stack.chain_id) as prover:
            first = [
                Slot(alice.idx, charge=3 * VIBES, deposit=50 * VIBES, key_commit=alice.key_commit),
                Slot(bob.idx, charge=1, deposit=20 * VIBES, key_commit=bob.key_commit),
            ]
            auths = {alice.idx: authorise(alice, 4 * VIBES), bob.idx: authorise(bob, 9 * VIBES)}
            witness = state.prove_inputs(1, first, auths, 4)
            settled = proved(prover, witness, {0: 1, 1: 2 * VIBES, 2: 1 * VIBES})
            stack.send(stack.operator, settled.call(stack.settlement))
            stack.request_withdrawal(alice, 1_000 * VIBES)
            second = [
                Slot(alice.idx, charge=1 * VIBES, withdraw=46 * VIBES, drain=True),
                Slot(bob.idx, charge=7, reward=5, deposit=30 * VIBES),
            ]
            witness = state.prove_inputs(2, second, auths, 4)
            waiting = proved(prover, witness, {1: 1 * VIBES + 7})
        yield Scene(stack, (alice, bob), state, settled, waiting)


def test_a_proved_batch_settles(scene: Scene) -> None:
    settlement = scene.stack.settlement.functions
    assert scene.settled.old_root == GENESIS_ROOT
    assert settlement.stateRoot().call() == scene.settled.new_root
    assert settlement.batchNumber().call() == 1
    assert settlement.account(scene.wallets[1].idx).call()[1] == 30 * VIBES  # a deposit consumed in part
    assert settlement.partnerClaimable(1).call() == 600_000
    # The next one would settle too: what the tests below change is what makes theirs fail.
    scene.waiting.call(scene.stack.settlement).call({"from": scene.stack.operator.address})


def test_a_settled_batch_cannot_be_replayed(scene: Scene) -> None:
    scene.refused(scene.settled, "StateMismatch", scene.settled.new_root, scene.settled.old_root)
    replayed = replace(scene.settled, old_root=scene.settled.new_root)
    scene.refused(replayed, "InvalidProof")


def test_a_proof_is_worth_nothing_on_a_second_deployment(scene: Scene) -> None:
    second = Stack(scene.stack.anvil)
    assert second.settlement.address != scene.stack.settlement.address
    for wallet in scene.wallets:
        scene.stack.send(scene.stack.owner, second.token.functions.mint(wallet.address, 100 * VIBES))
        second.deposit(wallet, 50 * VIBES)
    scene.refused(scene.settled, "InvalidProof", settlement=second.settlement)


@pytest.mark.parametrize("position", range(8))
@pytest.mark.parametrize("bit", [0, 24, 78, 132])
def test_a_changed_slot_is_refused(scene: Scene, position: int, bit: int) -> None:
    words = list(scene.waiting.words)
    words[position] ^= 1 << bit
    with pytest.raises(ContractCustomError) as raised:
        replace(scene.waiting, words=tuple(words)).call(scene.stack.settlement).call(
            {"from": scene.stack.operator.address}
        )
    slot = words[position & ~1 :][:2]
    empty = slot[0] % 2**24 == 0  # the slot belongs to no account any more, or never did
    error = ("NotCanonical", (slot[0] or slot[1],)) if empty else ("InvalidProof", ())
    assert raised.value.data == error_data(scene.stack.settlement.abi, *error)


def test_swapped_slots_are_refused(scene: Scene) -> None:
    words = scene.waiting.words
    scene.refused(replace(scene.waiting, words=words[2:4] + words[:2] + words[4:]), "InvalidProof")


def test_changed_roots_and_commitments_are_refused(scene: Scene) -> None:
    waiting = scene.waiting
    scene.refused(
        replace(waiting, old_root=waiting.old_root + 1),
        "StateMismatch",
        waiting.old_root,
        waiting.old_root + 1,
    )
    scene.refused(replace(waiting, new_root=waiting.new_root ^ 1), "InvalidProof")
    scene.refused(replace(waiting, commitment=waiting.commitment ^ 1), "InvalidProof")
    # The same numbers written another way would be other words with the same proof.
    scene.refused(replace(waiting, new_root=waiting.new_root + P), "NotCanonical", waiting.new_root + P)
    scene.refused(replace(waiting, commitment=waiting.commitment + P), "NotCanonical", waiting.commitment + P)


def test_changed_partner_words_and_totals_are_refused(scene: Scene) -> None:
    gross = 1 * VIBES + 7
    for other in (gross - 1, gross + 1):
        words = (encode_partner_word(1, other),)
        scene.refused(replace(scene.waiting, partner_words=words), "GrossMismatch", gross, other, gross)
        scene.refused(replace(scene.waiting, receipts_total=other), "GrossMismatch", gross, gross, other)
    unknown = (encode_partner_word(3, gross),)
    scene.refused(replace(scene.waiting, partner_words=unknown), "UnknownPartner", 3)


def test_changed_proofs_are_refused(scene: Scene) -> None:
    proof = scene.waiting.proof
    other = replace(scene.waiting, proof=scene.settled.proof)
    scene.refused(other, "InvalidProof")
    for position, value in enumerate(proof):
        overflowing = (*proof[:position], value + Q, *proof[position + 1 :])
        scene.refused(replace(scene.waiting, proof=overflowing), "InvalidProof")
        moved = (*proof[:position], value ^ 1, *proof[position + 1 :])
        scene.refused(replace(scene.waiting, proof=moved), "InvalidProof")


def malleated(proof: tuple[int, ...]) -> tuple[int, ...]:
    """Another valid proof of the same, as anyone can make: e(-A, -B) = e(A, B)."""
    ax, ay, bx1, bx0, by1, by0, cx, cy = proof
    return ax, Q - ay, bx1, bx0, Q - by1, Q - by0, cx, cy


def test_a_malleated_proof_settles_nothing_twice(scene: Scene) -> None:
    other = replace(scene.waiting, proof=malleated(scene.waiting.proof))
    other.call(scene.stack.settlement).call({"from": scene.stack.operator.address})  # it is valid
    again = replace(scene.settled, proof=malleated(scene.settled.proof))
    scene.refused(again, "StateMismatch", scene.settled.new_root, scene.settled.old_root)
    moved = replace(again, old_root=scene.settled.new_root)
    scene.refused(moved, "InvalidProof")


def test_only_the_operator_settles(scene: Scene) -> None:
    stranger = scene.stack.relayer.address
    with pytest.raises(ContractCustomError) as raised:
        scene.waiting.call(scene.stack.settlement).call({"from": stranger})
    selector = keccak(b"NotOperator(address)")[:4]
    assert raised.value.data == "0x" + (selector + abi_encode(["address"], [stranger])).hex()


def test_chain_and_python_agree_on_the_deployment(scene: Scene) -> None:
    settlement = scene.stack.settlement.functions
    assert settlement.domain().call() == scene.stack.domain
    verifier = scene.stack.verifiers[4].functions
    manifest = json.loads((ROOT / "build" / "circuits" / "batch4" / "manifest.json").read_text())
    assert bytes(verifier.circuitHash().call()).hex() == manifest["circuit_hash"]
