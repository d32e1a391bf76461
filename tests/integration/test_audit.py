"""`vibes audit` on a real chain with real proofs: what it accepts, what it prints, and which cheats of an
operator, invisible to the contract, it finds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.auditing import Audited, Refused, lying_node, run_audit
from support.bundles import bundle_lines
from support.settling import Scenario, export

from bridge.audit.checks import CHECKS, OF_BUNDLES, OF_RECEIPTS
from bridge.rollup.batch import Slot, encode_partner_word
from mini_llm.wallet.receipt import SignedReceipt


def audit(scenario: Scenario, folder: Path, *options: str, url: str = "") -> Audited:
    receipts = export(folder / "receipts.jsonl", scenario.settling.receipts)
    return run_audit(url or scenario.stack.url, scenario.stack.settlement.address, receipts, *options)


def test_an_honest_history_holds(scenario: Scenario, tmp_path: Path) -> None:
    found = audit(scenario, tmp_path, "--json")
    report = found.report
    assert (found.code, report["ok"], report["first_mismatch"]) == (0, True, None)
    assert [check["name"] for check in report["checks"]] == list(CHECKS)
    assert [check["name"] for check in report["checks"] if not (check["ok"] and check["count"])] == [
        OF_BUNDLES
    ]
    assert [batch["gross"] for batch in report["batches"]] == [1_934_678, 345_712, 5]
    assert report["receipts"] == {
        "count": 8,
        "settled": 7,
        "settled_base": 2_280_395,
        "not_yet_settled": 1,
        "not_yet_settled_base": 77,
    }
    # floor(1,234,567 x 30 %) + floor(345,684 x 20 %): the change of terms is not retroactive
    pithy = report["partners"][1]
    assert (pithy["name"], pithy["earned"]) == ("pithy-labs", 370_370 + 69_136)
    assert report["totals"]["held"] == sum(report["totals"]["liabilities"].values())
    assert report["verifiers"][0]["development"] is True


def test_the_text_ends_with_the_verdict(scenario: Scenario, tmp_path: Path) -> None:
    found = audit(scenario, tmp_path)
    assert found.code == 0
    lines = found.output.rstrip().splitlines()
    assert lines[-2:] == ["not checked: partner bundles", "audit: OK"]
    assert all(any(line.startswith(name) for line in lines) for name in CHECKS)
    assert found.errors == ""  # no progress bars where there is no terminal


def test_a_partner_sees_its_batches(scenario: Scenario, tmp_path: Path) -> None:
    report = audit(scenario, tmp_path, "--json", "--partner", "long-form").report
    (partner,) = report["partners"]
    assert [(batch["number"], batch["gross"]) for batch in partner["batches"]] == [(1, 700_100), (2, 33)]
    assert (
        sum(batch["share"] for batch in partner["batches"]) == partner["earned"] == 700_133 * 2_500 // 10_000
    )
    assert partner["claimable"] == partner["earned"] - partner["paid"] == 0
    text = audit(scenario, tmp_path, "--partner", "long-form").output
    assert "pithy-labs" not in text
    unknown = audit(scenario, tmp_path, "--partner", "nobody")
    assert unknown.code == 2
    assert "house, pithy-labs, long-form" in unknown.errors


def test_without_receipts_the_chain_alone_is_audited(scenario: Scenario, tmp_path: Path) -> None:
    found = run_audit(scenario.stack.url, scenario.stack.settlement.address, None, "--json")
    assert (found.code, found.report["ok"], found.report["receipts"]) == (0, True, None)
    unchecked = {check["name"] for check in found.report["checks"] if check["ok"] is None}
    assert unchecked == OF_RECEIPTS | {OF_BUNDLES}
    assert all(check["count"] for check in found.report["checks"] if check["name"] not in unchecked)
    text = run_audit(scenario.stack.url, scenario.stack.settlement.address, None)
    assert "not checked: receipt format, " in text.output
    with scenario.settling.branch():
        call = scenario.settling.prepare(Slot(scenario.alice.idx, charge=77), wallets=(scenario.alice,))
        scenario.settling.send(call.altered(receipts_root=b"\1" * 32))
        alone = run_audit(scenario.stack.url, scenario.stack.settlement.address, None)
        assert alone.code == 0  # the proof does not cover the receipts' root: only receipts show it


def write_bundles(scenario: Scenario, folder: Path, partner_id: int) -> list[Path]:
    """The bundles of a partner's two batches, as a router tells them."""
    domain, written = scenario.settling.domain, []
    for number, receipts in enumerate(settled_by_batch(scenario), start=1):
        marked = [
            ((one.receipt.digest(domain), one.receipt.charge_base), one.receipt.partner == partner_id)
            for one in sorted(receipts, key=lambda one: (one.receipt.account, one.receipt.account_sequence))
        ]
        head = {
            "format": "vibes-partner-bundle/1", "chain_id": domain.chain_id, "batch": number,
            "settlement": domain.settlement.lower(), "partner": partner_id,
        }  # fmt: skip
        lines = [json.dumps(head), *bundle_lines(marked)]
        written.append(folder / f"{number}.jsonl")
        written[-1].write_text("".join(line + "\n" for line in lines))
    return written


