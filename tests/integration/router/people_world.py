"""Wallets that sign in to a real router."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from router_world import CHAIN_ID, User, World
from siwe import SiweMessage
from support.ports import free_port

from router.people.vault import new_key_line

PUBLIC_URL = "http://router.test"
_LABELS = itertools.count(1)


def message(address: str, nonce: str, **changes: Any) -> str:
    """A sign-in message as the reference library writes it."""
    fields = {
        "domain": "router.test",
        "address": address,
        "uri": PUBLIC_URL,
        "version": "1",
        "chain_id": CHAIN_ID,
        "issued_at": stamp(),
        "nonce": nonce,
        "statement": "Sign in to the router.",
    }
    return SiweMessage.model_validate(fields | changes).prepare_message()


def stamp(**ago: float) -> str:
    """A time as messages have it, by default now."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signed(wallet: LocalAccount, text: str) -> str:
    """A wallet's signature over a text (EIP-191)."""
    return "0x" + bytes(wallet.sign_message(encode_defunct(text=text)).signature).hex()


@dataclass
class Person:
    """A wallet, and perhaps its session and account."""

    url: str
    wallet: LocalAccount = field(default_factory=lambda: Account.create(f"person {next(_LABELS)}"))
    token: str = ""
    user: User | None = None
    idx: int = 0

    @property
    def address(self) -> str:
        return self.wallet.address

    def http(self, token: str | None = None, **headers: str) -> httpx.Client:
        bearer = {"authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=bearer | headers, timeout=30)

    def sign_in(self) -> Person:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            nonce = client.get("/signin/nonce").json()["nonce"]
            text = message(self.address, nonce)
            answer = client.post("/signin", json={"message": text, "signature": signed(self.wallet, text)})
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["token"]
        return self

    def sign_in_at(self, url: str) -> None:
        """The same at a router whose public address is `url`."""
        with httpx.Client(base_url=self.url, timeout=30) as client:
            nonce = client.get("/signin/nonce").json()["nonce"]
            text = message(self.address, nonce, domain=url.partition("//")[2], uri=url)
            sent = {"message": text, "signature": signed(self.wallet, text)}
            self.token = client.post("/signin", json=sent).json()["token"]

    def ask(self, method: str, path: str, token: str | None = None, **body: Any) -> httpx.Response:
        with self.http(token) as client:
            return client.request(method, path, json=body or None)

    def key(self, **grant: Any) -> tuple[str, str]:
        """Id and secret of a new API key."""
        made = self.ask("POST", "/keys", **grant)
        assert made.status_code == 201, made.text
        return made.json()["id"], made.json()["api_key"]


@dataclass
class Town:
    """A router's world, and people in it."""

    world: World
    master_file: Path

    @property
    def url(self) -> str:
        return self.world.router.url

    def visitor(self) -> Person:
        """Signed in, without an account."""
        return Person(self.url).sign_in()

    def person(self, **funds: int) -> Person:
        """Signed in, with money."""
        person = Person(self.url)
        person.user = self.world.user(owner=person.address, **funds)
        return person.sign_in()


def make_town(new_world: Callable[..., World], folder: Path, **more: Any) -> Town:
    master = folder / "master.keys"
    master.write_text(new_key_line("first") + "\n")
    world = new_world(**{"VIBES_PUBLIC_URL": PUBLIC_URL, "VIBES_MASTER_KEY": f"file:{master}"} | more)
    return Town(world, master)


def make_public_town(new_world: Callable[..., World], folder: Path, **more: Any) -> Town:
    """A town whose public address is where it is, as browsers and programs that sign in there want it."""
    port = free_port()
    return make_town(
        partial(new_world, "--port", str(port)), folder, VIBES_PUBLIC_URL=f"http://127.0.0.1:{port}", **more
    )


def chat(person: Person, api_key: str, model: str = "plain", **more: Any) -> httpx.Response:
    """One call."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    return person.ask("POST", "/chat/completions", api_key, **body)
