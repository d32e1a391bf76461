"""A real router process, a real upstream, and accounts with money in the ledger that they share."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import openai
from router_upstream import Upstream
from sqlalchemy import Connection
from support.forked import ForkedRouter

from mini_llm.request import NEEDS
from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment, settlement_domain, sign_ceiling
from mini_llm.wallet.receipt import ReceiptDomain
from router.db import open_database
from router.ledger import chain, check_ceiling, create_api_key, read, store_ceiling
from router.ledger.views import AccountView
from router.ledger.writer import Ledger

CHAIN_ID = 31337
SETTLEMENT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
DOMAIN = ReceiptDomain(CHAIN_ID, SETTLEMENT)
CEILING_DOMAIN = settlement_domain(CHAIN_ID, SETTLEMENT)
RECEIPT_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
SIGNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SESSION_SECRET = 4242
PROMPT_BASE, COMPLETION_BASE = 1000, 2000
"""Prices per token that follow from 10 and 20 USD per million tokens."""
UPSTREAM_MODELS = (
    *("plain", "dawdles", "endless", "endless-counted", "endless-fast", "bulky", "held", "ponders", "pauses"),
    *("no-usage", "liar", "huge", "silent"),
    *("tools", "thinks", "schema"),
    *("breaks", "error-event", "stops-short", "goes-silent", "not-json"),
    *("http-400", "http-401", "http-404", "http-429", "http-500", "http-503"),
)
QUICK_READ_TIMEOUT_S = 1.0
LEASE_S = 2


def config(upstream_url: str, local_url: str) -> dict[str, Any]:
    """Each of the upstream's models at 10 and 20 USD per million tokens, and one that nobody listens to."""
    price = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
    limits = {"context_tokens": 4000, "max_output_tokens": 100}
    hasty = ("silent", "goes-silent")
    deployments = [
        {"model": model, "provider": "hasty" if model in hasty else "up", "partner": 1} | price | limits
        for model in UPSTREAM_MODELS
    ]
    deployments.append(
        {"model": "renamed", "upstream_model": "plain", "provider": "up", "capabilities": sorted(NEEDS)}
        | price
        | limits
    )
    deployments += [
        {"model": f"chat-{model}", "upstream_model": model, "provider": "chatty"} | price | limits
        for model in ("plain", "tools", "thinks", "schema", "error-event")
    ]
    deployments.append(
        {"model": "vectors", "provider": "up", "capabilities": ["embeddings"]} | price | limits
    )
    deployments.append({"model": "unreachable", "provider": "nowhere"} | price | limits)
    return {
        "partners": [{"id": 1, "name": "pithy-labs", "bps": 3000}],
        "providers": {
            "up": {
                "base_url": upstream_url,
                "api_key": "${UPSTREAM_KEY}",
                "surfaces": ["chat", "embeddings", "responses"],
            },
            "chatty": {"type": "deepinfra", "base_url": upstream_url, "api_key": "${UPSTREAM_KEY}"},
            "hasty": {"base_url": upstream_url, "read_timeout_s": QUICK_READ_TIMEOUT_S},
            "nowhere": {"base_url": "http://127.0.0.1:9/v1"},
            "home": {"type": "local", "servers": ["http://127.0.0.1:9/v1", local_url]},
        },
        "deployments": deployments,
    }


@dataclass
class RouterProcess:
    """`vibes-router serve` on a free port; may be killed and started again on the same ledger.

    program: a Python program that stands for `vibes-router`, and its arguments.
    """

    folder: Path
    environ: dict[str, str]
    options: tuple[str, ...] = ()
    program: tuple[str, ...] | None = None
    port: int = 0
    process: subprocess.Popen[bytes] | ForkedRouter | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "router.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def admin_url(self) -> str:
        """The operator's address, of a router that was started with `--admin-port 0`."""
        started = rf"running on (http://127.0.0.1:(?!{self.port}\b)\d+)"
        deadline = time.monotonic() + 20
        while (found := re.findall(started, self.log.read_text())) == []:
            if time.monotonic() > deadline:
                raise RuntimeError("the operator's address is not served")
            time.sleep(0.05)
        return str(found[-1])

    def start(self) -> None:
        seen = self.log.stat().st_size if self.log.exists() else 0
        self.log.touch()
        arguments = ["serve", "--port", str(self.port), *self.options]
        if self.program is None:
            self.process = ForkedRouter(arguments, self.environ, self.log)
        else:
            with self.log.open("ab") as log:
                command = [sys.executable, *self.program, *arguments]
                self.process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(rb"running on http://127.0.0.1:(\d+)", self.log.read_bytes()[seen:])
            if found:
                self.port = int(found[1])
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the router did not start:\n{self.log.read_text()}")

    def beside(self, name: str, *options: str, port: int = 0) -> RouterProcess:
        """Another worker of the same ledger, not started yet, with a log of its own."""
        other = replace(self, process=None, port=port, options=(*self.options, *options))
        other.log = self.folder / f"{name}.log"
        return other

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)


