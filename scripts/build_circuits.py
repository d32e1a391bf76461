"""Compile the circuits, make development keys and render the verifier contracts.

    python scripts/build_circuits.py [--sizes 4,10] [--force]

Makes the exit circuit and a batch circuit for each size: build/circuits/exit/ and batch{N}/ with the files
circuit.r1cs, circuit.wasm, circuit.cwasm, proving.pk, verifying_key.json and manifest.json, and the contracts
ExitVerifier.sol and BatchVerifier{N}.sol in contracts/src/generated/. A circuit whose sources, compiler and
library have not changed is not built again. The keys come from a single-party setup: whoever runs this could
forge proofs, so the verifiers and the prover refuse every chain but the local ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from string import Template

import groth16py

from bridge.groth16 import EXIT_SLOTS, WORD_BYTES, circuit_name, key_words, verifier_name
from bridge.witness import WitnessCalculator

ROOT = Path(__file__).resolve().parents[1]
CIRCUITS = ROOT / "contracts" / "circuits"
VERIFIER_TEMPLATE = CIRCUITS / "Verifier.sol.template"
GENERATED = ROOT / "contracts" / "src" / "generated"
BUILD = ROOT / "build" / "circuits"
NODE_MODULES = ROOT / "hardhat-local" / "node_modules"
COMPILER = NODE_MODULES / "circom2" / "cli.js"
LIBRARY = NODE_MODULES / "circomlib" / "circuits"
DEFAULT_SIZES = (4, 10)
OPTIMISATION = "--O2"  # half the constraints of --O1
BUILD_VERSION = b"2"  # raise to have everything built again when this script makes other artefacts
ARTIFACTS = ("circuit.r1cs", "circuit.wasm", "verifying_key.json", "manifest.json")
INCLUDE = re.compile(r'^include "([^"]+)";', re.MULTILINE)
KEY_NAMES = (
    *("alpha_x", "alpha_y"),
    *(f"{point}_{word}" for point in ("beta", "gamma", "delta") for word in ("x1", "x0", "y1", "y0")),
    *(f"ic{i}_{word}" for i in range(4) for word in ("x", "y")),
)
"""Template names of the verifying key's words, in their order."""


class BuildError(Exception):
    """The build cannot go on; the message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Build what is out of date; the exit code is 1 if something is missing or does not compile."""
    parser = argparse.ArgumentParser(description="Build the exit and batch circuits with development keys.")
    parser.add_argument(
        "--sizes", default=",".join(map(str, DEFAULT_SIZES)), help="slots per batch, e.g. 4,10"
    )
    parser.add_argument("--force", action="store_true", help="build even if nothing has changed")
    options = parser.parse_args(arguments)
    try:
        build(sorted({EXIT_SLOTS, *map(int, options.sizes.split(","))}), options.force)
    except (BuildError, ValueError) as error:
        print(f"circuits: {error}", file=sys.stderr)
        return 1
    return 0


def build(sizes: list[int], force: bool) -> None:
    """Bring the artefacts and verifier contracts of all `sizes` up to date, the circuits in parallel.

    A size is a number of slots; 0 means the exit circuit, here and in every function below.

    Raises:
        BuildError: a tool or source is missing, or a circuit does not compile.
    """
    for size in sizes:
        if not main_circuit(size).is_file():
            raise BuildError(
                f"{main_circuit(size).relative_to(ROOT)} is missing: no circuit for {size} slots"
            )
    stale = [size for size in sizes if not is_current(size) or force]
    if stale:
        require_tools()
        started = time.perf_counter()
        workers = min(len(stale), os.cpu_count() or 1)
        print(f"circuits: building {names(stale)} ({estimate(stale, workers)})", flush=True)
        with ProcessPoolExecutor(max_workers=workers) as pool:
            list(pool.map(build_size, reversed(stale)))  # the longest first
        print(f"circuits: built in {time.perf_counter() - started:.0f} s", flush=True)
    for size in sizes:
        render_verifier(size)
    print(f"circuits: {names(sizes)} up to date", flush=True)


def estimate(sizes: list[int], workers: int) -> str:
    """How long building takes on an idle machine, in words; measured from the exit circuit to 80 slots."""
    seconds = [5 + 1.8 * size for size in sizes]
    minutes = max(max(seconds), sum(seconds) / workers) / 60
    gigabytes = sum(sorted(0.4 + 0.04 * size for size in sizes)[-workers:])
    return f"about {max(1, round(minutes))} min and {gigabytes:.0f} GB of memory"


def require_tools() -> None:
    """Raise BuildError naming the command that installs what is missing."""
    if shutil.which("node") is None:
        raise BuildError("Node.js is missing: apt-get install nodejs npm")
    if not COMPILER.is_file() or not LIBRARY.is_dir():
        raise BuildError("circom2 or circomlib is missing: npm ci --ignore-scripts --prefix hardhat-local")


def main_circuit(size: int) -> Path:
    """The circuit file with the `main` component."""
    return CIRCUITS / "main" / f"{circuit_name(size)}.circom"


