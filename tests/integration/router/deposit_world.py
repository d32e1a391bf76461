"""A router that sends deposits to a real anvil, and wallets that hold tokens and no coin for gas."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from people_world import PUBLIC_URL, Person
from router_upstream import Upstream
from router_world import World, make_world
from support.stack import VIBES, Stack, labelled_account

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment
from router.ledger import payments
from router.ledger.payments import PaymentView
from router.people.vault import new_key_line

KEY_COMMIT = key_commitment(public_key(4242))
LEAST_BASE = VIBES // 2
RECEIVE_TYPE = {
    "ReceiveWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}


@dataclass
class Depositor(Person):
    """A signed-in wallet on a chain."""

    stack: Stack = field(kw_only=True)

    def order(
        self, amount_base: int = 10 * VIBES, key_commit: int = KEY_COMMIT, **changes: Any
    ) -> dict[str, Any]:
        """A signed deposit as the endpoint takes it; `changes` to what is signed, `domain` to where."""
        salt = secrets.token_bytes(32)
        domain = {
            "name": "VIBES",
            "version": "1",
            "chainId": self.stack.chain_id,
            "verifyingContract": self.stack.token.address,
        } | changes.pop("domain", {})
        signer: LocalAccount = changes.pop("signer", self.wallet)
        order = {
            "from": self.address,
            "to": self.stack.settlement.address,
            "value": amount_base,
            "validAfter": 0,
            "validBefore": int(time.time()) + 3600,
            "nonce": keccak(key_commit.to_bytes(32, "big") + salt),
        } | changes
        signed = signer.sign_typed_data(domain, RECEIVE_TYPE, order)
        return {
            "amount_base": str(amount_base),
            "key_commit": str(key_commit),
            "salt": "0x" + salt.hex(),
            "valid_after_s": order["validAfter"],
            "valid_before_s": order["validBefore"],
            "signature": "0x" + bytes(signed.signature).hex(),
        }

    def deposit(self, order: dict[str, Any], url: str | None = None, **headers: str) -> httpx.Response:
        bearer = {"authorization": f"Bearer {self.token}"}
        return httpx.post(f"{url or self.url}/deposits", json=order, headers=bearer | headers, timeout=30)

    def direct(self, order: dict[str, Any]) -> Any:
        """The contract's call that executes an order, for whoever wants to send it."""
        signature = bytes.fromhex(order["signature"][2:])
        return self.stack.settlement.functions.depositWithAuthorization(
            self.address,
            int(order["amount_base"]),
            int(order["key_commit"]),
            bytes.fromhex(order["salt"][2:]),
            order["valid_after_s"],
            order["valid_before_s"],
            signature[64],
            signature[:32],
            signature[32:64],
        )

    def pending_base(self) -> int:
        """What the contract has got of the wallet and no batch has taken."""
        idx = self.stack.settlement.functions.indexOf(self.address).call()
        return int(self.stack.settlement.functions.account(idx).call()[1])

    def shown(self, deposit_id: str) -> dict[str, Any]:
        told: dict[str, Any] = self.ask("GET", f"/deposits/{deposit_id}").json()
        return told

    def until(self, deposit_id: str, state: str) -> dict[str, Any]:
        """The deposit once it has this state."""
        deadline = time.monotonic() + 90
        while (told := self.shown(deposit_id)).get("state") != state and time.monotonic() < deadline:
            time.sleep(0.1)
        return told


@dataclass
class Harbour:
    """The router and its chain."""

    world: World
    stack: Stack
    relay: LocalAccount
    refused: Path
    """Whose wallets the operator refuses."""

    def depositor(self, tokens_base: int = 100 * VIBES, mined: bool = True) -> Depositor:
        """A fresh wallet, signed in; `mined` False where no blocks come by themselves."""
        account = labelled_account(secrets.token_hex(8))
        if not mined:
            self.stack.anvil.rpc("evm_setAutomine", True)
        if tokens_base:
            self.stack.send(self.stack.owner, self.stack.token.functions.mint(account.address, tokens_base))
        if not mined:
            self.stack.anvil.rpc("evm_setAutomine", False)
        person = Depositor(self.world.router.url, account, stack=self.stack)
        person.sign_in()
        return person

    def rows(self, person: Person) -> list[PaymentView]:
        """The register's rows of one wallet."""
        sent = self.world.ledger.read(lambda connection: payments.sent_payments(connection, 1000))
        return [row for row in sent if row.payer == person.address.lower()]

    def sent(self) -> int:
        """Transactions of the relay's wallet that are on chain."""
        return self.stack.web3.eth.get_transaction_count(self.relay.address)

    def waits(self, row: PaymentView) -> bool:
        """Whether the chain's node holds the row's transaction, unmined."""
        asked = self.stack.anvil.rpc("eth_getTransactionByHash", row.tx_hash)
        return asked is not None and asked["blockHash"] is None

    def close(self) -> None:
        self.world.router.stop()
        self.world.ledger.close()


def make_harbour(folder: Path, upstream: Upstream, stack: Stack, **options: Any) -> Harbour:
    """Starts a router whose relay sends deposits; `options` of these, `rpc_url`, and `port` for a browser."""
    port = options.pop("port", 0)
    wallet = stack.funded(f"relay {folder}")
    key_file = folder / "relay.key"
    key_file.write_text("0x" + bytes(wallet.key).hex())
    relay = {
        "key_file": str(key_file),
        "rpc_url": options.pop("rpc_url", stack.url),
        "asset": stack.token.address,
        "deposits": {"least_base": LEAST_BASE, "wallet_day": 3} | options,
    }
    (folder / "master.keys").write_text(new_key_line("first") + "\n")
    (folder / "refused.txt").touch()
    settings = {
        "VIBES_SCREENING": f"file:{folder / 'refused.txt'}",
        "VIBES_SETTLEMENT": stack.settlement.address,
        "VIBES_PUBLIC_URL": f"http://127.0.0.1:{port}" if port else PUBLIC_URL,
        "VIBES_MASTER_KEY": f"file:{folder / 'master.keys'}",
        "VIBES_CHAIN_NAME": "Testland",
        "VIBES_WALLET_RPC_URL": stack.url,
        "VIBES_TRUSTED_PROXIES": "127.0.0.1",
    }
    # without one of its own, a router that is started again comes back at the same port
    given = ("--port", str(port)) if port else ()
    world = make_world(folder, upstream, {"relay": relay}, given, **settings)
    return Harbour(world, stack, wallet, folder / "refused.txt")