@dataclass
class User:
    """An account with an API key."""

    idx: int
    api_key: str
    url: str
    ledger: Ledger

    def client(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=self.api_key, max_retries=0, **options)

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.url, api_key=self.api_key, max_retries=0, **options)

    def http(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.api_key}"}, timeout=30
        )

    def view(self) -> AccountView:
        return self.ledger.read(lambda connection: read.account_view(connection, self.idx))

    def settled_view(self) -> AccountView:
        """The account once nothing of it is reserved any more."""
        deadline = time.monotonic() + 20
        while (view := self.view()).reserved_base and time.monotonic() < deadline:
            time.sleep(0.02)
        return view


@dataclass
class World:
    """What a test needs; each user it asks for has a fresh account."""

    router: RouterProcess
    upstream: Upstream
    ledger: Ledger
    numbers: Iterator[int]

    def user(self, deposit_base: int = 10**9, ceiling_base: int = 10**12, owner: str = SIGNER) -> User:
        return self.open_user(next(self.numbers), deposit_base, ceiling_base, owner)

    def open_user(self, idx: int, deposit_base: int, ceiling_base: int, owner: str = SIGNER) -> User:
        """The account with this index, funded."""
        commit = key_commitment(public_key(SESSION_SECRET))
        signed = sign_ceiling(SESSION_SECRET, CEILING_DOMAIN, idx, ceiling_base)
        ceiling = check_ceiling(CEILING_DOMAIN, signed)

        def fund(connection: Connection) -> str:
            chain.open_account(connection, idx, owner)
            if deposit_base:
                chain.credit_deposit(connection, idx, deposit_base, f"deposit:{idx}")
            chain.request_key(connection, idx, commit, f"key:{idx}")
            store_ceiling(connection, ceiling)
            return create_api_key(connection, idx, "test").secret

        return User(idx, self.ledger.run(fund), self.router.url, self.ledger)


def read_when(file: Path, text: str) -> str:
    """A file's text once it holds `text`, or what it holds after a while without it."""
    deadline = time.monotonic() + 15
    while text not in (content := file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return content


def put(world: World, **more: Any) -> None:
    """Another configuration, in force without a restart."""
    file = Path(world.router.environ["VIBES_CONFIG"])
    log, before = world.router.log, world.router.log.read_text().count("configuration reloaded")
    file.write_text(json.dumps(json.loads(file.read_text()) | more))
    assert world.router.process is not None
    world.router.process.send_signal(signal.SIGHUP)
    told = "configuration reloaded"
    while log.read_text().count(told) <= before:
        read_when(log, told)


def make_world(
    folder: Path,
    upstream: Upstream,
    more: dict[str, Any] | None = None,
    options: tuple[str, ...] = (),
    **settings: str,
) -> World:
    """Starts a router with a ledger of its own in a folder.

    `more` goes into its configuration, `options` to `serve`, `settings` into its environment.
    """
    (folder / "config.json").write_text(json.dumps(config(upstream.url, upstream.url) | (more or {})))
    (folder / "receipt.key").touch(0o600)
    (folder / "receipt.key").write_text("0x" + RECEIPT_KEY.hex())
    environ = (
        os.environ
        | {
            "VIBES_CONFIG": str(folder / "config.json"),
            "VIBES_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
            "VIBES_CHAIN_ID": str(CHAIN_ID),
            "VIBES_SETTLEMENT": SETTLEMENT,
            "VIBES_RECEIPT_KEY_FILE": str(folder / "receipt.key"),
            "VIBES_LEASE_S": str(LEASE_S),
            "UPSTREAM_KEY": "sk-operator-secret",
        }
        | settings
    )
    router = RouterProcess(folder, environ, options)
    router.start()
    return World(router, upstream, Ledger(open_database(environ["VIBES_LEDGER_URL"])), itertools.count(1))
