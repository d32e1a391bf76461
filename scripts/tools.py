"""What has to be installed before the stack can start, and the command that installs it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

BATCH_SIZES = (4, 10)
PYTHON_MODULES = ("ape", "bm25s", "groth16py", "openai", "uvicorn", "web3")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class MissingTools(Exception):
    """Something that ``make setup`` installs, or needs itself, is not there."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__("\n".join(["cannot start:", *(f"  {line}" for line in missing)]))
        self.missing = missing


def anvil(root: Path) -> Path:
    """Where the checkout's own anvil lies on this machine."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{architecture}"
    return root / "hardhat-local" / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"


def check(root: Path) -> None:
    """Looks for everything at once.

    Args:
        root: the checkout.

    Raises:
        MissingTools: names each missing thing and how to get it.
    """
    if missing := list(_missing(root)):
        raise MissingTools(missing)


def _missing(root: Path) -> Iterator[str]:
    if shutil.which("node") is None:
        yield "node (runs the Solidity compiler): apt-get install nodejs npm (version 20 or newer)"
    if not anvil(root).is_file():
        yield f"anvil (the local chain; looked for {anvil(root)}): make setup"
    for name in PYTHON_MODULES:
        if importlib.util.find_spec(name) is None:
            yield f"Python package {name}: make setup, then use .venv/bin/python"
    for size in BATCH_SIZES:
        if not (root / "build" / "circuits" / f"batch{size}" / "manifest.json").is_file():
            yield f"circuit and keys for batches of {size} slots (build/circuits/batch{size}): make setup"