def settled_by_batch(scenario: Scenario) -> list[list[SignedReceipt]]:
    """The scenario's receipts of each batch, by running totals of the accounts."""
    report = run_audit(scenario.stack.url, scenario.stack.settlement.address, None, "--json").report
    left, batches = list(scenario.settling.receipts), []
    for batch in report["batches"]:
        taken, total_base = [], 0
        while total_base < batch["gross"]:
            taken.append(left.pop(0))
            total_base += taken[-1].receipt.charge_base
        batches.append(taken)
    return batches


def test_a_partner_audits_its_bundles(scenario: Scenario, tmp_path: Path) -> None:
    files = write_bundles(scenario, tmp_path, partner_id=2)

    def run() -> Audited:
        options = ("--partner", "long-form", "--bundles", str(tmp_path), "--json")
        return run_audit(scenario.stack.url, scenario.stack.settlement.address, None, *options)

    found = run()
    assert (found.code, found.report["ok"]) == (0, True)
    assert found.report["bundles"] == {"receipts": 3, "charged_base": 700_133}
    assert {one["name"] for one in found.report["checks"] if one["ok"] is None} == OF_RECEIPTS
    honest = files[0].read_text()
    head, *told = honest.splitlines()
    for lines in (
        told,  # without what it is about
        [head.replace('"batch": 1', '"batch": 2'), *told],
        [head, *told[:-1]],
        [head, *told, told[-1]],
        [head, *told[::-1]],
        [head, *(line.replace('"]', '0"]') for line in told)],
        [head, "[1", *told],
        [head, '["0x12","1"]', *told],
        [head, *['[0,"0x' + "ab" * 32 + '","0"]'] * 3],
        [head, *['["0x' + "ab" * 32 + '","9007199254740993"]'] * 9],
    ):
        files[0].write_text("".join(line + "\n" for line in lines))
        mismatch = run().mismatch
        assert (mismatch["check"], mismatch["batch"]) == (OF_BUNDLES, 1)
    files[0].write_text(honest)
    files[1].unlink()
    missing = run()
    assert (missing.code, missing.report["ok"]) == (2, None)
    assert "the bundle of batch 2" in missing.errors


def test_what_cannot_be_audited_is_said(scenario: Scenario, tmp_path: Path) -> None:
    receipts, settlement = export(tmp_path / "r.jsonl", []), scenario.stack.settlement.address
    dead = run_audit("http://127.0.0.1:1/secret-path", settlement, receipts)
    assert (dead.code, dead.output) == (2, "")
    assert "no answer from 127.0.0.1:1" in dead.errors
    assert "secret-path" not in dead.errors
    empty = run_audit(scenario.stack.url, "0x" + "12" * 20, receipts)
    assert empty.code == 2
    assert "no contract at" in empty.errors
    other = run_audit(scenario.stack.url, scenario.stack.token.address, receipts)
    assert (other.code, other.output) == (2, "")
    for not_read in (tmp_path / "missing", tmp_path):
        assert "there is no file" in run_audit(scenario.stack.url, settlement, not_read).errors


def test_an_audit_that_cannot_be_made_answers_programs_too(scenario: Scenario, tmp_path: Path) -> None:
    receipts, settlement = export(tmp_path / "r.jsonl", []), scenario.stack.settlement.address
    url = scenario.stack.url
    for found in (
        run_audit("http://127.0.0.1:1", settlement, receipts, "--json"),
        run_audit(url, "0x12", receipts, "--json"),
        run_audit(url, settlement, tmp_path / "missing", "--json"),
        run_audit(url, settlement, receipts, "--partner", "nobody", "--json"),
        run_audit(url, settlement, None, "--bundles", str(tmp_path), "--json"),
        run_audit(url, settlement, None, "--bundles", str(tmp_path), "--partner", "long-form", "--json"),
    ):
        assert (found.code, found.report["ok"]) == (2, None)
        assert found.report["error"] in found.errors


def test_a_broken_node_is_no_mismatch(scenario: Scenario, tmp_path: Path) -> None:
    transaction = "eth_getTransactionByBlockNumberAndIndex"
    for broken in ("eth_blockNumber", "eth_call", "eth_getLogs", transaction):
        for answer in ("0xzz", {}):

            def garble(method: str, _: list[Any], result: Any, *, at: str = broken, say: Any = answer) -> Any:
                return say if method == at else result

            with lying_node(scenario.stack.url, garble) as url:
                found = audit(scenario, tmp_path, url=url)
            assert (found.code, found.output) == (2, "")
            assert "audit: could not be made" in found.errors


