"""Tampering, end to end: `settleBatch` refuses every changed word, root and proof; no forgery has one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.batches import RawSlot, unchecked_inputs
from support.lies import calldata
from support.settling import CEILING_BASE, Call, Scenario, Settling
from support.stack import Stack, Wallet
from web3.exceptions import ContractCustomError

from bridge.chain.settlement import decode_revert
from bridge.groth16 import Q
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.errors import InvalidTransition
from bridge.rollup.transition import Authorisation
from bridge.witness import WitnessRefused
from mini_llm.wallet.ceiling import sign_ceiling


def refusal(settling: Settling, call: Call, stack: Stack | None = None) -> str:
    """Name of the custom error with which the contract refuses a batch."""
    target = stack or settling.stack
    arguments = (call.header, call.words, call.partner_words, call.proof)
    with pytest.raises(ContractCustomError) as refused:
        target.send(target.operator, target.settlement.functions.settleBatch(*arguments))
    return decode_revert(bytes.fromhex(str(refused.value.data)[2:]))[0]


def test_the_contract_refuses_every_tampered_part(scenario: Scenario) -> None:
    settling, alice = scenario.settling, scenario.alice
    with settling.branch():
        honest = settling.prepare(Slot(alice.idx, charge=77, withdraw=0), wallets=(alice,))
        words, proof = honest.words, honest.proof
        old_root, new_root, commitment = honest.header[:3]
        tampered: list[tuple[Call, str]] = [
            (replace(honest, words=[words[0] + (1 << 24), *words[1:]]), "InvalidProof"),
            (replace(honest, words=[words[0] + (1 << 132), *words[1:]]), "InvalidProof"),
            (replace(honest, words=[words[0] | 1 << 241, *words[1:]]), "NotCanonical"),
            (replace(honest, words=[words[0], 1, *words[2:]]), "InvalidProof"),
            (replace(honest, words=words[:6]), "UnsupportedBatchSize"),
            (replace(honest, partner_words=[encode_partner_word(2, 78)]), "GrossMismatch"),
            (replace(honest, partner_words=[encode_partner_word(9, 77)]), "UnknownPartner"),
            (replace(honest, proof=[*proof[:1], Q - proof[1], *proof[2:]]), "InvalidProof"),
            (replace(honest, proof=[*proof[:7], proof[7] ^ 1]), "InvalidProof"),
            (replace(honest, proof=[0] * 8), "InvalidProof"),
            (honest.altered(old_root=old_root + 1), "StateMismatch"),
            (honest.altered(new_root=new_root + 1), "InvalidProof"),
            (honest.altered(commitment=commitment + 1), "InvalidProof"),
            (honest.altered(receipts_total=78), "GrossMismatch"),
        ]
        for call, error in tampered:
            assert refusal(settling, call) == error
        settling.send(honest)  # it was the tampering that was refused
        assert refusal(settling, honest) == "StateMismatch"  # and the batch itself cannot be replayed


def test_a_proof_does_not_fit_another_deployment(scenario: Scenario) -> None:
    settling, alice, bob = scenario.settling, scenario.alice, scenario.bob
    with settling.branch():
        other = Stack(scenario.stack.anvil)
        twins = [Wallet(wallet.account, wallet.session_secret, other.domain) for wallet in (alice, bob)]
        _, call = calldata(scenario, 1)
        for twin, key_commit in zip(twins, (call["words"][1], call["words"][3]), strict=True):
            other.send(other.owner, other.token.functions.mint(twin.address, 10_000_000))
            scenario.stack.anvil.rpc("anvil_setBalance", twin.address, hex(10**19))
            other.send(twin.account, other.token.functions.approve(other.settlement.address, 10_000_000))
            other.send(twin.account, other.settlement.functions.deposit(10_000_000, key_commit))
        header = tuple(call["header"].values())
        reused = Call(header, call["words"], call["partnerWords"], call["proof"])
        assert refusal(settling, reused, other) == "InvalidProof"


@pytest.mark.parametrize("forgery", ["key", "ceiling", "deployment", "account"])
def test_a_forged_ceiling_cannot_be_proved(scenario: Scenario, forgery: str) -> None:
    settling, alice = scenario.settling, scenario.alice
    secret = alice.session_secret + 1 if forgery == "key" else alice.session_secret
    spent_base = settling.state.accounts[alice.idx].spent + 77
    ceiling_base = spent_base - 1 if forgery == "ceiling" else CEILING_BASE
    domain = alice.domain + 1 if forgery == "deployment" else alice.domain
    signed = sign_ceiling(secret, domain, alice.idx + (forgery == "account"), ceiling_base)
    auth = Authorisation(ceiling_base, signed.key, signed.signature)
    slot = Slot(alice.idx, charge=77)
    with pytest.raises(InvalidTransition):
        settling.state.copy().prove_inputs(settling.number + 1, [slot], {alice.idx: auth}, 4)
    forged = unchecked_inputs(settling.state, [RawSlot(slot, auth)], 4, settling.number + 1)
    with pytest.raises(WitnessRefused):
        settling.prover.prove(4, forged)


def test_the_same_inputs_with_the_true_ceiling_are_proved(scenario: Scenario) -> None:
    settling, alice = scenario.settling, scenario.alice
    true = alice.ceiling(CEILING_BASE)
    auth = Authorisation(true.ceiling_base, true.key, true.signature)
    inputs = unchecked_inputs(
        settling.state, [RawSlot(Slot(alice.idx, charge=77), auth)], 4, settling.number + 1
    )
    assert len(settling.prover.prove(4, json.loads(json.dumps(inputs))).words) == 8
