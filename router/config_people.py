"""The settings of sign-in and of sealed keys; `router.config` hands over the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from mini_llm.errors import ConfigError

DEFAULT_SESSION_S: Final = 7 * 86_400
NO_NODE: Final = "it is not like https://node.example.com"


@dataclass(frozen=True)
class PeopleSettings:
    """What the router is told about people; all of it is optional.

    Attributes:
        public_url: scheme, host and port under which users reach the router; without it nobody signs in.
        rpc_url: a node of the chain, asked about the signatures of contract wallets only.
        master_key: what seals kept keys, `file:PATH` or `NAME:ARGUMENT` of a plugin; without it none is kept.
        screening: says which wallets are refused, `file:PATH` or `NAME:ARGUMENT` of a plugin.
        session_s: how long a session lasts, seconds.
        explorer_url: the chain's block explorer, whose transactions are at `/tx/{hash}`; without it no links.
        chain_name: what pages call the chain; without it, its number.
        wallet_rpc_url: a public node of the chain, which pages name to wallets that do not know it.
        private_endpoints: users may name endpoints of their own in this machine's network (a local router).
    """

    public_url: str | None = None
    rpc_url: str | None = field(default=None, repr=False)
    master_key: str | None = field(default=None, repr=False)
    screening: str | None = field(default=None, repr=False)
    session_s: int = DEFAULT_SESSION_S
    explorer_url: str | None = None
    chain_name: str | None = None
    wallet_rpc_url: str | None = None
    private_endpoints: bool = False


def load_people(environ: Mapping[str, str]) -> PeopleSettings:
    """Reads `VIBES_PUBLIC_URL`, `VIBES_RPC_URL`, `VIBES_MASTER_KEY`, `VIBES_SCREENING`,
    `VIBES_SESSION_S`, `VIBES_EXPLORER_URL`, `VIBES_CHAIN_NAME`, `VIBES_WALLET_RPC_URL` and
    `VIBES_PRIVATE_ENDPOINTS`.

    Raises:
        ConfigError: one of them is unusable.
    """
    session = environ.get("VIBES_SESSION_S") or str(DEFAULT_SESSION_S)
    if not (session.isascii() and session.isdigit() and 60 <= int(session) <= 10**9):
        raise ConfigError("VIBES_SESSION_S", f"{session!r} is not a number of seconds, at least 60")
    private = environ.get("VIBES_PRIVATE_ENDPOINTS") or "no"
    if private not in ("yes", "no"):
        raise ConfigError("VIBES_PRIVATE_ENDPOINTS", f"{private!r} is neither yes nor no")
    return PeopleSettings(
        public_url=_public_url(environ.get("VIBES_PUBLIC_URL")),
        rpc_url=_node(environ, "VIBES_RPC_URL"),
        master_key=environ.get("VIBES_MASTER_KEY") or None,
        screening=environ.get("VIBES_SCREENING") or None,
        session_s=int(session),
        explorer_url=_explorer_url(environ.get("VIBES_EXPLORER_URL")),
        chain_name=environ.get("VIBES_CHAIN_NAME") or None,
        wallet_rpc_url=_node(environ, "VIBES_WALLET_RPC_URL"),
        private_endpoints=private == "yes",
    )


def _node(environ: Mapping[str, str], name: str) -> str | None:
    """The address of a node. It is not repeated in an error, as it may hold a key."""
    url = environ.get(name) or None
    if url is not None and not is_http(url):
        raise ConfigError(name, NO_NODE)
    return url


def is_http(url: str) -> bool:
    """Whether it is an address with a host that HTTP reaches."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _public_url(text: str | None) -> str | None:
    if not text:
        return None
    parts = urlsplit(text.rstrip("/"))
    if not is_http(text) or parts.path or parts.query:
        raise ConfigError("VIBES_PUBLIC_URL", f"{text!r} is not like https://router.example.com")
    return f"{parts.scheme}://{parts.netloc}"


def _explorer_url(text: str | None) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if not is_http(text) or parts.query or parts.fragment:
        raise ConfigError("VIBES_EXPLORER_URL", f"{text!r} is not like https://amoy.polygonscan.com")
    return text.rstrip("/")
