"""Rank-1 constraint systems as circom writes them, and what a witness leaves free in them."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.witness import ELEMENT_BYTES
from mini_llm.wallet.field import P

Row = list[tuple[int, int]]
"""(wire, coefficient) pairs."""

Wires = Sequence[int] | Mapping[int, int]
"""A witness: each wire's value."""

Constraint = tuple[Row, Row, Row]
"""A, B, C with A·w x B·w = C·w for the witness w; wire 0 is the constant 1."""


@dataclass(frozen=True)
class System:
    """A constraint system. Wires 1 to `inputs` are the circuit's inputs, the public ones first."""

    wires: int
    inputs: int
    constraints: list[Constraint]


def read_system(r1cs: Path) -> System:
    """The constraints of an r1cs file (iden3's format, version 1)."""
    data = r1cs.read_bytes()
    sections: dict[int, int] = {}
    offset = 12
    for _ in range(struct.unpack_from("<I", data, 8)[0]):
        kind, length = struct.unpack_from("<IQ", data, offset)
        sections[kind] = offset + 12
        offset += 12 + length
    header = struct.unpack_from("<IIIIQI", data, sections[1] + 4 + ELEMENT_BYTES)
    wires, outputs, public, private, _labels, count = header
    constraints = list(_constraints(data, sections[2], count))
    return System(wires, outputs + public + private, constraints)


def _constraints(data: bytes, position: int, count: int) -> Iterator[Constraint]:
    def row() -> Row:
        nonlocal position
        (terms,) = struct.unpack_from("<I", data, position)
        position += 4
        found = []
        for _ in range(terms):
            (wire,) = struct.unpack_from("<I", data, position)
            found.append((wire, int.from_bytes(data[position + 4 : position + 36], "little")))
            position += 36
        return found

    for _ in range(count):
        yield row(), row(), row()


def read_witness(witness: bytes) -> list[int]:
    """The value of each wire."""
    return [
        int.from_bytes(witness[i : i + ELEMENT_BYTES], "little")
        for i in range(0, len(witness), ELEMENT_BYTES)
    ]


def dot(row: Row, wires: Wires) -> int:
    """A linear combination's value."""
    return sum(wires[wire] * coefficient for wire, coefficient in row) % P


def holds(constraint: Constraint, wires: Wires) -> bool:
    """Whether the witness satisfies the constraint."""
    a, b, c = (dot(row, wires) for row in constraint)
    return a * b % P == c


def constraints_by_wire(system: System) -> dict[int, list[int]]:
    """Numbers of the constraints in which each wire occurs."""
    found: dict[int, list[int]] = defaultdict(list)
    for number, constraint in enumerate(system.constraints):
        for wire in {wire for row in constraint for wire, _ in row}:
            found[wire].append(number)
    return found


def boolean_wires(system: System) -> list[int]:
    """Wires that some constraint alone holds to 0 or 1."""
    found = set()
    for constraint in system.constraints:
        wires = {wire for row in constraint for wire, _ in row} - {0}
        if len(wires) == 1 and constraint[0] and constraint[1]:
            (wire,) = wires
            if all(holds(constraint, {0: 1, wire: value}) for value in (0, 1)):
                found.add(wire)
    return sorted(found)


def solve(system: System, known: Mapping[int, int]) -> list[int]:
    """A witness with these values: each other wire as a constraint wants it that has no other unknown.

    Raises:
        ValueError: some wires follow from no single constraint.
    """
    values = {0: 1, **known}
    places = constraints_by_wire(system)
    missing = [
        {wire for row in constraint for wire, _ in row} - values.keys() for constraint in system.constraints
    ]
    ready = [number for number, wires in enumerate(missing) if len(wires) == 1]
    while ready:
        number = ready.pop()
        if len(missing[number]) != 1:
            continue
        (wire,) = missing[number]
        value = _only_value(system.constraints[number], wire, values)
        if value is None:
            continue
        values[wire] = value
        for place in places[wire]:
            missing[place].discard(wire)
            if len(missing[place]) == 1:
                ready.append(place)
    if len(values) < system.wires:
        raise ValueError(f"{system.wires - len(values)} wires are open")
    return [values[wire] for wire in range(system.wires)]


