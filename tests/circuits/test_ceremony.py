"""A real phase 2 on the smallest circuit: its key proves, its verifier serves every chain, a forgery fails.

The circuit's first key takes half a minute of computing; it and the phase-1 file are kept in build/ceremony.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.batches import opened
from support.scripts import load_script

from bridge.groth16 import EXIT_SLOTS, verify_proof
from bridge.prover import prove_once
from bridge.proving.artifacts import Artifacts
from bridge.rollup.exit import exit_inputs

ROOT = Path(__file__).resolve().parents[2]
BEACON = "00" * 8 + "5eed" * 12
POWER = 12
DELTA_BEFORE_NAME = 2 + 4 + 4 + 64 + 128 + 3 * 64
"""Bytes from a contribution's delta to its name: its points, transcript, type and lengths lie between."""

pytestmark = pytest.mark.timeout(1_200)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("ceremony")


@pytest.fixture(scope="module")
def ptau() -> Path:
    """Powers of tau up to 2^12 by one who knows tau, made once: no one's money depends on this file."""
    ptau = ROOT / "build" / "ceremony" / f"test{POWER}.ptau"
    if not ptau.is_file():
        ptau.parent.mkdir(parents=True, exist_ok=True)
        unfinished = ptau.with_suffix(".tmp")
        subprocess.run(["node", ROOT / "hardhat-local" / "ptau.cjs", str(POWER), unfinished], check=True)
        unfinished.replace(ptau)
    return ptau


@pytest.fixture(scope="module")
def first_key(script: ModuleType, ptau: Path, circuits_dir: Path) -> Path:
    """The exit circuit's key before any contribution."""
    circuit_hash = Artifacts.load(circuits_dir, EXIT_SLOTS).circuit_hash
    key = ptau.with_name(f"exit-{circuit_hash[:16]}.zkey")
    if not key.is_file():
        assert script.main(["new", "exit", str(key.with_suffix(".tmp")), "--ptau", str(ptau)]) == 0
        key.with_suffix(".tmp").replace(key)
    return key


