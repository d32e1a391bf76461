"""A wallet as browsers inject it (EIP-6963, EIP-1193), with a real key, on a real chain, and with moods."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from playwright.sync_api import Page

from support.anvil import Anvil

ASKS_ITS_OWNER = frozenset(
    {
        "eth_requestAccounts",
        "personal_sign",
        "eth_signTypedData_v4",
        "eth_sendTransaction",
        "wallet_switchEthereumChain",
        "wallet_addEthereumChain",
    }
)
"""Methods that open the wallet's window, where its owner may say no."""
PROVIDER = """
(({ binding, info, injected, announced }) => {
  const listeners = {};
  const emit = (name, value) => (listeners[name] ?? []).forEach((listener) => listener(value));
  const provider = {
    on(name, listener) { (listeners[name] ??= []).push(listener); return provider; },
    removeListener(name, listener) {
      listeners[name] = (listeners[name] ?? []).filter((one) => one !== listener);
      return provider;
    },
    async request({ method, params }) {
      const told = await window[binding](method, params ?? []);
      if (told.hangs) return new Promise(() => {});
      told.events.forEach(([name, value]) => emit(name, value));
      if (told.error) throw Object.assign(new Error(told.error.message), told.error);
      return told.result;
    },
  };
  (window.walletEvents ??= {})[binding] = emit;
  if (injected) window.ethereum = provider;
  if (!announced) return;
  const detail = Object.freeze({ info: Object.freeze(info), provider });
  const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  window.addEventListener("eip6963:requestProvider", announce);
  announce();
})(%s);
"""
_NUMBERS = itertools.count(1)


