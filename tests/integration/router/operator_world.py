"""A router with an operator, and a browser that has signed in (or has not)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from router_world import RouterProcess, World

from router.web.operator.door import COOKIE

PRICE = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
LIMITS = {"context_tokens": 4000, "max_output_tokens": 100}


@dataclass
class Operated:
    """A router and the key of alice, its operator."""

    world: World
    key: str
    keys_file: Path

    @property
    def url(self) -> str:
        return self.world.router.admin_url

    @contextmanager
    def browser(self, router: RouterProcess | None = None) -> Iterator[httpx.Client]:
        """A browser as far as cookies and `Origin` go."""
        url = (router or self.world.router).admin_url
        with httpx.Client(base_url=url, headers={"origin": url}, timeout=30) as client:
            yield client

    @contextmanager
    def signed_in(self, router: RouterProcess | None = None) -> Iterator[httpx.Client]:
        """One in which alice is signed in."""
        with self.browser(router) as client:
            entered = client.post("/operator/signin", data={"key": self.key})
            assert (entered.status_code, COOKIE in client.cookies) == (303, True)
            yield client

    def acts(self, client: httpx.Client, limit: int = 1) -> list[dict[str, Any]]:
        """The latest rows of the audit log, newest first."""
        headers = {"authorization": f"Bearer {self.key}"}
        told: list[dict[str, Any]] = client.get(f"/admin/v1/audit?limit={limit}", headers=headers).json()[
            "acts"
        ]
        return told


def new_key(name: str) -> tuple[str, str]:
    """A key from the command line, and its line of the keys file."""
    command = [sys.executable, "-m", "router.cli", "admin-key", name]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    return made.stdout.strip(), made.stderr


def make_operated(new_world: Any, folder: Path, **more: Any) -> Operated:
    """`more` goes on to `new_world`."""
    key, line = new_key("alice")
    file = folder / "admin.keys"
    file.write_text(line)
    return Operated(new_world("--admin-port", "0", VIBES_ADMIN_KEYS_FILE=str(file), **more), key, file)


def own_config(upstream_url: str) -> dict[str, Any]:
    """Two models at two providers: `fine` at both of them, with a rollout, and `slow` at one."""
    places = (
        ("east/fine", "fine", "plain", "east"),
        ("west/fine", "fine", "plain", "west"),
        ("east/next", "fine", "plain", "east"),
        ("east/slow", "slow", "held", "east"),
    )
    return {
        "providers": {
            "east": {"base_url": upstream_url, "api_key": "${UPSTREAM_KEY}"},
            "west": {"base_url": upstream_url},
        },
        "deployments": [
            {"id": name, "model": model, "upstream_model": there, "provider": provider} | PRICE | LIMITS
            for name, model, there, provider in places
        ],
        "routes": {"fine": {"groups": [["east/fine", "west/fine"]], "balance": "ordered"}},
        "rollouts": {"fine": {"to": "east/next", "steps": [{"percent": 0, "for_s": 100_000}]}},
    }


def host_of(url: str) -> str:
    """Host and port of an address."""
    return urlsplit(url).netloc
