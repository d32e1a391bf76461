"""A node of the chain over JSON-RPC: reading contracts, preparing and sending transactions.

Source: https://ethereum.github.io/execution-apis, EIP-1559 (fees), EIP-155 (chain ids).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_account.signers.local import LocalAccount

from mini_llm.wallet.errors import RouterUnreachable, WalletError
from mini_llm.wallet.keccak import keccak

MINED_S: Final = 300.0
POLL_S: Final = 0.5
DEFAULT_TIP_WEI: Final = 10**9
_GAS_MARGIN: Final = (5, 4)  # the state may differ a little by then


class NodeUnreachable(RouterUnreachable):
    """No usable answer from the node; ``reason`` is the kind of failure."""

    def __init__(self, reason: str) -> None:
        WalletError.__init__(self, f"the node cannot be reached ({reason})")
        self.reason = reason


class WrongChain(WalletError):
    """The node is of another chain: nothing is signed."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"the node is of chain {actual}, and the wallet is for chain {expected}")
        self.expected, self.actual = expected, actual


class Refused(WalletError):
    """The node or the contract refuses a call; ``detail`` is the node's own word."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what} would be refused: {detail}")
        self.what, self.detail = what, detail


class NotMined(WalletError):
    """A transaction that was sent and has no effect (yet); ``tx_hash`` finds it."""

    def __init__(self, tx_hash: str, why: str) -> None:
        super().__init__(f"{tx_hash} {why}")
        self.tx_hash = tx_hash


@dataclass(frozen=True)
class Call:
    """A call of a contract.

    Attributes:
        what: in words.
        to: the contract.
        data: selector and arguments.
        gas: limit; None to have it estimated, which cannot be done before an earlier call has its effect.
    """

    what: str
    to: str
    data: bytes
    gas: int | None = None


def call_data(signature: str, *values: object) -> bytes:
    """Selector and arguments of a function such as ``deposit(uint256,uint256)``."""
    return keccak(signature.encode())[:4] + encode(_types(signature), values)


class Node:
    """One node.

    Args:
        url: of its HTTP interface.
        http: stays its maker's to close.
        chain_id: nothing is prepared for another chain.
    """

    def __init__(self, url: str, http: httpx.Client, chain_id: int) -> None:
        self._url, self._http, self.chain_id = url, http, chain_id

    def check_chain(self) -> None:
        """Raises WrongChain unless the node is of the chain that the wallet is for."""
        actual = self._number("eth_chainId")
        if actual != self.chain_id:
            raise WrongChain(self.chain_id, actual)

    def view(self, to: str, signature: str, returns: Sequence[str], *values: object) -> tuple[Any, ...]:
        """What a view function returns.

        Raises:
            NodeUnreachable, Refused: it does not.
        """
        data = "0x" + call_data(signature, *values).hex()
        told = self._ask("eth_call", {"to": to, "data": data}, "latest")
        try:
            return tuple(decode(list(returns), bytes.fromhex(str(told).removeprefix("0x"))))
        except (DecodingError, ValueError, OverflowError):
            raise NodeUnreachable(f"no such contract at {to}") from None

    def balance_wei(self, address: str) -> int:
        """What an address has for gas."""
        return self._number("eth_getBalance", address, "latest")

    def now_s(self) -> int:
        """Time of the latest block, unix seconds."""
        return int(self._block()["timestamp"], 16)

    def prepare(self, sender: str, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """The calls as transactions to sign, in this order; numbers are integers.

        Raises:
            WrongChain, NodeUnreachable, Refused.
        """
        self.check_chain()
        nonce = self._number("eth_getTransactionCount", sender, "pending")
        fees = self._fees()
        return [
            {
                "chainId": self.chain_id,
                "nonce": nonce + place,
                "to": call.to,
                "value": 0,
                "data": "0x" + call.data.hex(),
                "gas": call.gas or self._gas(sender, call),
                **fees,
            }
            for place, call in enumerate(calls)
        ]

    def send(
        self, key: LocalAccount, transaction: dict[str, Any], sleep: Callable[[float], None] = time.sleep
    ) -> str:
        """Signs, sends and waits until the transaction is mined; its hash.

        Raises:
            WrongChain: it is for another chain than the wallet.
            Refused, NodeUnreachable, NotMined.
        """
        if transaction["chainId"] != self.chain_id:
            raise WrongChain(self.chain_id, transaction["chainId"])
        signed = key.sign_transaction(transaction)
        tx_hash = "0x" + bytes(signed.hash).hex()
        self._ask("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        ends_s = time.monotonic() + MINED_S
        while (receipt := self._ask("eth_getTransactionReceipt", tx_hash)) is None:
            if time.monotonic() > ends_s:
                raise NotMined(tx_hash, f"is not mined after {MINED_S:g} s; it may be yet")
            sleep(POLL_S)
        if int(receipt["status"], 16) != 1:
            raise NotMined(tx_hash, "was mined and had no effect")
        return tx_hash

    def _gas(self, sender: str, call: Call) -> int:
        request = {"from": sender, "to": call.to, "data": "0x" + call.data.hex()}
        try:
            estimated = self._number("eth_estimateGas", request)
        except Refused as error:
            raise Refused(call.what, error.detail) from None
        return estimated * _GAS_MARGIN[0] // _GAS_MARGIN[1]

    def _fees(self) -> dict[str, int]:
        base_fee = self._block().get("baseFeePerGas")
        if base_fee is None:
            return {"type": 0, "gasPrice": self._number("eth_gasPrice")}
        try:
            tip = self._number("eth_maxPriorityFeePerGas")
        except Refused:  # not every node has it
            tip = DEFAULT_TIP_WEI
        return {"type": 2, "maxFeePerGas": 2 * int(base_fee, 16) + tip, "maxPriorityFeePerGas": tip}

    def _block(self) -> dict[str, Any]:
        block = self._ask("eth_getBlockByNumber", "latest", False)
        if not isinstance(block, dict):
            raise NodeUnreachable("an answer without a block")
        return block

    def _number(self, method: str, *params: Any) -> int:
        told = self._ask(method, *params)
        try:
            return int(str(told), 16)
        except ValueError:
            raise NodeUnreachable(f"an answer to {method} that is no number") from None

    def _ask(self, method: str, *params: Any) -> Any:
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            answer = self._http.post(self._url, json=question).json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NodeUnreachable(type(error).__name__) from error
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise NodeUnreachable("an answer that is no JSON-RPC")
        if error_told := answer.get("error"):
            detail = error_told.get("message") if isinstance(error_told, dict) else error_told
            raise Refused(method, "".join(c for c in str(detail) if c.isprintable())[:300])
        return answer["result"]


def _types(signature: str) -> list[str]:
    """Types of a function's arguments, tuples whole."""
    inside, depth, types = signature.partition("(")[2][:-1], 0, [""]
    for letter in inside:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            types.append("")
        else:
            types[-1] += letter
    return [kind for kind in types if kind]
