"""The whole site for a browser: pages, router, bridge, model server, contracts and chain, all real."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from router.api.admin_door import new_admin_key
from router.people.vault import new_key_line
from support.anvil import ROOT
from support.gateway import BIN, child, router_environment
from support.injected import InjectedWallet
from support.operator import Operator
from support.stack import labelled_account

DEEP = {
    "model": "deep-1",
    "provider": "pithy",
    "partner": 2,
    "prompt_usd_per_mtok": "3",
    "completion_usd_per_mtok": "12",
    "context_tokens": 8_192,
    "max_output_tokens": 1_024,
}
"""A second model, of a second partner."""


@dataclass
class Site:
    """Where it is.

    Attributes:
        url: of the pages; the API is at `/v1` there.
        admin_url: of the operator's pages, which `admin_key` opens.
        environment: of router and bridge.
    """

    operator: Operator
    url: str
    admin_url: str
    admin_key: str
    environment: dict[str, str]

    def wallet(self, label: str, tokens_base: int, ether: bool = True) -> InjectedWallet:
        """A newcomer's wallet on the site's chain, with tokens."""
        stack = self.operator.stack
        account = stack.funded(label) if ether else labelled_account(label)
        stack.send(stack.owner, stack.token.functions.mint(account.address, tokens_base))
        return InjectedWallet(account, stack.anvil)

    def tokens_base(self, wallet: InjectedWallet) -> int:
        """Tokens in a wallet itself, base units."""
        return int(self.operator.stack.token.functions.balanceOf(wallet.address).call())


@contextmanager
def running_site(operator: Operator) -> Iterator[Site]:
    """Starts upstream, router and bridge beside a chain with the contracts."""
    folder, port, admin_port = operator.folder, _free_port(), _free_port()
    admin_key, admin_line = new_admin_key("operator")
    (folder / "admin.keys").write_text(admin_line + "\n")
    (folder / "master.keys").write_text(new_key_line("site") + "\n")
    with ExitStack() as children:
        upstream_url = children.enter_context(
            child(
                [sys.executable, ROOT / "scripts" / "answerers.py"],
                {},
                folder / "upstream.log",
                r'"base_url": "([^"]+)"',
            )
        )
        url = f"http://127.0.0.1:{port}"
        environment = router_environment(operator, upstream_url) | {
            "VIBES_PUBLIC_URL": url,
            "VIBES_ADMIN_KEYS_FILE": str(folder / "admin.keys"),
            "VIBES_MASTER_KEY": f"file:{folder / 'master.keys'}",
        }
        _configure(operator)
        children.enter_context(
            child(
                [BIN / "vibes-router", "serve", "--port", port, "--admin-port", admin_port],
                environment,
                folder / "router.log",
                rf"running on (http://127\.0\.0\.1:{port})",
            )
        )
        children.enter_context(
            child(
                [BIN / "vibes", "settle", "--watch", "--interval", 1],
                environment,
                folder / "bridge.log",
                "()",  # it says nothing as long as nothing is wrong
            )
        )
        yield Site(operator, url, f"http://127.0.0.1:{admin_port}", admin_key, environment)


def _configure(operator: Operator) -> None:
    """Adds a second partner with its model, and the relay, to the router's configuration."""
    file, stack = operator.folder / "router.json", operator.stack
    config = json.loads(file.read_text())
    config["partners"].append({"id": 2, "name": "long-form", "bps": 2_500})
    config["deployments"].append(DEEP)
    relay = stack.funded("relay")
    (operator.folder / "relay.key").write_text("0x" + bytes(relay.key).hex())
    config["relay"] = {
        "key_file": str(operator.folder / "relay.key"),
        "rpc_url": stack.url,
        "asset": stack.token.address,
        "deposits": {},
    }
    file.write_text(json.dumps(config))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
