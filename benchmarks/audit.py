"""Measures `vibes audit`: 100 proved batches with 10,000, 100,000 and 1,000,000 receipts.

The chain, the contracts and the 100 proofs are real. All three exports fill the same batches (fewer or more
receipts, each dearer or cheaper), so the proofs are made once. What is timed is the command as a user runs
it; its memory is the sum over all its processes, sampled while it runs. The peer is eth_account, which
recovers the signers of the same receipts and checks nothing else.

Run with `make bench`; results go to benchmarks/results/audit.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from measured_chain import (
    CEILING_BASE,
    CHAIN_ID,
    DEPOSIT_BASE,
    PARTNERS,
    MeasuredChain,
    measured_chain,
    session_key,
)

from bridge.prover import Prover
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.transition import Authorisation, BatchWitness
from bridge.workers import new_pool
from mini_llm.wallet.ceiling import key_commitment, sign_ceiling
from mini_llm.wallet.receipt import RECEIPT_TYPES, Receipt, ReceiptDomain, SignedReceipt
from mini_llm.wallet.receipts_tree import Leaf, ReceiptsTree
from mini_llm.wallet.signature import sign_digest
from router.receipts import receipt_line

ROOT = Path(__file__).resolve().parents[1]
CIRCUITS = ROOT / "build" / "circuits"
RESULT = ROOT / "benchmarks" / "results" / "audit.json"
VIBES = Path(sys.executable).parent / "vibes"
COUNTS = (10_000, 100_000, 1_000_000)
BATCHES = 100
SLOTS = 10
SLOT_CHARGE_BASE = 1_000_000
PROCESSES = 2
SAMPLE_S = 0.1
PEER_RECEIPTS = 200
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Export:
    """What one process signs: all receipts of some accounts.

    batches: how many.
    each: receipts per account and batch; together they charge `SLOT_CHARGE_BASE`.
    """

    path: Path
    domain: ReceiptDomain
    signer: bytes
    accounts: Sequence[int]
    batches: int
    each: int


def partner_of(idx: int) -> int:
    """Account 1 uses partner 1 and so on, round and round."""
    return (idx - 1) % PARTNERS + 1


def write_receipts(export: Export) -> dict[int, list[list[Leaf]]]:
    """Signs and writes an export; returns each account's tree leaves, batch by batch."""
    leaves: dict[int, list[list[Leaf]]] = {}
    with export.path.open("w") as file:
        for idx in export.accounts:
            leaves[idx] = [[] for _ in range(export.batches)]
            for receipt, digest in account_receipts(idx, export):
                file.write(receipt_line(SignedReceipt(receipt, sign_digest(digest, export.signer))) + "\n")
                leaves[idx][(receipt.account_sequence - 1) // export.each].append(
                    (digest, receipt.charge_base)
                )
    return leaves


def account_receipts(idx: int, export: Export) -> Iterator[tuple[Receipt, bytes]]:
    """All receipts of an account with their digests; a partner numbers one account's after the other's."""
    charge_base, previous, count = SLOT_CHARGE_BASE // export.each, bytes(32), export.batches * export.each
    before = sum(partner_of(other) == partner_of(idx) for other in range(1, idx)) * count
    for number in range(1, count + 1):
        receipt = Receipt(
            request_id=idx.to_bytes(16, "big") + number.to_bytes(16, "big"),
            account=idx,
            partner=partner_of(idx),
            model="pithy-1",
            prompt_tokens=charge_base,
            completion_tokens=0,
            prompt_price_base_per_mtok=10**6,
            completion_price_base_per_mtok=0,
            vibes_per_usd=100,
            charge_base=charge_base,
            account_sequence=number,
            partner_sequence=before + number,
            account_total_base=number * charge_base,
            partner_total_base=(before + number) * charge_base,
            previous_receipt=previous,
            time=1_800_000_000 + number,
            prompt_hash=os.urandom(32),
        )
        previous = receipt.digest(export.domain)
        yield receipt, previous


