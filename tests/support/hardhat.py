"""The second local chain."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from web3 import HTTPProvider, Web3

from support.anvil import ROOT
from support.ports import free_port


@contextmanager
def running_hardhat() -> Iterator[str]:
    """URL of a Hardhat node."""
    port = free_port()
    folder = ROOT / "hardhat-local"
    command = ["node", "node_modules/hardhat/internal/cli/cli.js", "--config", "hardhat.config.cjs", "node"]
    environment = os.environ | {"HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}
    node = subprocess.Popen(
        [*command, "--hostname", "127.0.0.1", "--port", str(port)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not Web3(HTTPProvider(url)).is_connected():
            assert node.poll() is None, "hardhat ended"
            assert time.monotonic() < deadline, "hardhat did not start"
            time.sleep(0.1)
        yield url
    finally:
        node.terminate()
        node.wait(10)
