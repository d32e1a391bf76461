#!/usr/bin/env python3
"""Measures what batches cost on a local chain with real proofs, and writes docs/gas.md.

scripts/gas.py [--slots 80]     measures, writes benchmarks/results/gas.json and docs/gas.md
scripts/gas.py --page           writes docs/gas.md from the recorded JSON only
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gas_page import page
from gas_parts import parts
from measured_chain import (
    DEPOSIT_BASE,
    GAS_LIMIT,
    PARTNERS,
    MeasuredChain,
    account_address,
    measured_chain,
    session_key,
)
from progress import Reporter
from web3.types import TxReceipt

from bridge.rollup.batch import Slot
from mini_llm.wallet.ceiling import key_commitment

ROOT = Path(__file__).resolve().parents[1]
CIRCUITS = ROOT / "build" / "circuits"
RESULT = ROOT / "benchmarks" / "results" / "gas.json"
PAGE = ROOT / "docs" / "gas.md"
SLOTS = 80
ASKING = 8
"""Accounts with a request in a batch: so few that refunds for emptied storage stay below their cap."""
STEPS = 8
"""Transactions and proofs that the progress bar counts."""


def charges(size: int) -> list[Slot]:
    """Every account is charged about 5 VIBES."""
    return [Slot(idx, charge=5_000_000 + idx) for idx in range(1, size + 1)]


def first_batch(size: int) -> list[Slot]:
    """Every account is opened, takes its first deposit and is charged."""
    return [
        Slot(slot.idx, charge=slot.charge, deposit=DEPOSIT_BASE, key_commit=_commitment(slot.idx))
        for slot in charges(size)
    ]


def _commitment(idx: int, version: int = 0) -> int:
    return key_commitment(session_key(idx, version)[1])


def measure(size: int, report: Reporter) -> dict[str, Any]:
    """Gas of batches of one size: full, charges only, warm, in parts; and what each request adds to it."""
    with (
        report.step(f"gas of batches of {size} slots", STEPS) as done,
        measured_chain(size, CIRCUITS, lambda _: None) as chain,
    ):
        done()
        opening = chain.settle(first_batch(size))
        done()
        chain.settle(charges(size))  # every total that a batch adds to is there from now on
        done()
        receipt = chain.settle(charges(size))
        done()
        found = {
            "slots": size,
            "partners": PARTNERS,
            "opening": {"gas": opening["gasUsed"], "accounts": size},
            "charges": full_batch(chain, receipt),
            "requests": requests(chain, receipt["gasUsed"], done),
            "users": users(chain),
        }
        done()
    return found


def full_batch(chain: MeasuredChain, receipt: TxReceipt) -> dict[str, Any]:
    """A settled batch of charges in parts."""
    tx_hash = receipt["transactionHash"]
    data = bytes(chain.web3.eth.get_transaction(tx_hash)["input"])
    trace = chain.rpc(
        "debug_traceTransaction", tx_hash.to_0x_hex(), {"enableMemory": False, "disableStorage": True}
    )
    contracts = {"verification": chain.record["verifiers"][str(chain.size)], "burn": chain.record["token"]}
    found = parts(data, GAS_LIMIT, receipt["gasUsed"], trace["structLogs"], contracts)
    return {"gas": receipt["gasUsed"], "calldata_bytes": len(data), "parts": vars(found)}


def requests(chain: MeasuredChain, plain_gas: int, done: Any) -> dict[str, int]:
    """Gas that one deposit, withdrawal or key change adds to a batch of charges."""
    functions = chain.settlement.functions
    owners = {number: account_address(number) for number in range(1, min(chain.size, ASKING) + 1)}
    found = {}
    for number, owner in owners.items():
        chain.send_as(owner, functions.depositFor(number, 10**6))
    found["deposit"] = _added(chain, plain_gas, dict.fromkeys(owners, Slot(0, deposit=10**6)))
    done()
    for owner in owners.values():
        chain.send_as(owner, functions.requestWithdrawal(10**6))
    found["withdrawal"] = _added(chain, plain_gas, dict.fromkeys(owners, Slot(0, withdraw=10**6)))
    done()
    for number, owner in owners.items():
        chain.send_as(owner, functions.setSessionKey(_commitment(number, 1)))
    changes = {number: Slot(0, key_commit=_commitment(number, 1)) for number in owners}
    found["key_change"] = _added(chain, plain_gas, changes)
    chain.keys |= dict.fromkeys(owners, 1)
    done()
    return found


def _added(chain: MeasuredChain, plain_gas: int, requests: Mapping[int, Slot]) -> int:
    """Gas that each of these requests adds to a full batch of charges; their idx and charge do not matter."""
    slots = [
        replace(requests.get(slot.idx, slot), idx=slot.idx, charge=slot.charge)
        for slot in charges(chain.size)
    ]
    return (chain.settle(slots)["gasUsed"] - plain_gas) // len(requests)


def users(chain: MeasuredChain) -> dict[str, int]:
    """Gas of what owners and partners send themselves, all of it warm."""
    functions, owner = chain.settlement.functions, account_address(1)
    calls = {
        "deposit": functions.deposit(10**6, 0),
        "request_withdrawal": functions.requestWithdrawal(10**6),
        "withdraw": functions.withdraw(1),
        "set_session_key": functions.setSessionKey(_commitment(1, 2)),
        "claim_partner": functions.claimPartner(1),
    }
    return {name: chain.send_as(owner, call)["gasUsed"] for name, call in calls.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures what batches cost and writes docs/gas.md.")
    parser.add_argument("--slots", type=int, default=SLOTS, help="slots per batch (default 80)")
    parser.add_argument("--page", action="store_true", help="only write the page from the recorded JSON")
    arguments = parser.parse_args()
    if not arguments.page:
        command = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        found = {"benchmark": "gas", "commit": commit, **measure(arguments.slots, Reporter())}
        RESULT.write_text(json.dumps(found, indent=2) + "\n")
    PAGE.write_text(page(json.loads(RESULT.read_text())))
    print(PAGE.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