def sources_hash(size: int) -> str:
    """sha256 over everything that decides what the compiler makes: circuit, library, compiler, flags."""
    files: Iterable[Path] = [
        *included(main_circuit(size)),
        *sorted(LIBRARY.glob("*.circom")),
        COMPILER.with_name("circom.wasm"),
    ]
    digest = hashlib.sha256(BUILD_VERSION + OPTIMISATION.encode())
    for file in files:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def included(source: Path) -> list[Path]:
    """A circuit file and all files of ours that it includes, sorted; the library's are not among them."""
    found: set[Path] = set()
    waiting = [source.resolve()]
    while waiting:
        file = waiting.pop()
        if file not in found and file.is_file():  # the library lies elsewhere
            found.add(file)
            waiting += [(file.parent / name).resolve() for name in INCLUDE.findall(file.read_text())]
    return sorted(found)


def is_current(size: int) -> bool:
    """True if the artefacts of this size are complete and made from the present sources.

    Raises:
        BuildError: they hold a ceremony's key for other sources, which must not be lost by building again.
    """
    folder = BUILD / circuit_name(size)
    if not all((folder / name).is_file() for name in ARTIFACTS) or not COMPILER.is_file():
        return False
    manifest = json.loads((folder / "manifest.json").read_text())
    same_sources = bool(manifest.get("sources_hash") == sources_hash(size))
    if manifest["development"]:
        return same_sources and (folder / "proving.pk").is_file()
    if not same_sources:
        raise BuildError(
            f"{folder} holds a ceremony's key for other sources: move it away to build from these"
        )
    return True


def build_size(size: int) -> None:
    """Make all artefacts of one size in a folder beside the final one, then move it into place."""
    folder = BUILD / f".{circuit_name(size)}.{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        digest = sources_hash(size)
        compile_circuit(size, folder)
        constraints, wires = r1cs_size(folder / "circuit.r1cs")
        say(size, f"{constraints} constraints, {wires} wires; making development keys")
        key = b"".join(word.to_bytes(WORD_BYTES, "big") for word in make_keys(folder))
        WitnessCalculator(folder / "circuit.wasm")  # leaves the compiled module beside it
        manifest = {
            "slots": size,
            "constraints": constraints,
            "wires": wires,
            "circuit_hash": file_hash(folder / "circuit.r1cs"),
            "key_hash": hashlib.sha256(key).hexdigest(),
            "sources_hash": digest,
            "development": True,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        final = BUILD / circuit_name(size)
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
        say(size, "done")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compile_circuit(size: int, folder: Path) -> None:
    """Run circom; leaves circuit.r1cs and circuit.wasm in `folder`.

    Raises:
        BuildError: the compiler's complaint.
    """
    # The WebAssembly compiler sees only what lies below its working directory, by relative paths.
    source, target, library = (
        os.path.relpath(path, ROOT) for path in (main_circuit(size), folder, NODE_MODULES)
    )
    compiler = os.path.relpath(COMPILER, ROOT)
    command = ["node", compiler, source, OPTIMISATION, "--r1cs", "--wasm", "-o", target, "-l", library]
    say(size, "compiling")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    name = circuit_name(size)
    r1cs, wasm = folder / f"{name}.r1cs", folder / f"{name}_js" / f"{name}.wasm"
    if result.returncode != 0 or not r1cs.is_file() or not wasm.is_file():
        raise BuildError(f"{name} does not compile:\n{result.stdout}{result.stderr}")
    r1cs.rename(folder / "circuit.r1cs")
    wasm.rename(folder / "circuit.wasm")
    shutil.rmtree(wasm.parent)


def make_keys(folder: Path) -> tuple[int, ...]:
    """Single-party setup: writes proving.pk and verifying_key.json, returns the verifying key's words."""
    proving_key, verifying_key = groth16py.setup(str(folder / "circuit.r1cs"))
    proving_key.save(str(folder / "proving.pk"))
    text = verifying_key.to_json()
    (folder / "verifying_key.json").write_text(text)
    return key_words(text)


def r1cs_size(r1cs: Path) -> tuple[int, int]:
    """(constraints, wires) from the header section of an r1cs file."""
    with r1cs.open("rb") as file:
        _magic, _version, sections = struct.unpack("<4sII", file.read(12))
        for _ in range(sections):
            kind, length = struct.unpack("<IQ", file.read(12))
            if kind == 1:
                header = file.read(length)
                wires, _out, _public, _private, _labels, constraints = struct.unpack_from(
                    "<IIIIQI", header, 36
                )
                return constraints, wires
            file.seek(length, os.SEEK_CUR)
    raise BuildError(f"{r1cs} has no header section")


def file_hash(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def render_verifier(size: int) -> None:
    """Write the circuit's contract to contracts/src/generated if its text has changed."""
    folder = BUILD / circuit_name(size)
    manifest = json.loads((folder / "manifest.json").read_text())
    values = dict(zip(KEY_NAMES, key_words((folder / "verifying_key.json").read_text()), strict=True))
    text = Template(VERIFIER_TEMPLATE.read_text()).substitute(
        values,
        contract=verifier_name(size),
        statement="exits" if size == EXIT_SLOTS else f"batches of {size} slots",
        slots=size,
        circuit_hash=manifest["circuit_hash"],
        development="true" if manifest["development"] else "false",
    )
    target = GENERATED / f"{verifier_name(size)}.sol"
    if target.is_file() and target.read_text() == text:
        return
    GENERATED.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".tmp")
    unfinished.write_text(text)
    unfinished.replace(target)


def names(sizes: list[int]) -> str:
    """The circuits' names, for messages."""
    return ", ".join(map(circuit_name, sizes))


def say(size: int, message: str) -> None:
    """One line of progress."""
    print(f"circuits: {circuit_name(size)}: {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
