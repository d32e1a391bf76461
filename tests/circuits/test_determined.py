"""The exit circuit leaves nothing free, and the check that says so notices a constraint that is missing."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from support.batches import opened
from support.r1cs import (
    System,
    boolean_wires,
    constraints_by_wire,
    holds,
    read_system,
    read_witness,
    undetermined,
)

from bridge.rollup.exit import exit_inputs
from bridge.witness import WitnessCalculator

ROOT_WIRE = 1


@pytest.fixture(scope="module")
def circuit(circuits_dir: Path) -> System:
    return read_system(circuits_dir / "exit" / "circuit.r1cs")


@pytest.fixture(scope="module")
def wires(circuits_dir: Path) -> list[int]:
    calculator = WitnessCalculator(circuits_dir / "exit" / "circuit.wasm")
    state = opened(1, 4095, 4096)
    inputs = exit_inputs(state.tree, 4095, state.accounts[4095]).circuit_inputs
    return read_witness(calculator.calculate(inputs))


def test_exit_is_determined(circuit: System, wires: list[int]) -> None:
    """Leaf and path leave one root and no free wire."""
    assert all(holds(constraint, wires) for constraint in circuit.constraints)
    known = set(range(1, circuit.inputs + 1)) - {ROOT_WIRE}
    assert undetermined(circuit, wires, known) == set()


def test_flipped_bits_of_the_index_are_noticed(circuit: System, wires: list[int]) -> None:
    rows = constraints_by_wire(circuit)
    bits = boolean_wires(circuit)
    assert len(bits) == 23  # the compiler writes one as the index less the others
    for bit in bits:
        flipped = [*wires]
        flipped[bit] ^= 1
        assert not all(holds(circuit.constraints[number], flipped) for number in rows[bit])


def test_missing_constraint_frees_a_wire(circuit: System, wires: list[int]) -> None:
    """Without any one constraint of the last hash, the root is no longer the leaf's."""
    known = set(range(1, circuit.inputs + 1)) - {ROOT_WIRE}
    for number in random.Random(7).sample(range(len(circuit.constraints) - 300, len(circuit.constraints)), 4):
        kept = [*circuit.constraints[:number], *circuit.constraints[number + 1 :]]
        assert ROOT_WIRE in undetermined(replace(circuit, constraints=kept), wires, known)


def test_the_check_on_systems_with_known_answers() -> None:
    """y = x^2; b a bit; inverse · x = 1 - z and x · z = 0, as IsZero has it."""
    one, x, y, b, inverse, z = range(6)
    square = ([(x, 1)], [(x, 1)], [(y, 1)])
    boolean = ([(b, 1)], [(b, 1), (one, -1)], [])
    is_zero = [([(inverse, 1)], [(x, 1)], [(one, 1), (z, -1)]), ([(x, 1)], [(z, 1)], [])]
    system = System(6, 1, [square, boolean, *is_zero])
    assert undetermined(system, [1, 2, 4, 1, pow(2, -1, 7), 0], {x}) == set()
    assert undetermined(system, [1, 0, 0, 1, 0, 1], {x}) == {inverse}
    assert undetermined(replace(system, constraints=[boolean, *is_zero]), [1, 2, 4, 1, 3, 0], {x}) == {y}
    assert undetermined(replace(system, constraints=[square, *is_zero]), [1, 2, 4, 1, 3, 0], {x}) == {b}
    # Two equations in two unknowns need elimination: y + b = x, y - b = 0; without the second both move.
    linear = [([(one, 1)], [(y, 1), (b, 1)], [(x, 1)]), ([(one, 1)], [(y, 1), (b, -1)], [])]
    assert undetermined(System(4, 1, linear), [1, 2, 1, 1], {x}) == set()
    assert undetermined(System(4, 1, linear[:1]), [1, 2, 1, 1], {x}) == {y, b}
