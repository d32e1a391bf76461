"""Real proofs, made once: a batch with the same inputs is proved the first time and remembered after that.

Chains, keys and deposits of the tests are the same on every run, and so are most of their batches.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.prover import Prover
from bridge.proving.worker import Proof
from support.anvil import ROOT

REMEMBERED = ROOT / "build" / "test-proofs"


@pytest.fixture
def remembered_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Prover.prove` remembers; the contract still verifies every proof."""
    prove = Prover.prove

    def remembering(prover: Prover, slots: int, circuit_inputs: Mapping[str, Any]) -> Proof:
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

    monkeypatch.setattr(Prover, "prove", remembering)
    monkeypatch.setattr(Prover, "warm_up", lambda *_: None)
