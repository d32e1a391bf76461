"""Measures witness, proof and verification of full batches and prints JSON.

The peer is circom's own JavaScript runtime under Node, run in the same minute on the same inputs: the ratio
says what running the wasm under wasmtime costs or saves. Proofs have no peer here: snarkjs would need a
ceremony file, which development keys do not have.

Run with `make bench`; results go to benchmarks/results/settlement.json.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bridge.groth16 import verify_proof
from bridge.prover import Artifacts, Prover
from bridge.rollup.batch import Slot
from bridge.rollup.transition import Authorisation, BatchWitness, RollupState
from mini_llm.wallet import babyjub
from mini_llm.wallet.ceiling import key_commitment, sign_ceiling

ROOT = Path(__file__).resolve().parents[1]
CIRCUITS = ROOT / "build" / "circuits"
CIRCOM_RUNTIME = ROOT / "hardhat-local" / "node_modules" / "circom_runtime"
RESULT = ROOT / "benchmarks" / "results" / "settlement.json"
SIZES = (4, 10)
ROUNDS = 3
DOMAIN = 7
CEILING_BASE = 10**9
CHAIN_ID = 31337

NODE_WITNESS = """
const fs = require("fs");
(async () => {
  const [wasm, input] = process.argv.slice(1);
  const { WitnessCalculatorBuilder } = require(process.env.CIRCOM_RUNTIME);
  const calculator = await WitnessCalculatorBuilder(fs.readFileSync(wasm));
  const signals = JSON.parse(fs.readFileSync(input, "utf8"));
  const seconds = [];
  for (let i = 0; i < 3; i++) {
    const start = process.hrtime.bigint();
    await calculator.calculateWTNSBin(signals, 0);
    seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
  }
  console.log(JSON.stringify(seconds));
})();
"""


def full_batch(slots: int) -> BatchWitness:
    """A batch in which every slot charges an account that is already open: the dearest case."""
    state = RollupState(DOMAIN)
    secrets = {idx * 1_000: 10**9 + idx for idx in range(1, slots + 1)}
    keys = {idx: babyjub.public_key(secret) for idx, secret in secrets.items()}
    state.apply([Slot(idx=idx, deposit=10**9, key_commit=key_commitment(key)) for idx, key in keys.items()])
    authorisations = {}
    for idx, secret in secrets.items():
        signed = sign_ceiling(secret, DOMAIN, idx, CEILING_BASE)
        authorisations[idx] = Authorisation(CEILING_BASE, signed.key, signed.signature)
    charges = [Slot(idx=idx, charge=5_000_000 + idx) for idx in keys]
    return state.prove_inputs(2, charges, authorisations, slots)


def node_witness_seconds(wasm: Path, inputs: dict[str, Any]) -> list[float]:
    """Seconds that circom's own JavaScript runtime takes for the same witness, one value per round."""
    as_text = json.loads(json.dumps(inputs), parse_int=str)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(as_text, file)
        file.flush()
        run = subprocess.run(
            ["node", "-e", NODE_WITNESS, str(wasm), file.name],
            env={**os.environ, "CIRCOM_RUNTIME": str(CIRCOM_RUNTIME)},
            capture_output=True,
            text=True,
            check=True,
        )
    return [float(value) for value in json.loads(run.stdout)]


def measure(slots: int) -> dict[str, Any]:
    """Timings of one batch size."""
    artifacts = Artifacts.load(CIRCUITS, slots)
    batch = full_batch(slots)
    with Prover(CIRCUITS, [slots], CHAIN_ID) as prover:
        started = time.perf_counter()
        first = prover.prove(slots, batch.circuit_inputs)
        cold_s = time.perf_counter() - started
        proofs = [first, *(prover.prove(slots, batch.circuit_inputs) for _ in range(ROUNDS))]
    started = time.perf_counter()
    if not verify_proof(artifacts.verifying_key, first.words, batch.public):
        raise RuntimeError("the benchmark's proof does not verify")
    verify_s = time.perf_counter() - started
    witness_s = statistics.median(proof.witness_s for proof in proofs[1:])
    peer_s = statistics.median(node_witness_seconds(artifacts.wasm, batch.circuit_inputs))
    prove_s = statistics.median(proof.prove_s for proof in proofs[1:])
    return {
        "slots": slots,
        "constraints": artifacts.constraints,
        "constraints_per_slot": artifacts.constraints // slots,
        "cold_first_proof_s": round(cold_s, 2),
        "witness_s": round(witness_s, 3),
        "prove_s": round(prove_s, 2),
        "verify_ms": round(verify_s * 1000, 1),
        "account_updates_per_s": round(slots / (witness_s + prove_s), 2),
        "peer_node_witness_s": round(peer_s, 3),
        "witness_ratio_to_peer": round(witness_s / peer_s, 2),
    }


def main() -> int:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    sizes = []
    for slots in SIZES:
        print(f"measuring batches of {slots} slots", file=sys.stderr)
        sizes.append(measure(slots))
    report = {
        "benchmark": "settlement",
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "rounds": ROUNDS,
        "peak_worker_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "batches": sizes,
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
