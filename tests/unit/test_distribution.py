"""The SDK as a distribution of its own: what it contains, and what it needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
SDK = PROJECT / "mini_llm"


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def packages() -> set[str]:
    found = {
        file.parent.relative_to(PROJECT) for file in SDK.rglob("__init__.py") if "build" not in file.parts
    }
    return {".".join(folder.parts) for folder in found}


def test_every_package_is_named() -> None:
    assert set(read(SDK / "pyproject.toml")["tool"]["setuptools"]["packages"]) == packages()


def test_the_whole_project_asks_for_this_version_of_the_sdk() -> None:
    sdk = read(SDK / "pyproject.toml")["project"]
    assert f"mini-llm=={sdk['version']}" in read(PROJECT / "pyproject.toml")["project"]["dependencies"]
    assert version("mini-llm") == sdk["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["cp", "-r", SDK, source], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, timeout=120)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_runs_on_any_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_holds_every_module_and_nothing_of_the_server(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {str(file.relative_to(PROJECT)) for file in SDK.rglob("*.py") if "build" not in file.parts}
    assert modules | {"mini_llm/py.typed"} <= held  # without that, its types are nothing to mypy
    assert {name.split("/")[0] for name in held} == {"mini_llm"}
