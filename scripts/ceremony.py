"""Phase 2 of the Groth16 set-up for one circuit, with as many contributors as you like.

A development key is made by one party, who could forge proofs with what it must forget. Here every
contributor adds a secret of their own: as long as one of them destroys it, nobody can forge. For batch80:

 1. Build it, and get a phase-1 file (powers of tau) of a public ceremony that is large enough and prepared
    for phase 2, such as Hermez' powersOfTau28_hez_final_20.ptau (2^20). Compare its published hash.
        python scripts/build_circuits.py --sizes 80
 2. The coordinator begins.
        python scripts/ceremony.py new batch80 0.zkey --ptau hez_20.ptau
 3. Each contributor takes the last file, adds to it on their own machine, publishes the hash that is shown,
    and hands the new file on.
        python scripts/ceremony.py contribute 0.zkey 1.zkey --name "Alice"
        python scripts/ceremony.py contribute 1.zkey 2.zkey --name "Bob"
 4. A public random value that nobody could know before closes the ceremony, such as the hash of a block that
    was announced in advance.
        python scripts/ceremony.py beacon 2.zkey final.zkey --value 0123..hex --rounds 10
 5. Anyone checks every step of the chain against the circuit and the phase-1 file.
        python scripts/ceremony.py verify batch80 final.zkey --ptau hez_20.ptau
 6. The operator puts the key where prover and deployment find it, and renders the verifier contract.
        python scripts/ceremony.py export batch80 final.zkey --ptau hez_20.ptau

`export` refuses a key that does not verify, has fewer than two contributions or no beacon at its end. What it
writes (circuit.zkey, verifying_key.json and manifest.json in build/circuits/batch80) is taken on every chain.
Smaller circuits do with smaller files: exit 2^12, batch4 2^16, batch10 2^17, batch40 2^19.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets
import shutil
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import groth16py
from build_circuits import BUILD, file_hash, render_verifier
from phase2 import (
    CeremonyError,
    Transcript,
    check_ptau,
    joined,
    read_transcript,
    require_file,
    snarkjs,
)

from bridge.groth16 import WORD_BYTES, circuit_name, key_words

LEAST_CONTRIBUTIONS = 2
LEAST_BEACON_BYTES = 16
CONTRIBUTION_HASH = re.compile(r"Contribution Hash:\s*\n((?:\s*[0-9a-f]{8}){16})")


def main(arguments: list[str] | None = None) -> int:
    """Take one step of a ceremony; the exit code is 1 if it is refused."""
    options = _parser().parse_args(arguments)
    try:
        options.step(options)
    except CeremonyError as error:
        print(f"ceremony: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(required=True, metavar="STEP")

    def step(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = steps.add_parser(name, help=text, description=text)
        added.set_defaults(step=run)
        return added

    begin = step("new", new, "begin: the circuit's first key, which everybody can compute")
    begin.add_argument("circuit", help="a built circuit: exit, batch4, batch10, batch40 or batch80")
    begin.add_argument("out", type=Path, help="key file to write")
    add = step("contribute", contribute, "add a secret of your own, which is forgotten when the step ends")
    add.add_argument("last", type=Path, help="the key file of the contributor before you")
    add.add_argument("out", type=Path, help="key file to write and hand on")
    add.add_argument("--name", required=True, help="who you are; stays in the file")
    close = step("beacon", beacon, "close the ceremony with a public random value")
    close.add_argument("last", type=Path, help="the last contributor's key file")
    close.add_argument("out", type=Path, help="key file to write")
    close.add_argument("--value", required=True, help="the random value, hex, at least 16 bytes")
    close.add_argument("--rounds", type=int, default=10, help="2^ROUNDS hashes of it are taken (default: 10)")
    check = step("verify", verify, "check every step against the circuit and the phase-1 file")
    install = step("export", export, "verify, then put the key where prover and deployment find it")
    for subparser in (check, install):
        subparser.add_argument("circuit", help="the circuit's name, e.g. batch80")
        subparser.add_argument("zkey", type=Path, help="the key file")
    for subparser in (begin, check, install):
        subparser.add_argument("--ptau", type=Path, required=True, help="phase-1 file, prepared for phase 2")
    return parser


def new(options: argparse.Namespace) -> None:
    """Write the first key of a ceremony.

    Raises:
        CeremonyError: the circuit is not built, the phase-1 file is unfit, or snarkjs fails.
    """
    r1cs = circuit_file(options.circuit)
    check_ptau(options.ptau, r1cs)
    say(f"first key of {options.circuit}: minutes for small circuits, hours for 2^20")
    snarkjs("groth16", "setup", r1cs, options.ptau, options.out)
    say(f"{options.out} is ready for the first contributor")


def contribute(options: argparse.Namespace) -> None:
    """Add randomness from this machine to a key and show the contribution's hash.

    Raises:
        CeremonyError: the key is missing or malformed.
    """
    require_file(options.last)
    # On its input, so that no other user of the machine can read it; snarkjs adds random bytes of its own.
    entropy = secrets.token_hex(64)
    output = snarkjs("zkey", "contribute", options.last, options.out, f"--name={options.name}", typed=entropy)
    found = CONTRIBUTION_HASH.search(output)
    if found is None:
        raise CeremonyError(f"snarkjs told no contribution hash:\n{output}")
    say(f"publish this hash: {joined(found.group(1))}")
    say(f"hand {options.out} on; what made it is already forgotten")


def beacon(options: argparse.Namespace) -> None:
    """Apply a public random value as the last contribution.

    Raises:
        CeremonyError: the value is not hex or too short, or the key is missing or malformed.
    """
    require_file(options.last)
    value = options.value.removeprefix("0x")
    if not re.fullmatch(r"([0-9a-fA-F]{2})+", value) or len(value) < 2 * LEAST_BEACON_BYTES:
        raise CeremonyError(f"a beacon is at least {LEAST_BEACON_BYTES} bytes in hex, not {options.value!r}")
    snarkjs("zkey", "beacon", options.last, options.out, value, str(options.rounds), "-n=beacon")
    say(f"{options.out} is final: verify and export it")


def verify(options: argparse.Namespace) -> None:
    """Check a key and list its contributions.

    Raises:
        CeremonyError: the key is not the circuit's, or a step of its chain does not hold.
    """
    transcript = checked(options.circuit, options.zkey, options.ptau)
    for number, contribution in enumerate(transcript.contributions, 1):
        say(f"contribution {number}, {contribution.name}: {contribution.hash}")
    if transcript.beacon is not None:
        say(f"beacon {transcript.beacon}, 2^{transcript.beacon_rounds} rounds")
    say(f"{options.zkey} is a good key for {options.circuit}")


def export(options: argparse.Namespace) -> None:
    """Verify a finished key and install it, its verifying key, manifest and verifier contract.

    Raises:
        CeremonyError: the key is not good, or its ceremony not finished.
    """
    transcript = checked(options.circuit, options.zkey, options.ptau)
    people = len(transcript.contributions) - (transcript.beacon is not None)
    if transcript.beacon is None:
        raise CeremonyError("the last contribution is no beacon: close the ceremony with one")
    if people < LEAST_CONTRIBUTIONS:
        raise CeremonyError(
            f"{people} contribution before the beacon, at least {LEAST_CONTRIBUTIONS} are needed"
        )
    folder = circuit_file(options.circuit).parent
    install(folder, options.zkey, options.ptau, transcript)
    slots = int(json.loads((folder / "manifest.json").read_text())["slots"])
    render_verifier(slots)
    say(f"{folder} holds the ceremony's key; deploy its rendered verifier")


def install(folder: Path, zkey: Path, ptau: Path, transcript: Transcript) -> None:
    """Put key, verifying key and manifest into a circuit's folder; the development key goes."""
    _, verifying_key = groth16py.import_zkey(str(zkey))
    text = verifying_key.to_json()
    key = b"".join(word.to_bytes(WORD_BYTES, "big") for word in key_words(text))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {
        "key_hash": hashlib.sha256(key).hexdigest(),
        "development": False,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "ceremony": asdict(transcript) | {"zkey_hash": file_hash(zkey), "ptau_hash": file_hash(ptau)},
    }
    unfinished = folder / "circuit.zkey.tmp"
    shutil.copyfile(zkey, unfinished)
    unfinished.replace(folder / "circuit.zkey")
    (folder / "verifying_key.json").write_text(text)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    (folder / "proving.pk").unlink(missing_ok=True)


