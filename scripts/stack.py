"""The whole system on this machine: chain, contracts, model servers, router and bridge."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tools
from eth_account import Account
from eth_account.signers.local import LocalAccount
from processes import Child, Processes, check_free, free_port
from progress import Reporter
from upstream import OFFERS, LiveServer, router_config
from wallet_flow import Contracts

from router.api.admin_door import new_admin_key
from router.people.vault import new_key_line

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
"""Where the virtual environment keeps its commands."""
RUNS = ROOT / "build" / "demo"
CHAIN_ID = 31337
CONFIRMATIONS = 1
"""Blocks on top of an event before the bridge counts it; anvil adds an empty block every second."""
SETTLE_INTERVAL_S = 1
GAS_WEI = 10**16
"""Enough for a few transactions of a wallet; the operator's accounts get more."""
BATCH_SIZE = 10
DEMO_MONEY_BASE = 10**12
"""What the deployment gives its owner to hand on, base units: only the timelock can mint later."""


def save_key(path: Path, account: LocalAccount) -> None:
    """Writes a private key as 0x hex, for its user's eyes only."""
    path.touch(mode=0o600)
    path.write_text("0x" + bytes(account.key).hex())


@dataclass(frozen=True)
class Keys:
    """The operator's fresh accounts, each in a file that only its user can read.

    `relayer` sends what the demo's wallets signed, `relay` what the router was handed: two senders of one
    account would use each other's nonces.
    """

    owner: LocalAccount
    guardian: LocalAccount
    operator: LocalAccount
    receipts: LocalAccount
    relayer: LocalAccount
    relay: LocalAccount
    treasury: LocalAccount

    @classmethod
    def make(cls, folder: Path) -> Keys:
        """New keys, written to ``folder/<role>.key`` as 0x hex."""
        folder.mkdir(parents=True, mode=0o700)
        accounts = {}
        for role in cls.__dataclass_fields__:
            accounts[role] = Account.create()
            save_key(folder / f"{role}.key", accounts[role])
        return cls(**accounts)


@dataclass(frozen=True)
class Stack:
    """What is running.

    Attributes:
        folder: databases, keys and logs of this run.
        url: where people find the pages; `base_url` is what an OpenAI client takes.
        admin_url: the operator's address, admin_key: what opens it.
        environment: the ``VIBES_*`` variables of router and bridge.
    """

    folder: Path
    processes: Processes
    keys: Keys
    contracts: Contracts
    record: Mapping[str, Any]
    rpc_url: str
    url: str
    admin_url: str
    admin_key: str
    environment: Mapping[str, str]

    @property
    def base_url(self) -> str:
        """Of the API that clients of OpenAI know."""
        return f"{self.url}/v1"

    def run(self, *command: str | Path) -> str:
        """Runs one of the project's commands as router and bridge would; returns its stdout."""
        program, *arguments = command
        log = "-".join(str(part) for part in command[:2])
        return self.processes.run(log, [PROGRAMS / program, *arguments], self.environment)


@contextmanager
def running_stack(reporter: Reporter, live: LiveServer | None = None, port: int = 0) -> Iterator[Stack]:
    """Starts everything, yields it, and stops it however the block ends.

    Args:
        reporter: told about each step.
        live: the server to take answers from, None for the project's own answerers.
        port: the router's, 0 for a free one.

    Raises:
        MissingTools: something is not installed.
        PortTaken: something else listens on the port.
        ChildFailed: a program ended or was not ready in time; the error has the end of its log.
    """
    tools.check(ROOT)
    if port:
        check_free(port)
    folder = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    keys = Keys.make(folder / "keys")
    answerers_key = secrets.token_urlsafe(24)
    with Processes(folder / "logs", os.environ, ROOT) as processes:
        try:
            with reporter.step("start the chain (anvil)" + ("" if live else " and the model servers")):
                rpc_url = _start_anvil(processes)
                servers = {} if live else _start_answerers(processes, answerers_key)
                model_urls = {offer.model: _model_url(offer.model, servers, live) for offer in OFFERS}
            with reporter.step("compile and deploy the contracts (ape)"):
                record = _deploy(processes, rpc_url, keys, folder)
            ports = (port or free_port(), free_port())
            environment = _environment(folder, rpc_url, record, ports[0])
            environment["ANSWERERS_API_KEY"] = answerers_key
            admin_key = _admit(folder)
            relay = {
                "key_file": str(folder / "keys" / "relay.key"),
                "rpc_url": "${VIBES_RPC_URL}",  # pages do not show a file with an address that may hold a key
                "asset": record["token"],
                "deposits": {},
            }
            config = router_config(model_urls, live) | {"relay": relay}
            (folder / "router.json").write_text(json.dumps(config, indent=2))
            exports = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
            path = f"export PATH={shlex.quote(str(PROGRAMS))}:$PATH\n"  # for `vibes` and `vibes-router`
            (folder / "env.sh").write_text("".join([path, *exports]))
            with reporter.step("start the bridge and the router"):
                processes.start(
                    "bridge",
                    [PROGRAMS / "vibes", "settle", "--watch", "--interval", str(SETTLE_INTERVAL_S)],
                    environment,
                )
                urls = _start_router(processes, ports, environment)
            contracts = Contracts(rpc_url, record)
            yield Stack(folder, processes, keys, contracts, record, rpc_url, *urls, admin_key, environment)
        finally:
            with reporter.step("stop everything that was started"):
                processes.stop()


