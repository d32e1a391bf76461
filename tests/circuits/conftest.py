"""Fixtures of the circuit tests: the built artefacts, a witness calculator per size and one prover."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.prover import Prover
from bridge.proving.artifacts import Artifacts
from bridge.witness import WitnessCalculator, WitnessRefused

LOCAL_CHAIN = 31337


@pytest.fixture(scope="session")
def circuit4(circuits_dir: Path) -> WitnessCalculator:
    """The circuit for four slots."""
    return WitnessCalculator(Artifacts.load(circuits_dir, 4).wasm)


@pytest.fixture(scope="session")
def prover(circuits_dir: Path) -> Iterator[Prover]:
    """A prover for four slots whose key is loaded once for all tests."""
    with Prover(circuits_dir, [4], LOCAL_CHAIN) as shared:
        yield shared


@pytest.fixture
def refused(circuit4: WitnessCalculator) -> Callable[[dict[str, Any]], str]:
    """Asserts that no witness exists for the inputs; returns the templates that refused, innermost first."""

    def check(inputs: dict[str, Any]) -> str:
        with pytest.raises(WitnessRefused) as refusal:
            circuit4.calculate(inputs)
        assert refusal.value.reason == "a constraint does not hold", refusal.value
        return refusal.value.detail

    return check
