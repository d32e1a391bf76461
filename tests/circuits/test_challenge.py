"""The challenge of a signature may be spelled in two ways, h and p beside it; neither lets a stranger sign.

The witness calculator spells h only one way. Here the constraints themselves are solved for other bits, as a
cheating prover would.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.r1cs import System, boolean_wires, holds, read_system, read_witness, solve
from support.scripts import load_script

from bridge.witness import WitnessCalculator
from mini_llm.wallet.babyjub import BASE8, SUBORDER, Point, mul, public_key
from mini_llm.wallet.field import P
from mini_llm.wallet.poseidon import poseidon

ROOT = Path(__file__).resolve().parents[2]
OFFSET = (-(2**253) - 1) % SUBORDER
MAIN = """pragma circom 2.1.6;
include "../../contracts/circuits/signature.circom";
component main = SignatureCheck();
"""
SECRET, STRANGER, NONCE = 1001, 77, 4242
KEY = public_key(SECRET)
R8 = mul(BASE8, NONCE)
CHALLENGE_BIT = re.compile(r"ChallengeMul\w*\.bits\[(\d+)\]$")


@dataclass(frozen=True)
class Check:
    """SignatureCheck alone: its constraints, the wires of its signals, and its witness calculator."""

    circuit: System
    names: dict[str, int]
    calculator: WitnessCalculator

    def accepts(self, number: int, message: int, s: int) -> bool:
        """Whether the constraints have a witness whose challenge bits spell `number`."""
        inputs = {"enabled": 0, "key": list(KEY), "r8": list(R8), "s": s, "message": message}
        honest = read_witness(self.calculator.calculate(inputs))
        known = {wire: honest[wire] for wire in boolean_wires(self.circuit)}  # those of s among them
        known |= {wire: honest[wire] for wire in range(1, self.circuit.inputs + 1)}
        known[self.names["main.enabled"]] = 1
        for name, wire in self.names.items():
            if (bit := CHALLENGE_BIT.search(name)) is not None:
                known[wire] = number >> int(bit.group(1)) & 1
        wires = solve(self.circuit, known)
        return all(holds(constraint, wires) for constraint in self.circuit.constraints)


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    builder = load_script("build_circuits")
    # The compiler only sees what lies below the project.
    folder = ROOT / "build" / f"test-{tmp_path_factory.mktemp('challenge').name}"
    folder.mkdir(parents=True)
    try:
        (folder / "check.circom").write_text(MAIN)
        name = folder.relative_to(ROOT)
        command = [
            "node",
            builder.COMPILER.relative_to(ROOT),
            name / "check.circom",
            "--O2",
            "--r1cs",
            "--wasm",
        ]
        command += ["--sym", "-o", name, "-l", builder.NODE_MODULES.relative_to(ROOT)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        rows = (line.split(",") for line in (folder / "check.sym").read_text().splitlines())
        names = {name: int(wire) for _, wire, _, name in rows if int(wire) >= 0}
        calculator = WitnessCalculator(folder / "check_js" / "check.wasm")
        return Check(read_system(folder / "check.r1cs"), names, calculator)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def message() -> int:
    """A message whose challenge leaves room for p above it, as a quarter of them do."""
    return next(m for m in range(100) if challenge(m) + OFFSET + P < 2**254)


def challenge(message: int, r8: Point = R8, key: Point = KEY) -> int:
    return poseidon((*r8, *key, message))


def respond(message: int, secret: int, shift: int = 0) -> int:
    """The response of a signer who takes h + shift for the challenge; also of one who has another secret."""
    return (NONCE + 8 * (challenge(message) + shift) * secret) % SUBORDER


def test_the_challenge_as_the_verifier_computes_it(check: Check, message: int) -> None:
    h = challenge(message)
    assert check.accepts(h + OFFSET, message, respond(message, SECRET))
    assert not check.accepts(h + OFFSET, message, respond(message, STRANGER))


def test_the_other_challenge_needs_the_key_too(check: Check, message: int) -> None:
    """The two spellings are two equations: a response meets one, and only the key's owner finds one."""
    h = challenge(message)
    beside = respond(message, SECRET, P)
    assert check.accepts(h + OFFSET + P, message, beside)
    assert not check.accepts(h + OFFSET, message, beside)
    assert not check.accepts(h + OFFSET + P, message, respond(message, SECRET))
    for shift in (0, P):
        assert not check.accepts(h + OFFSET + P, message, respond(message, STRANGER, shift))


def test_there_is_no_third_challenge(check: Check, message: int) -> None:
    h = challenge(message)
    for shift in (1, -1, SUBORDER, -P):
        number = h + OFFSET + shift
        if 0 <= number < 2**254:
            assert not check.accepts(number, message, respond(message, SECRET, shift))
    assert h + OFFSET - P < 0
    assert h + OFFSET + 2 * P >= 2**254
