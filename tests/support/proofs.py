"""Real proofs, made once: a batch with the same inputs is proved the first time and remembered after that.

Chains, keys and deposits of the tests are the same on every run, and so are most of their batches. A module
that imports `remembered_proofs` has it for all its tests.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

import pytest

from bridge.prover import Prover
from bridge.proving import engines
from bridge.proving.worker import Proof
from bridge.workers import new_pool
from support.anvil import ROOT

REMEMBERED = ROOT / "build" / "test-proofs"


@cache
def kept_pool(processes: int) -> ProcessPoolExecutor:
    """A pool that outlives the bridge that opened it: to load the keys takes twice as long as to prove."""
    pool = new_pool(processes)
    pool.shutdown = lambda **_: None  # type: ignore[method-assign]
    return pool


def remember(patch: pytest.MonkeyPatch) -> None:
    """`Prover.prove` remembers until the patch is undone; the contract still verifies every proof."""
    prove = Prover.prove

    def remembered(prover: Prover, slots: int, circuit_inputs: Mapping[str, Any]) -> Proof:
        content = json.dumps([prover.artifacts[slots].key_hash, dict(circuit_inputs)], sort_keys=True)
        path = REMEMBERED / f"{hashlib.sha256(content.encode()).hexdigest()}.json"
        if path.exists():
            return Proof(tuple(json.loads(path.read_text())), 0.0, 0.0)
        proof = prove(prover, slots, circuit_inputs)
        REMEMBERED.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text(json.dumps(proof.words))
        unfinished.replace(path)
        return proof

    patch.setattr(Prover, "prove", remembered)


@pytest.fixture(autouse=True)  # or it would come after the fixtures that prove
def remembered_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch of the test is proved once; what is new is proved by processes that are kept."""
    monkeypatch.setattr(engines, "new_pool", kept_pool)
    monkeypatch.setattr(Prover, "warm_up", lambda *_: None)
    remember(monkeypatch)
