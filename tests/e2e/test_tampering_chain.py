"""Tampering, end to end: `vibes audit` finds what a lying node changes of calldata, events and views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.lies import (
    audit_through,
    block_of,
    calldata,
    change_calldata,
    change_log,
    change_view,
    hex_word,
    is_transaction,
    swap,
    topic,
)
from support.settling import Scenario
from support.stack import DAY_S

from bridge.groth16 import Q


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
        ("settlement", "BatchSettled", 2, "burns", "freezes"),
        ("settlement", "WithdrawalRequested", 2, "deadlines", "deadlines"),
        ("settlement", "DepositCancelAnnounced", 0, "deadlines", "cancelled deposits"),
        ("settlement", "DepositCancelled", 0, "cancelled deposits", "withdrawals paid"),
        ("settlement", "AccountFrozen", 0, "freezes", "exits"),
        ("settlement", "AccountExited", 0, "exits", "contract views"),
        ("settlement", "Unpaused", 0, None, "pauses"),
        ("settlement", "GuardianChanged", 0, "roles", "roles"),
        ("settlement", "OperatorChanged", 0, "operator signature", "operator signature"),
        ("settlement", "ReceiptSignerChanged", 0, "roles", "roles"),
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
        ("settlement", "receiptSigner", 0, "roles"),
        ("settlement", "operator", 0, "roles"),
        ("settlement", "guardian", 0, "roles"),
        ("settlement", "serviceDeadline", 0, "deadlines"),
        ("settlement", "EXIT_PERIOD", 0, "roles"),
        ("registry", "owner", 0, "roles"),
        ("settlement", "paused", 0, "pauses"),
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


def test_that_nobody_is_frozen_is_found_to_be_a_lie(scenario: Scenario, tmp_path: Path) -> None:
    lie = change_view(scenario.stack.settlement, "anyFrozen", by=-1)
    assert audit_through(scenario, tmp_path, lie).mismatch["check"] == "freezes"


def test_a_timelock_that_is_faster_than_leaving_is_found(scenario: Scenario, tmp_path: Path) -> None:
    lie = change_view(scenario.stack.timelock, "getMinDelay", by=-1)
    mismatch = audit_through(scenario, tmp_path, lie).mismatch
    assert (mismatch["check"], mismatch["expected"]) == ("roles", f"at least {24 * DAY_S} s")


@pytest.mark.parametrize("early", ["freeze", "request"])
def test_a_request_that_was_not_overdue_is_found(scenario: Scenario, tmp_path: Path, early: str) -> None:
    events = scenario.stack.settlement.events
    request = events.WithdrawalRequested().get_logs(from_block=0)[2]
    freeze = events.AccountFrozen().get_logs(from_block=0)[0]
    deadline_s = request["args"]["deadline"]

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber":
            number, time_s = int(params[0], 16), int(result["timestamp"], 16)
            if early == "freeze" and number == freeze["blockNumber"]:
                result["timestamp"] = hex(deadline_s)  # the last second in which it is not overdue
            elif early == "request" and number == request["blockNumber"]:
                result["timestamp"] = hex(time_s + 1)
        return result

    mismatch = audit_through(scenario, tmp_path, lie).mismatch
    assert (mismatch["check"], mismatch["block"]) == ("deadlines", freeze["blockNumber"])


def test_a_changed_verifying_key_is_found(scenario: Scenario, tmp_path: Path) -> None:
    verifier = scenario.stack.verifiers[4]
    last = verifier.functions.verifyingKey().call()[21]
    for by in (1, Q - 2 * last):  # off the curve, and the point's negative
        lie = change_view(verifier, "verifyingKey", 21, by)
        mismatch = audit_through(scenario, tmp_path, lie).mismatch
        assert (mismatch["check"], mismatch["batch"]) == ("proofs", 1)


def test_a_missing_or_redirected_transaction_is_found(scenario: Scenario, tmp_path: Path) -> None:
    def missing(method: str, params: list[Any], result: Any) -> Any:
        return None if is_transaction(method, result) else result

    def redirected(method: str, params: list[Any], result: Any) -> Any:
        return result | {"to": "0x" + "12" * 20} if is_transaction(method, result) else result

    def resigned(method: str, params: list[Any], result: Any) -> Any:
        if is_transaction(method, result):
            result["r"] = hex(int(result["r"], 16) ^ 1)
        return result

    for lie, check in (
        (missing, "batch calldata"),
        (redirected, "batch calldata"),
        (resigned, "operator signature"),
    ):
        mismatch = audit_through(scenario, tmp_path, lie).mismatch
        assert (mismatch["check"], mismatch["batch"]) == (check, 1)