def test_nodes_that_limit_ranges_are_asked_in_pieces(scenario: Scenario, tmp_path: Path) -> None:
    asked: list[int] = []

    def limited(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            asked.append(span)
            if span > 5:
                raise Refused("block range too large")
        return result

    with lying_node(scenario.stack.url, limited) as url:
        assert audit(scenario, tmp_path, url=url).code == 0
    assert max(asked) > 5
    assert min(asked) <= 5


def test_a_node_that_finds_old_transactions_by_no_hash_will_do(scenario: Scenario, tmp_path: Path) -> None:
    def forgetful(method: str, params: list[Any], result: Any) -> Any:
        return None if method == "eth_getTransactionByHash" else result

    with lying_node(scenario.stack.url, forgetful) as url:
        assert audit(scenario, tmp_path, url=url).code == 0


def test_a_start_after_the_deployment_fails(scenario: Scenario, tmp_path: Path) -> None:
    assert audit(scenario, tmp_path, "--json", "--from-block", "14").mismatch["check"] in CHECKS


def test_a_receipts_root_of_other_receipts_is_found(scenario: Scenario, tmp_path: Path) -> None:
    settling, alice = scenario.settling, scenario.alice
    with settling.branch():
        call = settling.prepare(Slot(alice.idx, charge=77), wallets=(alice,))
        settling.send(call.altered(receipts_root=b"\1" * 32))
        mismatch = audit(scenario, tmp_path, "--json").mismatch
    assert (mismatch["check"], mismatch["batch"]) == ("receipt anchors", 4)
    assert mismatch["actual"] != mismatch["expected"] == "0x" + "01" * 32


def test_revenue_given_to_another_partner_is_found(scenario: Scenario, tmp_path: Path) -> None:
    settling, alice = scenario.settling, scenario.alice
    with settling.branch():
        call = settling.prepare(Slot(alice.idx, charge=77), wallets=(alice,))
        receipt = settling.send(replace(call, partner_words=[encode_partner_word(1, 77)]))
        mismatch = audit(scenario, tmp_path, "--json").mismatch
    assert mismatch["check"] == "partner receipts"
    assert (mismatch["block"], mismatch["batch"]) == (receipt["blockNumber"], 4)
    assert (mismatch["subject"], mismatch["expected"], mismatch["actual"]) == ("partner 1", "0", "77")


def test_a_reward_above_the_accounts_share_is_found(scenario: Scenario, tmp_path: Path) -> None:
    settling, bob = scenario.settling, scenario.bob
    allowed_base = 700_045 // 10 - 7
    with settling.branch():
        settling.open = []
        settling.settle(Slot(bob.idx, reward=allowed_base))
        assert audit(scenario, tmp_path).code == 0
        settling.settle(Slot(bob.idx, reward=1))
        mismatch = audit(scenario, tmp_path, "--json").mismatch
    assert (mismatch["check"], mismatch["batch"]) == ("rewards", 5)
    assert (mismatch["expected"], mismatch["actual"]) == ("at most 70004", "70005")


def test_an_overcharging_receipt_is_found(scenario: Scenario, tmp_path: Path) -> None:
    settling = scenario.settling
    cheap = replace(settling.receipts[0].receipt, prompt_price_base_per_mtok=999_999)
    receipts = [settling.sign(cheap), *settling.receipts[1:]]
    found = run_audit(
        scenario.stack.url,
        scenario.stack.settlement.address,
        export(tmp_path / "r.jsonl", receipts),
        "--json",
    )
    assert (found.mismatch["check"], found.mismatch["batch"]) == ("receipt charges", 1)
    assert (found.mismatch["expected"], found.mismatch["actual"]) == ("at most 1234566", "1234567")


def test_a_rotated_receipt_signer_keeps_old_receipts_valid(scenario: Scenario, tmp_path: Path) -> None:
    stack = scenario.stack
    with scenario.settling.branch():
        stack.as_timelock(stack.settlement.functions.setReceiptSigner(stack.owner.address))
        assert audit(scenario, tmp_path).code == 0


def test_a_delay_that_was_too_short_for_a_while_is_found(scenario: Scenario, tmp_path: Path) -> None:
    """Made short, used for changes that nobody can leave before, and made long again."""
    stack = scenario.stack
    with scenario.settling.branch():
        long_s = stack.timelock.functions.getMinDelay().call()
        short = stack.as_timelock(stack.timelock.functions.updateDelay(1))
        stack.as_timelock(stack.timelock.functions.updateDelay(long_s))
        mismatch = audit(scenario, tmp_path, "--json").mismatch
    assert (mismatch["check"], mismatch["subject"]) == ("roles", "delay of the timelock")
    assert (mismatch["block"], mismatch["actual"]) == (short["blockNumber"], "1")


def test_names_on_the_chain_cannot_write_into_the_report(scenario: Scenario, tmp_path: Path) -> None:
    stack = scenario.stack
    with scenario.settling.branch():
        name = "x\naudit: OK\n"
        stack.as_timelock(stack.registry.functions.addPartner(name, stack.owner.address, 0))
        printed = audit(scenario, tmp_path).output
        refused = audit(scenario, tmp_path, "--partner", "nobody").errors
    assert printed.splitlines().count("audit: OK") == 1
    assert refused.splitlines() == [line for line in refused.splitlines() if line.startswith("audit: could")]