@pytest.fixture(scope="module")
def keys(script: ModuleType, first_key: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The chain: first key, Alice's, Bob's, beacon."""
    folder = tmp_path_factory.mktemp("ceremony")
    chain = [first_key, *(folder / f"{number}.zkey" for number in (1, 2, 3))]
    for number, name in ((0, "Alice A."), (1, "Bob: B.")):
        step = ["contribute", str(chain[number]), str(chain[number + 1]), "--name", name]
        assert script.main(step) == 0
    assert script.main(["beacon", str(chain[2]), str(chain[3]), "--value", BEACON, "--rounds", "10"]) == 0
    return chain


@pytest.fixture(scope="module")
def installed(
    script: ModuleType,
    keys: list[Path],
    ptau: Path,
    circuits_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A circuits folder into which the finished key was exported, with the rendered contract beside it."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(circuits_dir / "exit", folder / "exit")
    with pytest.MonkeyPatch.context() as patch:
        builder = load_script("build_circuits")
        for module, name in ((script, "BUILD"), (builder, "BUILD"), (builder, "GENERATED")):
            patch.setattr(module, name, folder)
        assert script.main(["export", "exit", str(keys[3]), "--ptau", str(ptau)]) == 0
    return folder


def test_manifest_names_every_contribution(installed: Path) -> None:
    manifest = json.loads((installed / "exit" / "manifest.json").read_text())
    ceremony = manifest["ceremony"]
    assert manifest["development"] is False
    assert [link["name"] for link in ceremony["contributions"]] == ["Alice A.", "Bob: B.", "beacon"]
    assert all(len(link["hash"]) == 128 for link in ceremony["contributions"])
    assert (ceremony["beacon"], ceremony["beacon_rounds"]) == (BEACON, 10)
    assert not (installed / "exit" / "proving.pk").exists()


def test_key_proves_and_verifies(installed: Path, circuits_dir: Path) -> None:
    artifacts = Artifacts.load(installed, EXIT_SLOTS)
    assert artifacts.proving_key.name == "circuit.zkey"
    assert not artifacts.development
    state = opened(1, 9)
    witness = exit_inputs(state.tree, 9, state.accounts[9])
    proof = prove_once(installed, EXIT_SLOTS, witness.circuit_inputs)
    assert verify_proof(artifacts.verifying_key, proof.words, witness.public)
    development = Artifacts.load(circuits_dir, EXIT_SLOTS)
    assert not verify_proof(development.verifying_key, proof.words, witness.public)


def test_rendered_verifier_serves_every_chain(installed: Path) -> None:
    text = (installed / "ExitVerifier.sol").read_text()
    assert "bool private constant DEVELOPMENT = false;" in text
    for word in Artifacts.load(installed, EXIT_SLOTS).verifying_key:
        assert f" = {word};" in text


def test_tampered_contribution_is_refused(
    script: ModuleType, keys: list[Path], ptau: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key's delta behind Alice's contribution is said to be the one behind Bob's."""
    forged = tmp_path / "forged.zkey"
    data = bytearray(keys[3].read_bytes())
    alice, bob = (data.index(name) - DELTA_BEFORE_NAME for name in (b"Alice A.", b"Bob: B."))
    data[alice : alice + 64] = data[bob : bob + 64]
    forged.write_bytes(data)
    assert script.main(["verify", "exit", str(forged), "--ptau", str(ptau)]) == 1
    assert "deltaAfter does not f" in capsys.readouterr().err  # snarkjs' words, to the letter


def test_unfinished_ceremony_is_not_exported(
    script: ModuleType,
    keys: list[Path],
    ptau: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Verification, half a minute of computing, is replaced: the key would pass it."""
    contribution = sys.modules[script.Transcript.__module__].Contribution
    alice, bob = contribution("Alice", "a" * 128), contribution("Bob", "b" * 128)
    closing = contribution("beacon", "c" * 128)
    for transcript, reason in (
        (script.Transcript((alice, bob), None, None), "no beacon"),
        (script.Transcript((alice, closing), BEACON, 10), "1 contribution before the beacon"),
    ):
        monkeypatch.setattr(script, "checked", lambda *_, found=transcript: found)
        assert script.main(["export", "exit", str(keys[2]), "--ptau", str(ptau)]) == 1
        assert reason in capsys.readouterr().err


def refusal(script: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the script says when it refuses a step."""
    assert script.main([str(argument) for argument in arguments]) == 1
    return capsys.readouterr().err


def test_unfit_phase_1_files(
    script: ModuleType,
    ptau: Path,
    circuits_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "0.zkey"
    assert "is missing" in refusal(script, capsys, "new", "exit", out, "--ptau", tmp_path / "none")
    assert "2^12 powers" in refusal(script, capsys, "new", "batch4", out, "--ptau", ptau)
    other = tmp_path / "other.ptau"
    other.write_bytes(b"zkey" + ptau.read_bytes()[4:])
    assert "no powers-of-tau file" in refusal(script, capsys, "new", "exit", out, "--ptau", other)
    data = bytearray(ptau.read_bytes())
    data[12 + 12 + 4] ^= 1  # the field's order
    other.write_bytes(data)
    assert "another curve" in refusal(script, capsys, "new", "exit", out, "--ptau", other)
    monkeypatch.setattr(load_script("phase2"), "LAGRANGE_SECTION", 99)
    assert "prepare phase2" in refusal(script, capsys, "new", "exit", out, "--ptau", ptau)


def test_steps_that_cannot_be_taken(
    script: ModuleType, ptau: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.zkey"
    assert "--sizes 7" in refusal(script, capsys, "new", "batch7", out, "--ptau", ptau)
    assert "is missing" in refusal(script, capsys, "contribute", tmp_path / "0", out, "--name", "A")
    for value in ("xyz", "00" * 15, "0" * 33):
        assert "at least 16 bytes in hex" in refusal(script, capsys, "beacon", ptau, out, "--value", value)
    assert "snarkjs zkey contribute failed" in refusal(script, capsys, "contribute", ptau, out, "--name", "A")


def test_help_teaches_the_steps() -> None:
    help_text = subprocess.run(
        [ROOT / ".venv" / "bin" / "python", ROOT / "scripts" / "ceremony.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for step in ("new", "contribute", "beacon", "verify", "export"):
        assert f"ceremony.py {step} " in help_text


def test_ceremony_key_is_not_built_over(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder: Any = load_script("build_circuits")
    monkeypatch.setattr(builder, "BUILD", installed)
    assert builder.is_current(EXIT_SLOTS)
    monkeypatch.setattr(builder, "sources_hash", lambda _: "another")
    with pytest.raises(builder.BuildError, match="move it away"):
        builder.is_current(EXIT_SLOTS)
