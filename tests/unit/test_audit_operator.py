"""The audit recovers the operator from every kind of transaction that can carry a batch."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from bridge.audit.calldata import check_operator
from bridge.audit.chain import Log
from bridge.audit.checks import Mismatch, Place, Tally

OPERATOR = Account.from_key("0x" + "11" * 32)
TO = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
COMMON = {"nonce": 7, "gas": 500_000, "to": TO, "value": 0, "data": "0x1234", "chainId": 31337}
EIP1559 = {"maxFeePerGas": 9, "maxPriorityFeePerGas": 1}
ACCESS = {"accessList": [{"address": TO, "storageKeys": ["0x" + "01" * 32]}]}


def mined(fields: dict[str, Any], kind: int) -> tuple[dict[str, Any], str]:
    """A signed transaction as a node gives it, and its hash."""
    signed = OPERATOR.sign_transaction(COMMON | fields)
    parity = {"v": signed.v} if kind == 0 else {"v": signed.v, "yParity": signed.v}
    access = {"accessList": fields.get("accessList", [])} if kind else {}
    signature = {"r": signed.r.to_bytes(32, "big"), "s": signed.s.to_bytes(32, "big")}
    seen = COMMON | fields | access | parity | signature | {"type": kind, "input": bytes.fromhex("1234")}
    return seen, "0x" + bytes(signed.hash).hex()


def check(transaction: dict[str, Any], tx_hash: str, operator: str = OPERATOR.address) -> None:
    log = Log("settlement", "BatchSettled", {}, 1, 0, tx_hash, 0)
    check_operator(transaction, log, operator, Place(1, 1), Tally())


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"gasPrice": 9}, 0),
        ({"gasPrice": 9, "type": 1} | ACCESS, 1),
        (EIP1559 | {"type": 2}, 2),
        (EIP1559 | ACCESS | {"type": 2}, 2),
    ],
)
def test_the_operator_is_recovered(fields: dict[str, Any], kind: int) -> None:
    transaction, tx_hash = mined(fields, kind)
    check(transaction, tx_hash)
    with pytest.raises(Mismatch, match="operator signature"):
        check(transaction, tx_hash, operator=TO)
    for name, value in (
        ("input", b"\x12\x35"),
        ("nonce", 8),
        ("to", "0x" + "12" * 20),
        ("gas", 1),
        ("value", 1),
    ):
        with pytest.raises(Mismatch, match="operator signature"):
            check(transaction | {name: value}, tx_hash)


@pytest.mark.parametrize("change", [{"type": 3}, {"type": 4}, {"r": bytes(32)}, {"v": 29, "yParity": 2}])
def test_what_cannot_be_recovered_is_a_mismatch(change: dict[str, Any]) -> None:
    transaction, tx_hash = mined(EIP1559, 2)
    with pytest.raises(Mismatch, match="operator signature"):
        check(transaction | change, tx_hash)
