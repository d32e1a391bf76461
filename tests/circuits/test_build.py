"""The build script: sizes fit their powers of two, nothing is built twice, a missing tool is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script() -> ModuleType:
    return load_script("build_circuits")


@pytest.mark.parametrize(
    ("name", "size", "log_domain"), [("exit", 0, 12), ("batch4", 4, 16), ("batch10", 10, 17)]
)
def test_size_fits_its_domain(circuits_dir: Path, name: str, size: int, log_domain: int) -> None:
    """The prover's domain holds the constraints, the public inputs and the constant."""
    manifest = json.loads((circuits_dir / name / "manifest.json").read_text())
    assert manifest["slots"] == size
    assert manifest["constraints"] + 3 + 1 <= 2**log_domain


def test_manifest_ties_key_and_circuit(circuits_dir: Path, script: ModuleType) -> None:
    folder = circuits_dir / "batch4"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["development"] is True
    assert manifest["circuit_hash"] == hashlib.sha256((folder / "circuit.r1cs").read_bytes()).hexdigest()
    words = script.key_words((folder / "verifying_key.json").read_text())
    encoded = b"".join(word.to_bytes(32, "big") for word in words)
    assert manifest["key_hash"] == hashlib.sha256(encoded).hexdigest()


def test_present_artefacts_are_not_built_again(
    circuits_dir: Path,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(script, "build_size", lambda size: pytest.fail(f"built {size} again"))
    assert script.main([]) == 0
    assert "exit, batch4, batch10 up to date" in capsys.readouterr().out


def test_changed_circuit_or_compiler_flag_is_noticed(
    circuits_dir: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert script.is_current(4)
    monkeypatch.setattr(script, "OPTIMISATION", "--O1")
    assert not script.is_current(4)
    monkeypatch.undo()
    changed = tmp_path / "circuits"
    (changed / "main").mkdir(parents=True)
    for source in [*script.CIRCUITS.glob("*.circom"), *script.CIRCUITS.glob("main/*.circom")]:
        target = changed / source.relative_to(script.CIRCUITS)
        target.write_text(source.read_text() + ("// changed\n" if source.name == "path.circom" else ""))
    monkeypatch.setattr(script, "CIRCUITS", changed)
    assert not script.is_current(4)
    assert not script.is_current(0)
    (changed / "path.circom").write_text((ROOT / "contracts/circuits/path.circom").read_text())
    (changed / "batch.circom").write_text("// changed\n" + (changed / "batch.circom").read_text())
    assert not script.is_current(4)
    assert script.is_current(0), "the exit circuit does not include batch.circom"


def test_incomplete_artefacts_are_noticed(
    circuits_dir: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "batch4").mkdir()
    for name in script.ARTIFACTS[:-1]:
        (tmp_path / "batch4" / name).touch()
    monkeypatch.setattr(script, "BUILD", tmp_path)
    assert not script.is_current(4)


@pytest.mark.parametrize(
    ("missing", "command"), [("node", "apt-get install nodejs npm"), ("circom", "npm ci")]
)
def test_missing_tool_is_named_with_its_command(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: str,
    command: str,
) -> None:
    if missing == "node":
        monkeypatch.setattr(script.shutil, "which", lambda _: None)
    else:
        monkeypatch.setattr(script, "COMPILER", Path("/nowhere/cli.js"))
    assert script.main(["--force"]) == 1
    assert command in capsys.readouterr().err


def test_unknown_size_is_refused(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--sizes", "5"]) == 1
    assert "no circuit for 5 slots" in capsys.readouterr().err


def test_circuit_that_does_not_compile_is_reported(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = ROOT / "build" / f"test-{tmp_path.name}"  # the compiler only sees what lies below the project
    (folder / "main").mkdir(parents=True)
    try:
        (folder / "main" / "batch4.circom").write_text("pragma circom 2.1.6;\ncomponent main = Nonsense();\n")
        monkeypatch.setattr(script, "CIRCUITS", folder)
        with pytest.raises(script.BuildError, match="Nonsense"):
            script.compile_circuit(4, folder)
    finally:
        script.shutil.rmtree(folder)
