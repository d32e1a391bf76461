"""Tampering, end to end: `vibes audit` finds changed, forged, missing and doubled receipts."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from support.auditing import run_audit
from support.lies import block_of
from support.settling import Scenario, export
from support.stack import labelled_account

from mini_llm.wallet.receipt import Receipt, SignedReceipt, sign_receipt


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