def _start_anvil(processes: Processes) -> str:
    # A block with each transaction and one a second besides: confirmations are real and come soon.
    options = ["--chain-id", str(CHAIN_ID), "--hardfork", "shanghai", "--mixed-mining", "--block-time", "1"]
    anvil = processes.start("anvil", [tools.anvil(ROOT), "--host", "127.0.0.1", "--port", "0", *options])
    return "http://" + anvil.wait_line("Listening on ").removeprefix("Listening on ")


def _start_answerers(processes: Processes, api_key: str) -> dict[str, Child]:
    """One server a model, as if two companies ran them."""
    program = (sys.executable, ROOT / "scripts" / "answerers.py", "--models")
    return {
        offer.model: processes.start(offer.model, [*program, offer.model], {"ANSWERERS_API_KEY": api_key})
        for offer in OFFERS
    }


def _model_url(model: str, servers: Mapping[str, Child], live: LiveServer | None) -> str:
    if live:
        return live.base_url
    base_url: str = json.loads(servers[model].wait_line("{"))["base_url"]
    return base_url


def _admit(folder: Path) -> str:
    """Makes what seals kept keys, and the operator's key to the admin address; returns the latter."""
    (folder / "keys" / "master.keys").write_text(new_key_line("demo") + "\n")
    key, line = new_admin_key("operator")
    (folder / "keys" / "admin.keys").write_text(line + "\n")
    return key


def _environment(folder: Path, rpc_url: str, record: Mapping[str, Any], port: int) -> dict[str, str]:
    return {
        "VIBES_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "VIBES_MASTER_KEY": f"file:{folder / 'keys' / 'master.keys'}",
        "VIBES_ADMIN_KEYS_FILE": str(folder / "keys" / "admin.keys"),
        "VIBES_CONFIG": str(folder / "router.json"),
        "VIBES_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "VIBES_BRIDGE_URL": f"sqlite:///{folder / 'bridge.db'}",
        "VIBES_CHAIN_ID": str(CHAIN_ID),
        "VIBES_RPC_URL": rpc_url,
        "VIBES_SETTLEMENT": str(record["settlement"]),
        "VIBES_RECEIPT_KEY_FILE": str(folder / "keys" / "receipts.key"),
        "VIBES_OPERATOR_KEY_FILE": str(folder / "keys" / "operator.key"),
        "VIBES_CIRCUITS_DIR": str(folder / "circuits"),
        "VIBES_CONFIRMATIONS": str(CONFIRMATIONS),
        "VIBES_START_BLOCK": str(record["start_block"]),
    }


def _start_router(
    processes: Processes, ports: tuple[int, int], environment: Mapping[str, str]
) -> tuple[str, str]:
    """Starts the router at two ports; returns its public and its admin URL."""
    public, admin = map(str, ports)
    command = (PROGRAMS / "vibes-router", "serve", "--port", public, "--admin-port", admin)
    router = processes.start("router", command, environment)
    router.wait_http(f"http://127.0.0.1:{public}/healthz")
    return f"http://127.0.0.1:{public}", f"http://127.0.0.1:{admin}"


def _deploy(processes: Processes, rpc_url: str, keys: Keys, folder: Path) -> dict[str, Any]:
    """Deploys with fresh accounts in every role; returns the deployment record."""
    plan = {
        "treasury": keys.treasury.address,
        "guardian": keys.guardian.address,
        "operator": keys.operator.address,
        "receipt_signer": keys.receipts.address,
        "mint": [{"to": keys.owner.address, "amount_base": DEMO_MONEY_BASE}],
        "partners": [
            {"name": offer.partner, "payout": Account.create().address, "bps": offer.partner_bps}
            for offer in OFFERS
        ],
    }
    config, record = folder / "deploy.json", folder / "deployment.json"
    config.write_text(json.dumps(plan, indent=2))
    circuits = folder / "circuits"
    circuits.mkdir()
    for name in ("exit", f"batch{BATCH_SIZE}"):
        (circuits / name).symlink_to(ROOT / "build" / "circuits" / name)
    for account in (keys.owner, keys.operator, keys.relayer, keys.relay):
        give_ether(rpc_url, account.address)
    options: dict[str, str | Path] = {
        "--rpc-url": rpc_url,
        "--network": "anvil",
        "--key-file": folder / "keys" / "owner.key",
        "--config": config,
        "--circuits": circuits,
        "--out": record,
    }
    arguments = [part for option in options.items() for part in option]
    processes.run("deploy", [sys.executable, ROOT / "scripts" / "deploy.py", *arguments])
    deployed: dict[str, Any] = json.loads(record.read_text())
    return deployed


def give_ether(rpc_url: str, address: str) -> None:
    """Gas money out of nothing, as only a local chain has it."""
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "anvil_setBalance",
        "params": [address, hex(10_000 * GAS_WEI)],
    }
    httpx.post(rpc_url, json=call).raise_for_status()
