"""Tampering, end to end: `vibes audit` or `settleBatch` refuses changed receipts, words, roots and proofs."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.abi import function_abi_to_4byte_selector
from support.auditing import Audited, Lie, lying_node, run_audit
from support.batches import RawSlot, unchecked_inputs
from support.settling import CEILING_BASE, Call, Scenario, Settling, export
from support.stack import Stack, Wallet, labelled_account
from web3.exceptions import ContractCustomError

from bridge.chain.settlement import decode_revert
from bridge.groth16 import Q
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.errors import InvalidTransition
from bridge.rollup.transition import Authorisation
from bridge.witness import WitnessRefused
from mini_llm.wallet.ceiling import sign_ceiling
from mini_llm.wallet.receipt import Receipt, SignedReceipt, sign_receipt

# -- receipts


def audit_receipts(scenario: Scenario, folder: Path, receipts: list[SignedReceipt]) -> dict[str, Any]:
    path = export(folder / "receipts.jsonl", receipts)
    return run_audit(scenario.stack.url, scenario.stack.settlement.address, path, "--json").mismatch


def changed(value: object) -> Any:
    if isinstance(value, int):
        return value + 1
    return value + "x" if isinstance(value, str) else bytes(31) + b"\7"


@pytest.mark.parametrize("name", [member.name for member in fields(Receipt)])
def test_a_changed_receipt_field_is_found(scenario: Scenario, tmp_path: Path, name: str) -> None:
    receipts = list(scenario.settling.receipts)
    forged = replace(receipts[1].receipt, **{name: changed(getattr(receipts[1].receipt, name))})
    receipts[1] = replace(receipts[1], receipt=forged)
    mismatch = audit_receipts(scenario, tmp_path, receipts)
    assert mismatch["check"] == "receipt signatures"
    assert mismatch["subject"].startswith("line 2,")
    assert mismatch["expected"] == scenario.stack.receipt_signer.address != mismatch["actual"]


def test_a_foreign_signature_is_found(scenario: Scenario, tmp_path: Path) -> None:
    receipts, foreign = list(scenario.settling.receipts), labelled_account("foreign")
    receipts[0] = sign_receipt(receipts[0].receipt, scenario.settling.domain, bytes(foreign.key))
    mismatch = audit_receipts(scenario, tmp_path, receipts)
    assert (mismatch["check"], mismatch["actual"]) == ("receipt signatures", foreign.address)
    assert (mismatch["batch"], mismatch["block"]) == (1, block_of(scenario, 1))


def test_a_changed_signature_is_found(scenario: Scenario, tmp_path: Path) -> None:
    receipts = list(scenario.settling.receipts)
    broken = bytearray(receipts[0].signature)
    broken[10] ^= 1
    receipts[0] = replace(receipts[0], signature=bytes(broken))
    assert audit_receipts(scenario, tmp_path, receipts)["check"] == "receipt signatures"


@pytest.mark.parametrize("dropped", [(0,), (1,), (4,), (6,)])
def test_a_missing_receipt_leaves_a_gap(scenario: Scenario, tmp_path: Path, dropped: tuple[int, ...]) -> None:
    kept = [signed for at, signed in enumerate(scenario.settling.receipts) if at not in dropped]
    assert audit_receipts(scenario, tmp_path, kept)["check"] == "receipt sequences"


def test_missing_last_receipts_do_not_fill_the_anchor(scenario: Scenario, tmp_path: Path) -> None:
    # the last receipt of bob's and all that followed at its partner: no sequence number is missing
    kept = [signed for at, signed in enumerate(scenario.settling.receipts) if at not in (5, 7)]
    mismatch = audit_receipts(scenario, tmp_path, kept)
    assert (mismatch["check"], mismatch["batch"]) == ("receipt anchors", 2)
    assert (mismatch["expected"], mismatch["actual"]) == ("700045", "700012")


def test_no_receipts_at_all_do_not_fill_the_anchor(scenario: Scenario, tmp_path: Path) -> None:
    mismatch = audit_receipts(scenario, tmp_path, [])
    assert (mismatch["check"], mismatch["batch"]) == ("receipt anchors", 1)


def test_two_receipts_with_one_number_are_shown_as_a_fraud_proof(scenario: Scenario, tmp_path: Path) -> None:
    settling = scenario.settling
    second = settling.sign(replace(settling.receipts[0].receipt, model="another"))
    mismatch = audit_receipts(scenario, tmp_path, [*settling.receipts, second])
    assert mismatch["check"] == "receipt sequences"
    assert "FRAUD PROOF" in mismatch["actual"]
    assert mismatch["evidence"] == [settling.receipts[0].to_json(), second.to_json()]


def test_a_receipt_listed_twice_is_no_fraud_proof(scenario: Scenario, tmp_path: Path) -> None:
    receipts = scenario.settling.receipts
    mismatch = audit_receipts(scenario, tmp_path, [*receipts, receipts[0]])
    assert (mismatch["check"], mismatch["evidence"]) == ("receipt sequences", [])


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"previous_receipt": b"\1" * 32}, "receipt chain"),
        ({"account_total_base": 700_046}, "receipt totals"),
        ({"partner_total_base": 1}, "receipt totals"),
        ({"model": "another"}, "receipt anchors"),
        ({"partner": 0, "partner_sequence": 2, "partner_total_base": 44}, "receipt sequences"),
        ({"charge_base": 34, "prompt_tokens": 34, "account_total_base": 700_046}, "receipt totals"),
    ],
)
def test_a_receipt_signed_again_with_other_content_is_found(
    scenario: Scenario, tmp_path: Path, change: dict[str, Any], check: str
) -> None:
    receipts = list(scenario.settling.receipts)
    receipts[5] = scenario.settling.sign(replace(receipts[5].receipt, **change))
    assert audit_receipts(scenario, tmp_path, receipts)["check"] == check


@pytest.mark.parametrize("line", ["{", "[]", "null", '{"receipt": {}, "signature": "0x"}', "\x00"])
def test_a_line_that_is_no_receipt_is_found(scenario: Scenario, tmp_path: Path, line: str) -> None:
    path = export(tmp_path / "receipts.jsonl", scenario.settling.receipts)
    path.write_text(path.read_text() + line + "\n")
    found = run_audit(scenario.stack.url, scenario.stack.settlement.address, path, "--json").mismatch
    assert (found["check"], found["subject"]) == ("receipt format", "line 9")


@pytest.mark.parametrize("model", ['"free", "model": "', '"\\ud800'])
def test_a_receipt_that_readers_would_differ_on_is_found(
    scenario: Scenario, tmp_path: Path, model: str
) -> None:
    path = export(tmp_path / "receipts.jsonl", scenario.settling.receipts)
    altered = path.read_text().replace('"model": "', '"model": ' + model, 1)
    assert altered != path.read_text()
    path.write_text(altered)
    found = run_audit(scenario.stack.url, scenario.stack.settlement.address, path, "--json").mismatch
    assert (found["check"], found["subject"]) == ("receipt format", "line 1")


# -- a node that lies


def block_of(scenario: Scenario, number: int) -> int:
    return int(batch_log(scenario, number)["blockNumber"])


def batch_log(scenario: Scenario, number: int) -> Any:
    logs = scenario.stack.settlement.events.BatchSettled().get_logs(from_block=0)
    return logs[number - 1]


def calldata(scenario: Scenario, number: int) -> tuple[str, dict[str, Any]]:
    tx_hash = "0x" + bytes(batch_log(scenario, number)["transactionHash"]).hex()
    data = scenario.stack.web3.eth.get_transaction(tx_hash)["input"]
    return tx_hash, scenario.stack.settlement.decode_function_input(data)[1]


def hex_word(value: int) -> str:
    return f"{value:064x}"


def swap(text: str, old: int, new: int) -> str:
    assert text.count(hex_word(old)) == 1, "the word to change must be there once"
    return text.replace(hex_word(old), hex_word(new))


def change_calldata(tx_hash: str, *words: tuple[int, int]) -> Lie:
    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getTransactionByHash" and params[0] == tx_hash:
            for old, new in words:
                result["input"] = swap(result["input"], old, new)
        return result

    return lie


def topic(scenario: Scenario, contract: str, event: str) -> str:
    return str(getattr(scenario.stack, contract).events[event]().topic)


def change_log(
    event_topic: str, change: Callable[[dict[str, Any]], dict[str, Any] | None], at: int = 0
) -> Lie:
    """Changes (or, returning None, hides) occurrence number `at` of an event."""

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        matching = [log for log in result if log["topics"][0] == event_topic]
        if not matching:
            return result
        target = matching[at]
        return [
            told for log in result if (told := change(deepcopy(log)) if log is target else log) is not None
        ]

    return lie


def change_view(contract: Any, name: str, word: int = 0, by: int = 1) -> Lie:
    """Adds to one word of what a view returns."""
    selector = "0x" + function_abi_to_4byte_selector(contract.get_function_by_name(name).abi).hex()

    def lie(method: str, params: list[Any], result: Any) -> Any:
        data = params[0].get("data", params[0].get("input", "")) if method == "eth_call" else ""
        if not data.startswith(selector):
            return result
        words = [result[at : at + 64] for at in range(2, len(result), 64)]
        words[word] = hex_word(int(words[word], 16) + by)
        return "0x" + "".join(words)

    return lie


def audit_through(scenario: Scenario, folder: Path, lie: Lie) -> Audited:
    receipts = export(folder / "receipts.jsonl", scenario.settling.receipts)
    with lying_node(scenario.stack.url, lie) as url:
        return run_audit(url, scenario.stack.settlement.address, receipts, "--json")


def test_a_node_that_does_not_lie_passes(scenario: Scenario, tmp_path: Path) -> None:
    assert audit_through(scenario, tmp_path, lambda method, params, result: result).code == 0


def test_changed_calldata_is_found(scenario: Scenario, tmp_path: Path) -> None:
    tx_hash, call = calldata(scenario, 1)
    words, header, proof = call["words"], call["header"], call["proof"]
    first, second = call["partnerWords"][1:3]
    cases: list[tuple[list[tuple[int, int]], str]] = [
        ([(words[0], words[0] + (1 << 24))], "state roots"),  # one unit more charged
        ([(words[0], words[0] + (1 << 132))], "deposits"),  # one unit more deposited
        ([(words[0], words[0] | 1 << 241)], "slot words"),
        ([(words[1], words[1] + 1)], "session keys"),
        ([(first, first + 1)], "gross sums"),
        # the sums still fit: only the operator's signature and the receipts know better
        ([(first, first + 1), (second, second - 1)], "operator signature"),
        ([(header["oldRoot"], header["oldRoot"] + 1)], "batch calldata"),
        ([(header["newRoot"], header["newRoot"] + 1)], "batch calldata"),
        ([(header["commitment"], header["commitment"] + 1)], "commitments"),
        ([(proof[1], Q - proof[1])], "proofs"),  # a point on the curve
        ([(proof[0], proof[0] + 1)], "proofs"),  # none on the curve
        ([(proof[7], Q)], "proofs"),  # no field element
    ]
    for changes, check in cases:
        mismatch = audit_through(scenario, tmp_path, change_calldata(tx_hash, *changes)).mismatch
        assert (mismatch["check"], mismatch["batch"], mismatch["block"]) == (check, 1, block_of(scenario, 1))
        assert mismatch["expected"] != mismatch["actual"]


def test_a_root_changed_in_event_and_calldata_is_found(scenario: Scenario, tmp_path: Path) -> None:
    tx_hash, call = calldata(scenario, 2)
    root = call["header"]["newRoot"]
    in_calldata = change_calldata(tx_hash, (root, root + 1))

    def change(log: dict[str, Any]) -> dict[str, Any]:
        return log | {"data": swap(log["data"], root, root + 1)}

    in_event = change_log(topic(scenario, "settlement", "BatchSettled"), change, at=1)
    mismatch = audit_through(
        scenario, tmp_path, lambda *seen: in_event(*seen[:2], in_calldata(*seen))
    ).mismatch
    assert (mismatch["check"], mismatch["batch"]) == ("state roots", 2)
    assert (mismatch["expected"], mismatch["actual"]) == (str(root), str(root + 1))


def plus_one(log: dict[str, Any]) -> dict[str, Any]:
    return log | {"data": log["data"][:-64] + hex_word(int(log["data"][-64:], 16) + 1)}


@pytest.mark.parametrize(
    ("contract", "event", "at", "changed_check", "hidden_check"),
    [
        ("settlement", "PartnerClaimed", 0, "partner payouts", "partner payouts"),
        ("settlement", "PartnerClaimed", 2, "partner payouts", "contract views"),
        ("settlement", "PartnerTermsApplied", 0, "partner terms", "partner terms"),
        ("settlement", "Withdrawn", 0, "withdrawals paid", "contract views"),
        ("settlement", "WithdrawalRequested", 0, None, "withdrawal requests"),
        ("settlement", "SessionKeyRequested", 0, None, "session keys"),
        ("settlement", "Deposited", 0, "contract views", "deposits"),
        ("settlement", "FeeClaimed", 0, "treasury payouts", "contract views"),
        ("settlement", "BatchSettled", 0, "burns", "partner payouts"),
        ("settlement", "BatchSettled", 2, "burns", "batch order"),
        ("registry", "PartnerBpsChanged", 0, "partner terms", "partner terms"),
        ("token", "Transfer", 0, "burns", "burns"),
    ],
)
def test_a_changed_or_hidden_event_is_found(
    scenario: Scenario,
    tmp_path: Path,
    contract: str,
    event: str,
    at: int,
    changed_check: str | None,
    hidden_check: str,
) -> None:
    event_topic = topic(scenario, contract, event)
    if changed_check is not None:
        mismatch = audit_through(scenario, tmp_path, change_log(event_topic, plus_one, at)).mismatch
        assert mismatch["check"] == changed_check
    mismatch = audit_through(scenario, tmp_path, change_log(event_topic, lambda log: None, at)).mismatch
    assert mismatch["check"] == hidden_check


@pytest.mark.parametrize(
    ("contract", "name", "word", "check"),
    [
        ("settlement", "stateRoot", 0, "root chain"),
        ("settlement", "batchNumber", 0, "batch order"),
        ("settlement", "domain", 0, "deployment"),
        ("settlement", "receiptSigner", 0, "deployment"),
        ("settlement", "nextIdx", 0, "contract views"),
        ("settlement", "totals", 5, "contract views"),
        ("settlement", "account", 3, "contract views"),
        ("settlement", "partnerAccount", 3, "contract views"),
        ("settlement", "partnerClaimable", 0, "contract views"),
        ("settlement", "burnBps", 0, "burns"),
        ("token", "balanceOf", 0, "token flow"),
    ],
)
def test_a_changed_view_is_found(
    scenario: Scenario, tmp_path: Path, contract: str, name: str, word: int, check: str
) -> None:
    lie = change_view(getattr(scenario.stack, contract), name, word)
    assert audit_through(scenario, tmp_path, lie).mismatch["check"] == check


def test_a_changed_verifying_key_is_found(scenario: Scenario, tmp_path: Path) -> None:
    verifier = scenario.stack.verifiers[4]
    last = verifier.functions.verifyingKey().call()[21]
    for by in (1, Q - 2 * last):  # off the curve, and the point's negative
        lie = change_view(verifier, "verifyingKey", 21, by)
        mismatch = audit_through(scenario, tmp_path, lie).mismatch
        assert (mismatch["check"], mismatch["batch"]) == ("proofs", 1)


def test_a_missing_or_redirected_transaction_is_found(scenario: Scenario, tmp_path: Path) -> None:
    def missing(method: str, params: list[Any], result: Any) -> Any:
        return None if method == "eth_getTransactionByHash" else result

    def redirected(method: str, params: list[Any], result: Any) -> Any:
        return result | {"to": "0x" + "12" * 20} if method == "eth_getTransactionByHash" else result

    def resigned(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getTransactionByHash":
            result["r"] = hex(int(result["r"], 16) ^ 1)
        return result

    for lie, check in (
        (missing, "batch calldata"),
        (redirected, "batch calldata"),
        (resigned, "operator signature"),
    ):
        mismatch = audit_through(scenario, tmp_path, lie).mismatch
        assert (mismatch["check"], mismatch["batch"]) == (check, 1)


# -- what settleBatch itself refuses


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
