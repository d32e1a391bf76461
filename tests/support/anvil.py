"""A real anvil per test, on a port of its own."""

from __future__ import annotations

import fcntl
import json
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3

from support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
FOUNDRY = ROOT / "hardhat-local" / "node_modules" / "@foundry-rs"
CIRCUITS = ROOT / "build" / "circuits"


def tool(name: str) -> Path:
    """Path of anvil, forge or cast; the test fails with the command that installs it."""
    path = FOUNDRY / f"{name}-linux-{ARCH}" / "bin" / name
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make setup`", pytrace=False)
    return path


def circuits() -> Path:
    """Folder of the proving artefacts; the test fails with the command that builds them."""
    if not (CIRCUITS / "batch4" / "manifest.json").exists():
        pytest.fail(f"{CIRCUITS}/batch4 is missing: run `make setup`", pytrace=False)
    return CIRCUITS


@cache
def artifact(name: str) -> tuple[list[dict[str, Any]], str]:
    """ABI and creation bytecode of a contract, compiled by forge if the build is not fresh."""
    circuits()  # the generated verifiers are among the sources
    build = ROOT / "build"
    with (build / "forge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # xdist workers share one build folder
        if not _built():
            subprocess.run([tool("forge"), "build", "--quiet", "--skip", "test"], cwd=ROOT, check=True)
            _built.cache_clear()
    return _compiled(build / "forge" / f"{name}.sol" / f"{name}.json")


@cache
def double(name: str) -> tuple[list[dict[str, Any]], str]:
    """The same of a test double in contracts/test/Doubles.sol."""
    source, output = "contracts/test/Doubles.sol", ROOT / "build" / "forge-doubles"
    command = [tool("forge"), "build", "--quiet", "--out", output, "--cache-path", output / "cache", source]
    with (ROOT / "build" / "forge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(command, cwd=ROOT, check=True)
    return _compiled(output / "Doubles.sol" / f"{name}.json")


def _compiled(file: Path) -> tuple[list[dict[str, Any]], str]:
    compiled = json.loads(file.read_text())
    return compiled["abi"], compiled["bytecode"]["object"]


@cache
def _built() -> bool:
    """True if every source is older than the compiled settlement contract."""
    output = ROOT / "build" / "forge" / "Settlement.sol" / "Settlement.json"
    if not output.exists():
        return False
    built = output.stat().st_mtime
    return all(source.stat().st_mtime < built for source in (ROOT / "contracts" / "src").rglob("*.sol"))


class Anvil:
    """A running node."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process
        self.web3 = Web3(Web3.HTTPProvider(url))

    def rpc(self, method: str, *params: Any) -> Any:
        """Result of a JSON-RPC call, anvil's own methods included."""
        answer = self.web3.provider.make_request(method, list(params))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


@contextmanager
def running_anvil(*options: str, hardfork: str = "shanghai") -> Iterator[Anvil]:
    """Starts anvil, with the hard fork that the contracts are compiled for; stops it in the end."""
    port = free_port()
    command = [str(tool("anvil")), "--port", str(port), "--silent", "--hardfork", hardfork, *options]
    process = subprocess.Popen(command)
    try:
        anvil = Anvil(f"http://127.0.0.1:{port}", process)
        deadline = time.monotonic() + 20
        while not anvil.web3.is_connected():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"anvil did not start (exit code {process.poll()})", pytrace=False)
            time.sleep(0.02)
        yield anvil
    finally:
        process.terminate()
        process.wait(10)
