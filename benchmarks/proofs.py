"""How long proofs of full batches take, in one process and in two, and how much memory a worker needs."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from pathlib import Path
from typing import Any

from bridge.groth16 import EXIT_SLOTS, verify_proof
from bridge.proving.artifacts import Artifacts
from bridge.proving.engines import local_engine
from bridge.proving.worker import Job, Proof, load, prove
from bridge.rollup.batch import Slot
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import Authorisation, BatchWitness, RollupState
from bridge.witness import WitnessCalculator, wtns_file
from mini_llm.wallet import babyjub
from mini_llm.wallet.ceiling import key_commitment, sign_ceiling

ROOT = Path(__file__).resolve().parents[1]
CIRCUITS = ROOT / "build" / "circuits"
CACHE = ROOT / "build" / "bench"
NODE_MODULES = ROOT / "hardhat-local" / "node_modules"
DOMAIN = 7
CEILING_BASE = 10**9
KB_PER_MB = 1024

Done = Callable[[], None]

PEER = """
const fs = require("fs");
const snarkjs = require("snarkjs");
const { WitnessCalculatorBuilder } = require("circom_runtime");
const [wasm, input, zkey, wtns, rounds] = process.argv.slice(1);
const timed = async (work) => {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e9;
};
(async () => {
  const calculator = await WitnessCalculatorBuilder(fs.readFileSync(wasm));
  const signals = JSON.parse(fs.readFileSync(input, "utf8"));
  const [witness, prove] = [[], []];
  for (let i = 0; i < Number(rounds); i++) {
    witness.push(await timed(() => calculator.calculateWTNSBin(signals, 0)));
    prove.push(await timed(() => snarkjs.groth16.prove(zkey, wtns)));
  }
  console.log(JSON.stringify({ witness, prove }));
  process.exit(0);
})();
"""


def full_batch(slots: int) -> BatchWitness:
    """A batch in which every slot charges an account that is already open: the dearest case."""
    state = RollupState(DOMAIN)
    secrets = {idx: 10**9 + idx for idx in range(1, slots + 1)}
    keys = {idx: babyjub.public_key(secret) for idx, secret in secrets.items()}
    state.apply([Slot(idx=idx, deposit=10**9, key_commit=key_commitment(key)) for idx, key in keys.items()])
    authorisations = {}
    for idx, secret in secrets.items():
        signed = sign_ceiling(secret, DOMAIN, idx, CEILING_BASE)
        authorisations[idx] = Authorisation(CEILING_BASE, signed.key, signed.signature)
    charges = [Slot(idx=idx, charge=5_000_000 + idx) for idx in keys]
    return state.prove_inputs(2, charges, authorisations, slots)


def exit_inputs_of_one() -> dict[str, Any]:
    """Circuit inputs of an exit."""
    state = RollupState(DOMAIN)
    state.apply([Slot(idx=1, deposit=10**9, key_commit=key_commitment(babyjub.public_key(10**9)))])
    return dict(exit_inputs(state.tree, 1, state.accounts[1]).circuit_inputs)


def percentiles(values: Sequence[float], digits: int) -> dict[str, float]:
    """Median, ninth decile (nearest rank) and maximum."""
    ordered = sorted(values)

    def rank(percent: int) -> float:
        return round(ordered[-(-percent * len(ordered) // 100) - 1], digits)

    return {"p50": rank(50), "p90": rank(90), "max": round(ordered[-1], digits)}


def measure(slots: int, rounds: int, done: Done) -> dict[str, Any]:
    """Timings and memory of one batch size; `done` is called 1 + 3 * rounds times.

    Raises:
        RuntimeError: a proof does not verify.
    """
    artifacts = Artifacts.load(CIRCUITS, slots)
    batch = full_batch(slots)
    job = Job(CIRCUITS, artifacts.circuit, artifacts.circuit_hash, artifacts.key_hash)
    inputs = dict(batch.circuit_inputs)
    one = local_engine(1)
    pool = one.start()
    started = time.perf_counter()
    first: Proof = pool.submit(prove, job, inputs).result()
    cold_s = time.perf_counter() - started
    done()
    proofs, alone_s = _timed(pool, job, inputs, rounds, done)
    peak_mb = pool.submit(_peak_mb).result()
    one.stop(pool)
    both_s = _two_processes(job, inputs, 2 * rounds, done)
    started = time.perf_counter()
    if not verify_proof(artifacts.verifying_key, first.words, batch.public):
        raise RuntimeError(f"the proof of {slots} slots does not verify")
    verify_s = time.perf_counter() - started
    return {
        "slots": slots,
        "constraints": artifacts.constraints,
        "constraints_per_slot": artifacts.constraints // slots,
        "cold_first_proof_s": round(cold_s, 2),
        "witness_ms": percentiles([1000 * proof.witness_s for proof in proofs], 0),
        "prove_s": percentiles([proof.prove_s for proof in proofs], 2),
        "verify_ms": round(verify_s * 1000, 1),
        "peak_worker_mb": peak_mb,
        "updates_per_s": {
            "1": round(slots * rounds / alone_s, 2),
            "2": round(slots * 2 * rounds / both_s, 2),
        },
    }


def measure_exit(rounds: int) -> dict[str, Any]:
    """Timings of the exit circuit, key loaded: what snarkjs is compared with by default."""
    artifacts = Artifacts.load(CIRCUITS, EXIT_SLOTS)
    job = Job(CIRCUITS, artifacts.circuit, artifacts.circuit_hash, artifacts.key_hash)
    engine = local_engine(1)
    pool = engine.start()
    proofs, _ = _timed(pool, job, exit_inputs_of_one(), 1 + rounds, lambda: None)
    engine.stop(pool)
    return {
        "constraints": artifacts.constraints,
        "witness_ms": percentiles([1000 * proof.witness_s for proof in proofs[1:]], 1),
        "prove_s": percentiles([proof.prove_s for proof in proofs[1:]], 3),
    }


def _two_processes(job: Job, inputs: dict[str, Any], count: int, done: Done) -> float:
    """Seconds for `count` proofs on two workers whose keys are loaded."""
    two = local_engine(2)
    pool = two.start()
    try:
        wait([pool.submit(load, job) for _ in range(2)])  # loading takes long: each worker gets one
        return _timed(pool, job, inputs, count, done)[1]
    finally:
        two.stop(pool)


def _timed(
    pool: Executor, job: Job, inputs: dict[str, Any], count: int, done: Done
) -> tuple[list[Proof], float]:
    started = time.perf_counter()
    futures = [pool.submit(prove, job, inputs) for _ in range(count)]
    proofs = []
    for future in futures:
        proofs.append(future.result())
        done()
    return proofs, time.perf_counter() - started


def _peak_mb() -> int:
    """Largest resident size of this process so far."""
    status = Path("/proc/self/status").read_text()
    (peak_kb,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak_kb) // KB_PER_MB


def peer(slots: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """snarkjs on the same circuit and machine: its own key set-up of the same r1cs, all cores, one process.

    slots: of the batch circuit, EXIT_SLOTS for the exit circuit.

    Raises:
        subprocess.CalledProcessError: snarkjs failed.
    """
    wasm = Artifacts.load(CIRCUITS, slots).wasm
    zkey = peer_key(slots, say)
    inputs = exit_inputs_of_one() if slots == EXIT_SLOTS else full_batch(slots).circuit_inputs
    with tempfile.TemporaryDirectory() as scratch:
        signals, wtns = Path(scratch) / "input.json", Path(scratch) / "witness.wtns"
        signals.write_text(json.dumps(json.loads(json.dumps(inputs), parse_int=str)))
        wtns.write_bytes(wtns_file(WitnessCalculator(wasm).calculate(inputs)))
        files = [str(path) for path in (wasm, signals, zkey, wtns)]
        run = subprocess.run(
            ["node", "-e", PEER, *files, str(rounds)],
            env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
            capture_output=True,
            text=True,
            check=True,
        )
    seconds = json.loads(run.stdout)
    return {
        "name": "snarkjs 0.7.6, zkey of its own for the same r1cs, keys loaded, all cores",
        "witness_ms": percentiles([1000 * value for value in seconds["witness"]], 1),
        "prove_s": percentiles(seconds["prove"], 3),
    }


def peer_key(slots: int, say: Callable[[str], None]) -> Path:
    """A zkey for snarkjs, cached under build/bench by the circuit's hash; good for nothing but timing."""
    artifacts = Artifacts.load(CIRCUITS, slots)
    CACHE.mkdir(parents=True, exist_ok=True)
    zkey = CACHE / f"{artifacts.circuit_hash[:16]}.zkey"
    if not zkey.exists():
        power = (artifacts.constraints + 4).bit_length()
        powers, unfinished = CACHE / f"tau.{power}.ptau", zkey.with_suffix(".tmp")
        say("snarkjs makes its key for the circuit, once (some minutes)")
        _node(Path(__file__).with_name("known_tau.cjs"), power, powers)
        r1cs = artifacts.wasm.with_name("circuit.r1cs")
        _node(NODE_MODULES / "snarkjs" / "build" / "cli.cjs", "groth16", "setup", r1cs, powers, unfinished)
        powers.unlink()
        unfinished.rename(zkey)
    return zkey


def _node(script: Path, *arguments: object) -> None:
    command = ["node", "--max-old-space-size=16384", str(script), *map(str, arguments)]
    environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
