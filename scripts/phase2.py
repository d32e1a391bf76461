"""Phase 2 by snarkjs: running it, reading what it says of a key, whether a phase-1 file fits a circuit."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from build_circuits import NODE_MODULES, r1cs_size

from bridge.groth16 import Q

SNARKJS = NODE_MODULES / "snarkjs" / "build" / "cli.cjs"
HEAP_MB = 16_384  # snarkjs holds a large circuit's key in memory
FIELD_BYTES = 32
LAGRANGE_SECTION = 12  # the first that `powersoftau prepare phase2` adds
PUBLIC_INPUTS = 3
TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CONTRIBUTION = re.compile(r"contribution #\d+ (.*?):\s*\n((?:\s*[0-9a-f]{8}){16})")
BEACON = re.compile(r"Beacon generator: ([0-9a-f]+)\s.*?Beacon iterations Exp: (\d+)", re.DOTALL)


class CeremonyError(Exception):
    """The step cannot be taken; the message says why and what to do."""


@dataclass(frozen=True)
class Contribution:
    """One link of the chain: its contributor's name and its hash (BLAKE2b-512, hex)."""

    name: str
    hash: str


@dataclass(frozen=True)
class Transcript:
    """What a verified key says about its making: contributions, oldest first, with the beacon as the last."""

    contributions: tuple[Contribution, ...]
    beacon: str | None
    beacon_rounds: int | None


def snarkjs(*arguments: object, typed: str = "") -> str:
    """Run snarkjs to its end; its output without colours.

    Raises:
        CeremonyError: it is not installed, or it fails.
    """
    if not SNARKJS.is_file() or shutil.which("node") is None:
        raise CeremonyError("snarkjs is missing: apt-get install nodejs npm; make setup")
    command = ["node", f"--max-old-space-size={HEAP_MB}", str(SNARKJS), *map(str, arguments)]
    result = subprocess.run(command, input=typed + "\n", capture_output=True, text=True)
    output = TERMINAL_COLOURS.sub("", result.stdout + result.stderr)
    if result.returncode != 0 or "[ERROR]" in output:
        last_words = "\n".join(output.strip().splitlines()[-3:])
        raise CeremonyError(f"snarkjs {arguments[0]} {arguments[1]} failed:\n{last_words}")
    return output


def read_transcript(output: str) -> Transcript:
    """What `snarkjs zkey verify` says of a good key."""
    # One part per contribution, the newest first.
    parts = [part for part in output.split("----") if CONTRIBUTION.search(part)]
    links = [Contribution(name, joined(text)) for part in parts for name, text in CONTRIBUTION.findall(part)]
    closing = BEACON.search(parts[0]) if parts else None
    value, rounds = (closing.group(1), int(closing.group(2))) if closing else (None, None)
    return Transcript(tuple(reversed(links)), value, rounds)


def check_ptau(ptau: Path, r1cs: Path) -> int:
    """The power of a phase-1 file that fits the circuit.

    Raises:
        CeremonyError: no such file, no powers of tau of this curve, not prepared for phase 2, or too small.
    """
    require_file(ptau)
    sections: dict[int, int] = {}
    with ptau.open("rb") as file:
        magic, _version, count = struct.unpack("<4sII", file.read(12))
        if magic != b"ptau":
            raise CeremonyError(f"{ptau} is no powers-of-tau file")
        for _ in range(count):
            kind, length = struct.unpack("<IQ", file.read(12))
            sections[kind] = file.tell()
            file.seek(length, 1)
        file.seek(sections[1])
        (width,) = struct.unpack("<I", file.read(4))
        prime = int.from_bytes(file.read(width), "little")
        (power,) = struct.unpack("<I", file.read(4))
    if width != FIELD_BYTES or prime != Q:
        raise CeremonyError(f"{ptau} is for another curve than BN254")
    if LAGRANGE_SECTION not in sections:
        raise CeremonyError(
            f"{ptau} is not prepared: snarkjs powersoftau prepare phase2 {ptau} prepared.ptau"
        )
    constraints, _ = r1cs_size(r1cs)
    needed = (constraints + PUBLIC_INPUTS).bit_length()
    if power < needed:
        raise CeremonyError(f"{ptau} has 2^{power} powers, {constraints} constraints need 2^{needed}")
    return int(power)


def require_file(path: Path) -> None:
    """Raise CeremonyError if there is no such file."""
    if not path.is_file():
        raise CeremonyError(f"{path} is missing")


def joined(text: str) -> str:
    """A hash that is printed in groups, as one word."""
    return "".join(text.split())
