"""A router that takes x402 payments on a real anvil, and wallets that pay it with the public client."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from eth_account.signers.local import LocalAccount
from router_upstream import Upstream
from router_world import World, make_world
from support.stack import VIBES, Stack, labelled_account
from x402 import x402Client
from x402.http.clients import x402HttpxClient
from x402.mechanisms.evm.exact.register import register_exact_evm_client

from router.config_relay import Relay
from router.ledger import payments
from router.ledger.payments import PaymentView

PATH = "/chat/completions"
AUTHORIZATION_TYPE = {
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}


def encoded(fields: Any) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


def decoded(header: str) -> dict[str, Any]:
    return json.loads(base64.b64decode(header))


def body_of(model: str, marker: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": marker}]} | fields


def marker() -> str:
    return f"marker {secrets.token_hex(8)}"


@dataclass
class Shop:
    """The router, its chain and its account; `pay_to` starts with nothing."""

    world: World
    stack: Stack
    account_idx: int
    pay_to: str
    facilitator: LocalAccount
    refused: Path
    """Whose wallets the operator refuses."""

    @property
    def url(self) -> str:
        return self.world.router.url

    @property
    def upstream(self) -> Upstream:
        return self.world.upstream

    def wallet(self, tokens_base: int = 100 * VIBES) -> LocalAccount:
        """A fresh wallet with tokens and no ether."""
        account = labelled_account(secrets.token_hex(8))
        if tokens_base:
            self.stack.send(self.stack.owner, self.stack.token.functions.mint(account.address, tokens_base))
        return account

    def wallet_unmined(self) -> LocalAccount:
        """The same while no blocks come by themselves; leaves one that has them."""
        self.stack.anvil.rpc("evm_setAutomine", True)
        wallet = self.wallet()
        self.stack.anvil.rpc("evm_setAutomine", False)
        return wallet

    def tokens(self, address: str) -> int:
        return int(self.stack.token.functions.balanceOf(address).call())

    def client(self, wallet: LocalAccount, **options: Any) -> x402HttpxClient:
        """The public client, told that it may spend VIBES."""
        payer = x402Client()
        register_exact_evm_client(payer, wallet)
        payer.set_spend_controls(
            {"allowed_assets": [{"network": "eip155:31337", "asset": self.stack.token.address}]}
        )
        return x402HttpxClient(payer, base_url=self.url, timeout=60, **options)

    def post(self, body: dict[str, Any], header: str | None = None, **headers: str) -> httpx.Response:
        if header is not None:
            headers["PAYMENT-SIGNATURE"] = header
        return httpx.post(self.url + PATH, json=body, headers=headers, timeout=60)

    def required(self, body: dict[str, Any]) -> dict[str, Any]:
        """What the router asks for a call."""
        answer = self.post(body)
        assert answer.status_code == 402, answer.text
        return decoded(answer.headers["payment-required"])

    def payment(self, wallet: LocalAccount, accepted: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A payment signed by hand; `changes` are made to the authorisation before it is signed."""
        order = {
            "from": wallet.address,
            "to": accepted["payTo"],
            "value": int(accepted["amount"]),
            "validAfter": 0,
            "validBefore": int(time.time()) + 120,
            "nonce": "0x" + secrets.token_hex(32),
        } | changes
        domain = {
            "name": accepted["extra"]["name"],
            "version": accepted["extra"]["version"],
            "chainId": int(accepted["network"].removeprefix("eip155:")),
            "verifyingContract": accepted["asset"],
        }
        signed = wallet.sign_typed_data(domain, AUTHORIZATION_TYPE, order)
        numbers = {name: str(order[name]) for name in ("value", "validAfter", "validBefore")}
        return {
            "x402Version": 2,
            "accepted": accepted,
            "payload": {"signature": "0x" + bytes(signed.signature).hex(), "authorization": order | numbers},
        }

    def header(self, wallet: LocalAccount, body: dict[str, Any], **changes: Any) -> str:
        """A payment header for a call."""
        return encoded(self.payment(wallet, self.required(body)["accepts"][0], **changes))

    def rows(self, wallet: LocalAccount) -> list[tuple[PaymentView, bool]]:
        """The register's rows of one payer, with whether they are used."""
        all_rows = self.world.ledger.read(payments.payments)
        return [(row, used) for row, used in all_rows if row.payer == wallet.address.lower()]

    def transfers(self, wallet: LocalAccount) -> list[Any]:
        """The wallet's transfers on chain."""
        events = self.stack.token.events.Transfer
        return list(events.get_logs(from_block=0, argument_filters={"from": wallet.address}))


class Gate:
    """A real proxy before the node that lets nothing of one method through while it is shut.

    Attributes:
        asked: how often the node was asked what it makes of something that is not sent. What was sent is
            followed beside the calls, at any moment.
    """

    def __init__(self, url: str) -> None:
        self.shut: str | None = None
        self.reached = threading.Event()
        self.asked = 0
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                method = json.loads(body)["method"]
                gate.asked += method in ("eth_call", "eth_estimateGas", "eth_getCode")
                if method == gate.shut:
                    gate.reached.set()
                    return  # the connection ends without an answer
                answer = httpx.post(url, content=body, headers={"content-type": "application/json"})
                self.send_response(answer.status_code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def shut_for(self, method: str) -> None:
        self.reached.clear()
        self.shut = method

    def open(self) -> None:
        self.shut = None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def make_shop(folder: Path, upstream: Upstream, stack: Stack, **options: Any) -> Shop:
    """Starts a router that takes payments, with its operator's account funded."""
    facilitator = stack.funded(f"facilitator {folder}")
    key_file = folder / "facilitator.key"
    key_file.write_text("0x" + bytes(facilitator.key).hex())
    pay_to = labelled_account(f"pay to {folder}").address
    account_idx = 900
    relay = {"key_file": str(key_file), "rpc_url": stack.url, "asset": stack.token.address}
    block: dict[str, Any] = {"pay_to": pay_to, "account": account_idx, "settle_timeout_s": 10}
    for name, value in options.items():
        (relay if name in Relay.model_fields else block)[name] = value
    (folder / "refused.txt").touch()
    settings = {"VIBES_SCREENING": f"file:{folder / 'refused.txt'}"}
    world = make_world(folder, upstream, {"relay": relay, "x402": block}, **settings)
    world.open_user(account_idx, deposit_base=10**12, ceiling_base=10**15)
    return Shop(world, stack, account_idx, pay_to, facilitator, folder / "refused.txt")