def _only_value(constraint: Constraint, wire: int, values: Mapping[int, int]) -> int | None:
    """What the wire has to be; None if the constraint is not linear in it or does not depend on it."""
    (a0, a1), (b0, b1), (c0, c1) = (
        (
            sum(values[other] * factor for other, factor in row if other != wire) % P,
            dict(row).get(wire, 0),
        )
        for row in constraint
    )
    slope = (a0 * b1 + a1 * b0 - c1) % P
    return None if a1 * b1 % P or not slope else (c0 - a0 * b0) * pow(slope, -1, P) % P


def undetermined(system: System, wires: Sequence[int], known: Iterable[int]) -> set[int]:
    """The wires that can move while the constraints hold to first order and the `known` wires stay.

    The constraints are linearised at the witness; a wire is determined if every solution of that linear
    system leaves it as it is. Rows with one unknown are solved first, the rest by Gaussian elimination over
    the field.
    """
    fixed = {0, *known}
    rows = [row for constraint in system.constraints if (row := _derivative(constraint, wires, fixed))]
    places: dict[int, set[int]] = defaultdict(set)
    for number, row in enumerate(rows):
        for wire in row:
            places[wire].add(number)
    single = [number for number, row in enumerate(rows) if len(row) == 1]
    while single:
        row = rows[single.pop()]
        if not row:
            continue  # another row has determined its wire
        (wire,) = row
        fixed.add(wire)
        for number in places.pop(wire):
            del rows[number][wire]
            if len(rows[number]) == 1:
                single.append(number)
    pivots = _eliminate([row for row in rows if row])
    moving = set(range(system.wires)) - fixed - {wire for wire, row in pivots.items() if not row}
    return moving


def _derivative(constraint: Constraint, wires: Sequence[int], fixed: set[int]) -> dict[int, int]:
    """The constraint's derivative by each wire that is not fixed and on which it depends at this witness."""
    a, b, c = constraint
    value_a, value_b = dot(a, wires), dot(b, wires)
    slopes: dict[int, int] = defaultdict(int)
    for row, factor in ((a, value_b), (b, value_a), (c, -1)):
        if factor:
            for wire, coefficient in row:
                if wire not in fixed:
                    slopes[wire] += coefficient * factor
    return {wire: value for wire, slope in slopes.items() if (value := slope % P)}


def _eliminate(rows: list[dict[int, int]]) -> dict[int, dict[int, int]]:
    """Reduced echelon form: pivot wire = combination of wires that are free."""
    pivots: dict[int, dict[int, int]] = {}
    users: dict[int, set[int]] = defaultdict(set)  # free wire: pivots whose rows mention it
    for row in sorted(rows, key=len):
        reduced: dict[int, int] = defaultdict(int)
        for wire, slope in row.items():
            for target, factor in pivots.get(wire, {wire: 1}).items():
                reduced[target] = (reduced[target] + slope * factor) % P
        reduced = {wire: slope for wire, slope in reduced.items() if slope}
        if not reduced:
            continue
        pivot, slope = next(iter(reduced.items()))
        scale = -pow(slope, -1, P)
        value = {wire: factor * scale % P for wire, factor in reduced.items() if wire != pivot}
        for user in users.pop(pivot, set()):
            factor = pivots[user].pop(pivot)
            for wire, part in value.items():
                total = (pivots[user].get(wire, 0) + factor * part) % P
                if total:
                    pivots[user][wire] = total
                    users[wire].add(user)
                else:
                    pivots[user].pop(wire, None)
                    users[wire].discard(user)
        pivots[pivot] = value
        for wire in value:
            users[wire].add(pivot)
    return pivots
