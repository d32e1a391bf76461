"""No input and no wire of a batch's witness is free: whatever is changed alone, some constraint breaks."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from support.batches import DEPOSIT, authorise, commit_of, opened
from support.mutations import Path, scalar_paths, with_changed

from bridge.rollup.batch import Slot
from bridge.rollup.transition import BatchWitness
from bridge.witness import ELEMENT_BYTES, WitnessCalculator, WitnessRefused
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


def addresses(inputs: dict[str, Any]) -> list[Path]:
    """Every scalar input, but of the tree only one node on and one off each slot's path on three levels."""
    found = [path for path in scalar_paths(inputs) if path[0] != "children"]
    for slot, word in enumerate(inputs["w0"]):
        for level in (0, 3, 7):
            digit = (word >> 3 * level) & 7
            found += [("children", slot, level, child) for child in (digit, (digit + 5) % 8)]
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


Row = list[tuple[int, int]]


def constraints(r1cs: FilePath) -> Iterator[tuple[Row, Row, Row]]:
    """The (wire, coefficient) lists A, B, C of each constraint A·w × B·w = C·w, from circom's r1cs format."""
    data = r1cs.read_bytes()
    sections: dict[int, tuple[int, int]] = {}
    offset = 12
    for _ in range(struct.unpack_from("<I", data, 8)[0]):
        kind, length = struct.unpack_from("<IQ", data, offset)
        sections[kind] = (offset + 12, length)
        offset += 12 + length
    count = struct.unpack_from("<I", data, sections[1][0] + 60)[0]
    position = sections[2][0]
    for _ in range(count):
        rows: list[Row] = []
        for _ in range(3):
            (terms,) = struct.unpack_from("<I", data, position)
            position += 4
            row = []
            for _ in range(terms):
                (wire,) = struct.unpack_from("<I", data, position)
                row.append((wire, int.from_bytes(data[position + 4 : position + 36], "little")))
                position += 36
            rows.append(row)
        yield rows[0], rows[1], rows[2]


def test_every_wire_is_constrained(
    circuits_dir: FilePath, circuit4: WitnessCalculator, batch: BatchWitness
) -> None:
    """Changing one wire of the witness breaks a constraint.

    The exceptions are known: circomlib's IsZero hints at an inverse, which is free where there is none (its
    result is not). That is so for the index of each padding slot, each w1 = 0 and each charge of 0.
    """
    witness = circuit4.calculate(batch.circuit_inputs)
    wires = [int.from_bytes(witness[i : i + 32], "little") for i in range(0, len(witness), ELEMENT_BYTES)]
    shift = random.Random(3).randrange(1, P)
    free = set(range(1, len(wires)))
    for a, b, c in constraints(circuits_dir / "batch4" / "circuit.r1cs"):
        values = [sum(wires[wire] * coefficient for wire, coefficient in row) % P for row in (a, b, c)]
        assert values[0] * values[1] % P == values[2]
        in_a, in_b, in_c = dict(a), dict(b), dict(c)
        for wire in (in_a.keys() | in_b.keys() | in_c.keys()) & free:
            moved_a = values[0] + in_a.get(wire, 0) * shift
            moved_b = values[1] + in_b.get(wire, 0) * shift
            if (moved_a * moved_b - values[2] - in_c.get(wire, 0) * shift) % P != 0:
                free.discard(wire)
    padding, kept_keys, uncharged = 1, 2, 2
    assert len(free) == padding + kept_keys + uncharged
