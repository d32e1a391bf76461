"""The gas page is what was recorded, and a trace is put down to its parts to the last unit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from gas_page import page  # noqa: E402
from gas_parts import TraceMismatch, calldata_gas, parts  # noqa: E402

VERIFIER, TOKEN, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20
LEDGER = hex(2**200)


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "gas.json").read_text())
    return found


def test_the_page_is_of_the_recorded_measurement() -> None:
    assert (ROOT / "docs" / "gas.md").read_text() == page(recorded()), "run scripts/gas.py --page"


def test_the_recorded_parts_are_the_whole() -> None:
    charges = recorded()["charges"]
    assert sum(charges["parts"].values()) == charges["gas"]


def test_another_measurement_is_another_page() -> None:
    found = recorded()
    found["charges"]["gas"] += 1
    assert page(found) != page(recorded())


def test_goals_that_are_missed_are_said_to_be() -> None:
    found = recorded() | {"slots": 80}
    found["charges"]["gas"], found["requests"]["withdrawal"] = 400_001, 6_500
    assert "(missed by 1)" in page(found)
    assert "in it (met)" in " ".join(page(found).split())


def step(op: str, gas: int, *stack: str, depth: int = 1, cost: int = 0) -> dict[str, Any]:
    return {"op": op, "gas": gas, "stack": [*stack], "depth": depth, "gasCost": cost}


DATA = b"\x00\x01"  # 4 + 16 gas
STEPS = [
    step("PUSH1", 1_000),
    step("STATICCALL", 990, "0x1", VERIFIER, "0xff"),
    step("SLOAD", 500, "0x7", depth=2),  # the verifier's own
    step("SLOAD", 700, "0x2"),
    step("SLOAD", 650, hex(2**201)),  # an entry of a mapping that is only read
    step("SLOAD", 610, LEDGER),
    step("SSTORE", 580, "0x5", LEDGER),
    step("LOG2", 500, "0x0"),
    step("CALL", 450, "0x1", TOKEN, "0xff"),
    step("CALL", 300, "0x1", OTHER, "0xff"),
    step("STOP", 260, cost=0),
]
CONTRACTS = {"verification": VERIFIER, "burn": TOKEN}
LIMIT = 21_000 + 20 + 1_000


def test_each_step_counts_for_what_it_pays() -> None:
    used = LIMIT - 260 - 25
    found = parts(DATA, LIMIT, used, STEPS, CONTRACTS)
    assert vars(found) == {
        "base": 21_000,
        "calldata": 20,
        "slots": 10,
        "verification": 290,
        "state": 90,
        "partners": 110,
        "event": 50,
        "burn": 150,
        "other_calls": 40,
        "refund": -25,
    }
    assert found.total == used


def test_a_trace_of_another_transaction_is_refused() -> None:
    with pytest.raises(TraceMismatch) as refusal:
        parts(DATA + b"\x00", LIMIT, LIMIT, STEPS, CONTRACTS)
    assert (refusal.value.expected, refusal.value.actual) == (21_020, 21_024)


def test_calldata_gas() -> None:
    assert calldata_gas(bytes(3) + b"\x01\xff") == 3 * 4 + 2 * 16
