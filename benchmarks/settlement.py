"""Settlement: seconds, memory, gas and money for full batches, and snarkjs on the same circuit.

    make bench [BENCH_ARGS="--sizes 4,10,40,80"]

prints a table and writes benchmarks/results/settlement.json. Sizes that are not built are built first, which
takes minutes for 40 and 80 slots. What gas and the chain's own token cost are assumptions: state yours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import gas
import proofs
from build_circuits import BuildError, build
from progress import Reporter, results_console
from rich.table import Table

from bridge.groth16 import EXIT_SLOTS

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "settlement.json"
CALLS_PER_ACCOUNT = (10, 100, 1_000)
WEI_PER_GWEI = 10**9
WEI_PER_TOKEN = 10**18


def per_call(batch_gas: int, slots: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What settling adds to one LLM call, by how many calls each account made since the batch before."""
    wei = Decimal(arguments.gas_price_gwei) * WEI_PER_GWEI
    rows = []
    for calls in CALLS_PER_ACCOUNT:
        each = Decimal(batch_gas) / (slots * calls)
        usd = each * wei * Decimal(arguments.native_usd) / WEI_PER_TOKEN
        rows.append({"calls_per_account": calls, "gas": f"{each:.2f}", "usd": f"{usd:.3g}"})
    return rows


def measure(slots: int, arguments: argparse.Namespace, report: Reporter) -> dict[str, Any]:
    """One batch size: proofs first, then gas."""
    rounds = arguments.rounds
    with report.step(f"proofs of {slots} slots", 1 + 3 * rounds) as done:
        found = proofs.measure(slots, rounds, done)
    spent = gas.measure(slots, report)
    charges, requests = spent["charges"], spent["requests"]
    found["gas"] = {
        "full_batch": charges["gas"],
        "per_update": -(-charges["gas"] // slots),
        "partners": spent["partners"],
        **requests,
    }
    found["calldata_bytes"] = charges["calldata_bytes"]
    found["per_call"] = per_call(charges["gas"], slots, arguments)
    return found


def comparison(smallest: dict[str, Any], arguments: argparse.Namespace, report: Reporter) -> dict[str, Any]:
    """snarkjs on one of the circuits, and how many times as long it takes."""
    on_exit = arguments.peer == "exit"
    circuit = "exit" if on_exit else f"batch{smallest['slots']}"
    with report.step(f"snarkjs, {circuit}"):
        ours = proofs.measure_exit(arguments.rounds) if on_exit else smallest
        found = proofs.peer(EXIT_SLOTS if on_exit else smallest["slots"], arguments.rounds, report.say)
    for name, field in (("witness_ms", "witness_ratio"), ("prove_s", "prove_ratio")):
        found[field] = round(found[name]["p50"] / ours[name]["p50"], 2)
    ours = {name: ours[name] for name in ("constraints", "witness_ms", "prove_s")}
    return {"circuit": circuit, **found, "ours": ours}


def table(report: dict[str, Any]) -> Table:
    """One column for each batch size."""
    batches = report["batches"]
    shown = Table(title=f"settlement at {report['commit']} on {report['machine']}")
    shown.add_column("full batch of")
    for batch in batches:
        shown.add_column(f"{batch['slots']} slots", justify="right")

    def row(title: str, value: Any) -> None:
        shown.add_row(title, *(f"{value(batch):,}" for batch in batches))

    row("constraints", lambda batch: batch["constraints"])
    row("constraints per slot", lambda batch: batch["constraints_per_slot"])
    row("witness, ms (p50)", lambda batch: batch["witness_ms"]["p50"])
    row("proof, s (p50)", lambda batch: batch["prove_s"]["p50"])
    row("first proof with loading, s", lambda batch: batch["cold_first_proof_s"])
    row("peak of a worker, MB", lambda batch: batch["peak_worker_mb"])
    row("updates/s, 1 process", lambda batch: batch["updates_per_s"]["1"])
    row("updates/s, 2 processes", lambda batch: batch["updates_per_s"]["2"])
    row("gas, charges of 8 partners", lambda batch: batch["gas"]["full_batch"])
    row("gas per account", lambda batch: batch["gas"]["per_update"])
    for name in ("deposit", "withdrawal", "key_change"):
        row(f"gas per {name.replace('_', ' ')}", lambda batch, name=name: batch["gas"][name])
    row("calldata, bytes", lambda batch: batch["calldata_bytes"])
    for position, calls in enumerate(CALLS_PER_ACCOUNT):
        shown.add_row(
            f"per LLM call at {calls:,} calls",
            *(f"{b['per_call'][position]['gas']} gas\n{b['per_call'][position]['usd']} USD" for b in batches),
        )
    return shown


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="4,10", help="slots per batch (default 4,10)")
    parser.add_argument("--rounds", type=int, default=5, help="proofs per size after the first (default 5)")
    parser.add_argument("--gas-price-gwei", default="30", help="assumed (default 30)")
    parser.add_argument(
        "--native-usd", default="0.25", help="assumed price of the chain's token (default 0.25)"
    )
    parser.add_argument(
        "--peer", choices=["batch", "exit", "none"], default="batch",
        help="circuit that snarkjs proves too: the smallest batch (default; its key takes snarkjs some "
        "minutes, once), or the exit circuit",
    )  # fmt: skip
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    sizes = sorted({int(size) for size in arguments.sizes.split(",")})
    try:
        build([EXIT_SLOTS, *sizes], force=False)
    except BuildError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    progress = Reporter()
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    batches = [measure(slots, arguments, progress) for slots in sizes]
    report = {
        "benchmark": "settlement",
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "rounds": arguments.rounds,
        "assumed": {"gas_price_gwei": arguments.gas_price_gwei, "native_usd": arguments.native_usd},
        "batches": batches,
        "peer": None if arguments.peer == "none" else comparison(batches[0], arguments, progress),
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    console = results_console()
    console.print(table(report))
    if report["peer"]:
        console.print(
            f"snarkjs, circuit {report['peer']['circuit']}: witness {report['peer']['witness_ratio']} ×, "
            f"proof {report['peer']['prove_ratio']} × our time ({report['peer']['name']})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
