"""No input and no wire of a batch's witness is free: whatever is changed alone, some constraint breaks."""

from __future__ import annotations

import random
from pathlib import Path as FilePath
from typing import Any

import pytest
from support.batches import DEPOSIT, authorise, commit_of, opened
from support.mutations import Path, scalar_paths, with_changed
from support.r1cs import (
    System,
    boolean_wires,
    constraints_by_wire,
    dot,
    holds,
    read_system,
    read_witness,
    undetermined,
)

from bridge.rollup.batch import Slot
from bridge.rollup.transition import BatchWitness
from bridge.witness import WitnessCalculator, WitnessRefused
from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment
from mini_llm.wallet.field import P

STRANGER_COMMIT = key_commitment(public_key(77))


@pytest.fixture(scope="module")
def batch() -> BatchWitness:
    """A used account that pays and changes its key, a fresh one that pays, one that leaves, and padding."""
    state = opened(8, 4242)
    slots = [
        Slot(8, charge=100, reward=3, key_commit=STRANGER_COMMIT),
        Slot(64, charge=7, deposit=DEPOSIT, key_commit=commit_of(64)),
        Slot(4242, withdraw=DEPOSIT, drain=True),
    ]
    return state.prove_inputs(7, slots, {8: authorise(8), 64: authorise(64)}, 4)


FREE_INVERSES = 1 + 2 + 2 + 1
"""Padding, kept keys, uncharged slots, and a region like the one before, in this batch."""

INPUTS = (
    *("C", "r", "y", "domain", "oldRoot", "newRoot", "w0", "w1", "used", "keyCommit", "balance", "spent"),
    *("key", "ceiling", "r8", "s", "children", "unitRegion", "unitOld", "unitNew", "unitChildren"),
)
"""In the order of their wires."""


@pytest.fixture(scope="module")
def circuit(circuits_dir: FilePath) -> System:
    return read_system(circuits_dir / "batch4" / "circuit.r1cs")


@pytest.fixture
def wires(circuit4: WitnessCalculator, batch: BatchWitness) -> list[int]:
    return read_witness(circuit4.calculate(batch.circuit_inputs))


def input_wires(inputs: dict[str, Any]) -> dict[str, range]:
    """Which wires hold each input."""
    found, first = {}, 1
    for name in INPUTS:
        count = sum(path[0] == name for path in scalar_paths({name: inputs[name]}))
        found[name] = range(first, first + count)
        first += count
    return found


def addresses(inputs: dict[str, Any]) -> list[Path]:
    """Every scalar input, but of each path only one node on it and one off it, on two levels."""
    paths = {"children": [word & 4095 for word in inputs["w0"]], "unitChildren": inputs["unitRegion"]}
    found = [path for path in scalar_paths(inputs) if path[0] not in paths]
    for name, places in paths.items():
        for row, place in enumerate(places):
            for level in (0, 3):
                digit = (place >> 3 * level) & 7
                found += [(name, row, level, child) for child in (digit, (digit + 5) % 8)]
    return found


def test_every_input_matters(circuit4: WitnessCalculator, batch: BatchWitness) -> None:
    rng = random.Random(2)
    circuit4.calculate(batch.circuit_inputs)
    accepted = []
    for path in addresses(batch.circuit_inputs):
        mutated = with_changed(batch.circuit_inputs, path, rng)
        try:
            circuit4.calculate(mutated)
        except WitnessRefused:
            continue
        accepted.append(path)
    assert accepted == []


def test_every_wire_is_constrained(circuit: System, wires: list[int]) -> None:
    """Changing one wire of the witness breaks a constraint.

    The exceptions are known: circomlib's IsZero hints at an inverse, which is free where there is none (its
    result is not). That is so for the index of each padding slot, each w1 = 0, each charge of 0, and each
    slot in the region of the slot before.
    """
    shift = random.Random(3).randrange(1, P)
    free = set(range(1, len(wires)))
    for a, b, c in circuit.constraints:
        assert holds((a, b, c), wires)
        values = [dot(row, wires) for row in (a, b, c)]
        in_a, in_b, in_c = dict(a), dict(b), dict(c)
        for wire in (in_a.keys() | in_b.keys() | in_c.keys()) & free:
            moved_a = values[0] + in_a.get(wire, 0) * shift
            moved_b = values[1] + in_b.get(wire, 0) * shift
            if (moved_a * moved_b - values[2] - in_c.get(wire, 0) * shift) % P != 0:
                free.discard(wire)
    assert len(free) == FREE_INVERSES


def test_every_flipped_bit_is_noticed(circuit: System, wires: list[int]) -> None:
    """A wire that is held to 0 or 1 has no second value that the other constraints would take too."""
    rows = constraints_by_wire(circuit)
    bits = boolean_wires(circuit)
    assert len(bits) > 3_800  # 3,952, less those that the compiler writes as sums of others
    unnoticed = []
    for wire in bits:
        wires[wire] ^= 1
        if all(holds(circuit.constraints[number], wires) for number in rows[wire]):
            unnoticed.append(wire)
        wires[wire] ^= 1
    assert unnoticed == []


def test_every_wire_is_determined(circuit: System, wires: list[int], batch: BatchWitness) -> None:
    """To first order no wire has another value; newRoot, C, y and the units follow from the other inputs."""
    names = input_wires(batch.circuit_inputs)
    assert names["unitChildren"].stop == circuit.inputs + 1
    assert [wires[wire] for wire in names["unitOld"]] == batch.circuit_inputs["unitOld"]
    derived = {
        wire for name in ("C", "y", "newRoot", "unitRegion", "unitOld", "unitNew") for wire in names[name]
    }
    known = set(range(1, circuit.inputs + 1)) - derived
    assert len(undetermined(circuit, wires, known)) == FREE_INVERSES