class Refusal(Exception):
    """What a wallet throws (EIP-1193): a code and words, and what the node said more."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.told = {"code": code, "message": message} | ({} if data is None else {"data": data})


@dataclass
class InjectedWallet:
    """One account's wallet. Change its moods whenever you like, before or between a page's requests.

    Attributes:
        account: the key that signs.
        node: the chain that it sends to and reads from; None for a wallet that only signs.
        chain_id: of the network that it is on; not the node's: nothing of ours is there.
        knows: networks that it can switch to; others have to be added first.
        connected: its owner has let the site see the account.
        refuses: methods to which its owner says no (4001).
        locked: it shows no account and signs nothing (4100).
        rpc: "down": the node does not answer and the wallet says so (4900); "hangs": it says nothing at all.
        asked: method and parameters of each request so far.
    """

    account: LocalAccount
    node: Anvil | None = None
    name: str = "Test Wallet"
    injected: bool = False
    announced: bool = True
    chain_id: int = 31337
    knows: set[int] = field(default_factory=lambda: {1, 31337})
    connected: bool = False
    refuses: frozenset[str] = frozenset()
    locked: bool = False
    rpc: Literal["up", "down", "hangs"] = "up"
    asked: list[tuple[str, Any]] = field(default_factory=list)
    _number: int = field(default_factory=lambda: next(_NUMBERS))
    _events: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.account.address

    def attach(self, page: Page) -> None:
        """Injects the wallet into a page and all that it navigates to."""
        info = {
            "uuid": f"00000000-0000-4000-8000-{self._number:012}",
            "name": self.name,
            "icon": "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
            "rdns": f"test.wallet{self._number}",
        }
        given = {"binding": self._binding, "info": info}
        page.expose_function(self._binding, self.answer)
        page.add_init_script(
            PROVIDER % json.dumps(given | {"injected": self.injected, "announced": self.announced})
        )

    def choose(self, page: Page, account: LocalAccount) -> None:
        """The owner chooses another account in the wallet."""
        self.account = account
        self._emit(page, "accountsChanged", [self.address])

    def lock(self, page: Page) -> None:
        """The owner locks the wallet."""
        self.locked = True
        self._emit(page, "accountsChanged", [])

    def change_network(self, page: Page, chain_id: int) -> None:
        """The owner chooses another network in the wallet."""
        self.chain_id = chain_id
        self._emit(page, "chainChanged", hex(chain_id))

    def count(self, method: str) -> int:
        """How often a page asked for this."""
        return sum(asked == method for asked, _ in self.asked)

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        """What a request comes to: `result` or `error`, and the events before it; or that it `hangs`."""
        self.asked.append((method, params))
        try:
            result = self._handled(method, params)
        except Refusal as refusal:
            return {"error": refusal.told, "events": self._take_events()}
        except TimeoutError:
            return {"hangs": True}
        return {"result": result, "events": self._take_events()}

    @property
    def _binding(self) -> str:
        return f"wallet{self._number}"

    def _emit(self, page: Page, name: str, value: Any) -> None:
        page.evaluate(
            "([binding, name, value]) => window.walletEvents[binding](name, value)",
            [self._binding, name, value],
        )

    def _take_events(self) -> list[tuple[str, Any]]:
        events, self._events = self._events, []
        return events

    def _handled(self, method: str, params: Any) -> Any:
        own: dict[str, Callable[[Any], Any]] = {
            "eth_requestAccounts": self._connect,
            "eth_accounts": lambda _: [self.address] if self.connected and not self.locked else [],
            "eth_chainId": lambda _: hex(self.chain_id),
            "net_version": lambda _: str(self.chain_id),
            "personal_sign": self._sign_text,
            "eth_signTypedData_v4": self._sign_typed,
            "eth_sendTransaction": self._send,
            "wallet_switchEthereumChain": self._switch,
            "wallet_addEthereumChain": self._add,
        }
        if self.locked and method in ASKS_ITS_OWNER:
            raise Refusal(4100, "The wallet is locked.")
        if method in self.refuses:
            raise Refusal(4001, "User rejected the request.")
        handler = own.get(method)
        return handler(params) if handler else self._node(method, params)

    def _connect(self, _: Any) -> list[str]:
        self.connected = True
        return [self.address]

    def _own(self, address: str) -> None:
        if not self.connected or address.lower() != self.address.lower():
            raise Refusal(4100, f"The site may not use the account {address}.")

    def _sign_text(self, params: Any) -> str:
        data, address = params[0], params[1]
        self._own(address)
        text = bytes.fromhex(data[2:]) if data.startswith("0x") else data.encode()
        return "0x" + bytes(self.account.sign_message(encode_defunct(text)).signature).hex()

    def _sign_typed(self, params: Any) -> str:
        address, typed = params[0], json.loads(params[1])
        self._own(address)
        if int(str(typed["domain"].get("chainId", self.chain_id)), 0) != self.chain_id:
            raise Refusal(-32602, f"chainId must be the one that the wallet is on, {self.chain_id}")
        signable = encode_typed_data(full_message=typed)
        return "0x" + bytes(self.account.sign_message(signable).signature).hex()

    def _send(self, params: Any) -> Any:
        sent = params[0]
        self._own(sent["from"])
        call = {name: sent[name] for name in ("from", "to", "data", "value") if name in sent}
        gas = sent.get("gas") or self._node("eth_estimateGas", [call])
        signed = self.account.sign_transaction(
            {
                "to": to_checksum_address(sent["to"]),  # wallets take any spelling
                "data": sent.get("data", "0x"),
                "value": int(sent.get("value", "0x0"), 16),
                "gas": int(gas, 16) * 12 // 10,
                "gasPrice": int(self._node("eth_gasPrice", []), 16),
                "nonce": int(self._node("eth_getTransactionCount", [self.address, "pending"]), 16),
                "chainId": self.chain_id,
            }
        )
        return self._node("eth_sendRawTransaction", ["0x" + bytes(signed.raw_transaction).hex()])

    def _switch(self, params: Any) -> None:
        wanted = int(params[0]["chainId"], 16)
        if wanted not in self.knows:
            raise Refusal(4902, f"The network {wanted} is not known: add it first.")
        if wanted != self.chain_id:
            self.chain_id = wanted
            self._events.append(("chainChanged", hex(wanted)))

    def _add(self, params: Any) -> None:
        self.knows.add(int(params[0]["chainId"], 16))
        self._switch(params)

    def _node(self, method: str, params: Any) -> Any:
        """What the network answers; another network than the node's has nothing of ours on it."""
        if self.rpc == "hangs":
            raise TimeoutError
        if self.rpc == "down" or self.node is None:
            raise Refusal(4900, "The wallet is disconnected from the network.")
        try:
            if self.chain_id != self.node.web3.eth.chain_id:
                if method in ("eth_call", "eth_getCode"):
                    return "0x"
                raise Refusal(4901, f"The wallet is on network {self.chain_id}.")
            answer = self.node.web3.provider.make_request(method, params)
        except OSError as error:
            raise Refusal(4900, "The wallet is disconnected from the network.") from error
        if "error" in answer:
            error = answer["error"]
            raise Refusal(error["code"], error["message"], error.get("data"))
        return answer["result"]