def checked(circuit: str, zkey: Path, ptau: Path) -> Transcript:
    """The transcript of a key that snarkjs has verified against circuit and phase-1 file.

    Raises:
        CeremonyError: it does not verify.
    """
    r1cs = circuit_file(circuit)
    require_file(zkey)
    check_ptau(ptau, r1cs)
    output = snarkjs("zkey", "verify", r1cs, ptau, zkey)
    if "ZKey Ok!" not in output:
        raise CeremonyError(f"{zkey} is no good key for {circuit}:\n{output}")
    return read_transcript(output)


def circuit_file(circuit: str) -> Path:
    """The r1cs of a built circuit, held to its manifest.

    Raises:
        CeremonyError: it was not built, or is not the one that the manifest names.
    """
    folder = BUILD / circuit
    r1cs, manifest = folder / "circuit.r1cs", folder / "manifest.json"
    if not r1cs.is_file() or not manifest.is_file():
        slots = circuit.removeprefix("batch")
        sizes = f" --sizes {slots}" if slots.isdigit() and circuit_name(int(slots)) == circuit else ""
        raise CeremonyError(f"{circuit} is not built: python scripts/build_circuits.py{sizes}")
    if json.loads(manifest.read_text())["circuit_hash"] != file_hash(r1cs):
        raise CeremonyError(f"{r1cs} is not the circuit of {manifest}: build it again")
    return r1cs


def say(message: str) -> None:
    """One line of progress."""
    print(f"ceremony: {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