def sign_export(path: Path, domain: ReceiptDomain, signer: bytes, batches: int, count: int) -> list[bytes]:
    """Writes `count` receipts by account and sequence; returns the receipts root of each batch."""
    each = count // batches // SLOTS
    parts = [range(1, SLOTS // 2 + 1), range(SLOTS // 2 + 1, SLOTS + 1)]
    jobs = [
        Export(path.with_suffix(f".{at}"), domain, signer, accounts, batches, each)
        for at, accounts in enumerate(parts)
    ]
    with new_pool(PROCESSES) as pool:
        made = list(pool.map(write_receipts, jobs))
    with path.open("wb") as whole:
        for job in jobs:
            whole.write(job.path.read_bytes())
            job.path.unlink()
    leaves = made[0] | made[1]
    trees = [ReceiptsTree() for _ in range(batches)]
    for idx in sorted(leaves):
        for tree, part in zip(trees, leaves[idx], strict=True):
            for leaf in part:
                tree.add(leaf)
    return [tree.root[0] for tree in trees]


def prove_batches(chain: MeasuredChain, batches: int) -> list[tuple[BatchWitness, tuple[int, ...]]]:
    """Proves full batches, two at a time; the first opens the accounts."""
    witnesses = []
    for number in range(1, batches + 1):
        slots, auths = [], {}
        for idx in range(1, SLOTS + 1):
            secret, key = session_key(idx)
            opening = Slot(idx, SLOT_CHARGE_BASE, deposit=DEPOSIT_BASE, key_commit=key_commitment(key))
            slots.append(opening if number == 1 else Slot(idx, SLOT_CHARGE_BASE))
            signed = sign_ceiling(secret, chain.state.domain, idx, CEILING_BASE)
            auths[idx] = Authorisation(CEILING_BASE, signed.key, signed.signature)
        witnesses.append(chain.state.prove_inputs(number, slots, auths, SLOTS))
    with Prover(CIRCUITS, [SLOTS], CHAIN_ID, workers=PROCESSES) as prover, ThreadPoolExecutor(2) as threads:

        def prove(witness: BatchWitness) -> tuple[int, ...]:
            return prover.prove(SLOTS, witness.circuit_inputs).words

        proofs = []
        for proof in threads.map(prove, witnesses):
            proofs.append(proof)
            say(f"proved {len(proofs)} of {batches} batches", end="\r")
    return list(zip(witnesses, proofs, strict=True))


def settle_batches(
    chain: MeasuredChain, batches: Sequence[tuple[BatchWitness, tuple[int, ...]]], roots: Sequence[bytes]
) -> None:
    """Settles the proved batches with these receipts roots."""
    gross: dict[int, int] = {}
    for idx in range(1, SLOTS + 1):
        gross[partner_of(idx)] = gross.get(partner_of(idx), 0) + SLOT_CHARGE_BASE
    partner_words = [encode_partner_word(*item) for item in sorted(gross.items())]
    for (witness, proof), root in zip(batches, roots, strict=True):
        header = (witness.old_root, witness.new_root, witness.public[0], root, SLOTS * SLOT_CHARGE_BASE)
        chain.send_batch((header, list(witness.words[3:]), partner_words, list(proof)))


def audit(chain: MeasuredChain, receipts: Path) -> dict[str, Any]:
    """Runs the command and measures it. Raises RuntimeError unless everything holds."""
    command = [
        *(str(VIBES), "audit", "--json", "--processes", str(PROCESSES)),
        *(
            "--rpc",
            chain.url,
            "--settlement",
            chain.settlement.address,
            "--receipts",
            str(receipts),
        ),
    ]
    started, used_s = time.perf_counter(), children_cpu_s()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        memory = PeakMemory(process.pid)
        output, _ = process.communicate()
        seconds = time.perf_counter() - started
        memory.stop()
    report = json.loads(output)
    if not report["ok"]:
        raise RuntimeError(f"the audit does not hold: {report}")
    count = report["receipts"]["settled"]
    return {
        "receipts": count,
        "export_mb": receipts.stat().st_size // 10**6,
        "batches": len(report["batches"]),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(children_cpu_s() - used_s, 1),
        "receipts_per_s": round(count / seconds),
        "peak_mb": memory.peak_bytes // 10**6,
    }


def children_cpu_s() -> float:
    """Processor time of all finished child processes: what wall time is, were the machine idle."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class PeakMemory:
    """Samples the resident memory of a process and its descendants; shared pages count for each of them."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid, self._stopped = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        """Ends the sampling."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._pid))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all below it."""
    pages: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # after the name, which may hold anything: state, parent, ..., resident pages
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pages[int(folder.name)] = int(fields[21])
        children.setdefault(int(fields[1]), []).append(int(folder.name))

    def below(parent: int) -> int:
        return pages.get(parent, 0) + sum(below(child) for child in children.get(parent, []))

    return below(pid) * PAGE_BYTES


def peer_receipts_per_s(receipts: Path, domain: ReceiptDomain, signer: str) -> float:
    """Signers of receipts that eth_account recovers in a second, in one process."""
    types = {name: [{"name": f, "type": t} for f, t in members] for name, members in RECEIPT_TYPES.items()}
    separator = {
        "name": "VIBES Receipt", "version": "1",
        "chainId": domain.chain_id, "verifyingContract": domain.settlement,
    }  # fmt: skip
    with receipts.open() as file:
        signed = [SignedReceipt.from_text(line) for line in islice(file, PEER_RECEIPTS)]
    started = time.perf_counter()
    for one in signed:
        message = {
            "types": types, "primaryType": "Receipt", "domain": separator, "message": one.receipt.message(),
        }  # fmt: skip
        if (
            Account.recover_message(encode_typed_data(full_message=message), signature=one.signature)
            != signer
        ):
            raise RuntimeError("eth_account recovers another signer")
    return PEER_RECEIPTS / (time.perf_counter() - started)


def measure(counts: Sequence[int], number: int, folder: Path) -> dict[str, Any]:
    """One run per export size, on one chain that is set back in between."""
    signer, runs, peer = Account.create(), [], 0.0
    with measured_chain(SLOTS, CIRCUITS, say) as chain:
        chain.send_as(chain.record["timelock"], chain.settlement.functions.setReceiptSigner(signer.address))
        batches = prove_batches(chain, number)
        domain = ReceiptDomain(CHAIN_ID, chain.settlement.address)
        for count in counts:
            say(f"signing {count:,} receipts and settling {number} batches")
            receipts, snapshot = folder / "receipts.jsonl", chain.rpc("evm_snapshot")
            roots = sign_export(receipts, domain, bytes(signer.key), number, count)
            settle_batches(chain, batches, roots)
            say(f"auditing {count:,} receipts")
            runs.append(audit(chain, receipts))
            peer = peer or peer_receipts_per_s(receipts, domain, signer.address)
            chain.rpc("evm_revert", snapshot)
    return {
        "batches": number,
        "slots": SLOTS,
        "processes": PROCESSES,
        "runs": runs,
        "peer_eth_account_recover_per_s": round(peer),
        "ratio_to_peer": round(runs[-1]["receipts_per_s"] / peer, 2),
    }


def say(line: str, end: str = "\n") -> None:
    """Progress on stderr."""
    print(line, file=sys.stderr, end=end, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure `vibes audit` on 100 proved batches.")
    parser.add_argument(
        "--counts",
        default=",".join(map(str, COUNTS)),
        help="receipts per run, multiples of ten times the batches",
    )
    parser.add_argument("--batches", type=int, default=BATCHES, help="full batches of 10 accounts")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.counts.split(",")]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="vibes-bench-") as folder:
        measured = measure(counts, arguments.batches, Path(folder))
    report = {
        "benchmark": "audit",
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **measured,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
