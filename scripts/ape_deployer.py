"""ape for the deployment: its set-up in this checkout, transactions from one key, and a scratch chain."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import anvil
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint

ROOT = Path(__file__).resolve().parents[1]
LOCAL_CHAIN_IDS = (31337, 31338)
LIVE_CONFIRMATIONS = 3

Report = Callable[[str], None]


class ApeFailed(Exception):
    """The compiler or the scratch chain did not start, or a transaction was refused or reverted."""


@dataclass(frozen=True)
class Sending:
    """How transactions are sent.

    legacy: for chains that take plain gas prices only.
    confirmations: blocks to wait for on top of each; 0 on a chain that makes a block for each transaction.
    price: says what an amount of gas costs, for the report.
    """

    legacy: bool = False
    confirmations: int = 0
    price: Callable[[int], str] | None = None


class Deployer:
    """Sends transactions from one key through ape and reports each with the gas that it used.

    `project` has the compiled contracts; a network must be connected. `gas_used` is the sum so far.
    """

    def __init__(self, project: Any, private_key: str, report: Report, sending: Sending) -> None:
        from ape_accounts.accounts import ApeSigner

        self._project, self._report, self._price = project, report, sending.price
        self._account = ApeSigner(private_key=private_key)
        self.address: str = self._account.address
        self._options: dict[str, Any] = {"required_confirmations": sending.confirmations}
        if sending.legacy:
            self._options["type"] = 0
        self.gas_used = 0

    def deploy(self, name: str, *arguments: Any) -> Any:
        """Deploys the contract `name` and returns ape's instance of it."""
        container = self._project.get_contract(name)
        instance = self._account.deploy(container, *arguments, **self._options)
        self._count(f"{name} at {instance.address}", instance.creation_metadata.receipt)
        return instance

    def call(self, what: str, function: Any, *arguments: Any) -> None:
        """Calls a contract's function, described as `what` in the report."""
        self._count(what, function(*arguments, sender=self._account, **self._options))

    def _count(self, what: str, receipt: Any) -> None:
        self.gas_used += receipt.gas_used
        cost = f", {self._price(receipt.gas_used)}" if self._price else ""
        self._report(f"{what} ({receipt.gas_used:,} gas{cost})")


def prepare_ape() -> Any:
    """Points ape and its compiler at this checkout (as hardhat-local/env.sh does) and loads the project."""
    solc = ROOT / "hardhat-local" / "node_modules" / "solc" / "package.json"
    if not solc.exists():
        raise ApeFailed(f"{solc.parent} is missing: run `make setup`")
    compilers = Path(os.environ.setdefault("SOLCX_BINARY_PATH", str(ROOT / "build" / "solcx")))
    os.environ.setdefault("APE_DATA_FOLDER", str(ROOT / "build" / "ape"))
    compilers.mkdir(parents=True, exist_ok=True)
    command = compilers / f"solc-v{json.loads(solc.read_text())['version']}"
    if not command.exists():
        command.symlink_to(ROOT / "hardhat-local" / "solc.cjs")
    from ape import Project
    from ape.exceptions import ApeException
    from ape.logging import logger

    logger.set_level("WARNING")
    project = Project(ROOT)
    try:
        project.load_contracts()
    except ApeException as error:
        raise ApeFailed(str(error)) from error
    return project


@contextmanager
def scratch_chain(chain_id: int, rich: str, *options: str) -> Iterator[str]:
    """An anvil with this chain id and ether for the address `rich`; yields its URL, stops it in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(anvil(ROOT)),
        "--port",
        str(port),
        "--chain-id",
        str(chain_id),
        "--hardfork",
        "shanghai",
        "--silent",
        *options,
    ]
    process = subprocess.Popen(command)
    try:
        web3 = Web3(HTTPProvider(f"http://127.0.0.1:{port}"))
        while not web3.is_connected():
            if process.poll() is not None:
                raise ApeFailed(f"anvil ended with exit code {process.returncode}")
            time.sleep(0.02)
        web3.provider.make_request(RPCEndpoint("anvil_setBalance"), [rich, hex(10**24)])
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def connected(
    url: str, project: Any, private_key: str, report: Report, sending: Sending | None = None
) -> Iterator[Deployer]:
    """A deployer on the chain behind `url`. Raises ApeFailed if something fails there."""
    from ape import networks
    from ape.exceptions import ApeException

    try:
        with networks.parse_network_choice(url):
            yield Deployer(project, private_key, report, sending or Sending())
    except ApeException as error:
        raise ApeFailed(str(error)) from error
