"""JSON-RPC to a node of the chain, as little of it as taking payments needs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import httpx

from mini_llm.wallet.gas import Market

TIMEOUT_S: Final = 10.0
_USUAL_TIP_WEI: Final = 10**9


class NodeError(Exception):
    """The node did not give a result."""


class NodeUnavailable(NodeError):
    """No usable answer came; nothing is known about what was asked."""

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(f"{method}: {reason}")
        self.method, self.reason = method, reason


class NodeRefused(NodeError):
    """The node answered with an error; `data` is what a reverted call returned."""

    def __init__(self, method: str, message: str, data: object) -> None:
        super().__init__(f"{method}: {message}")
        self.method, self.message, self.data = method, message, data


class Node:
    """One node. The URL may hold a key: it is in no error and no log.

    Args:
        http: client to ask through; closed by its owner.
        url: address of the JSON-RPC endpoint.
    """

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http, self._url = http, url
        self._ids = itertools.count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """Result of one call.

        Raises:
            NodeUnavailable: no answer, or none of JSON-RPC.
            NodeRefused: an error of the node.
        """
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            response = await self._http.post(self._url, json=request, timeout=TIMEOUT_S)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NodeUnavailable(method, type(error).__name__) from None
        if not isinstance(answer, Mapping):
            raise NodeUnavailable(method, "not JSON-RPC")
        refused = answer.get("error")
        if isinstance(refused, Mapping):
            raise NodeRefused(method, str(refused.get("message"))[:200], refused.get("data"))
        if "result" not in answer:
            raise NodeUnavailable(method, "no result")
        return answer["result"]

    async def number(self, method: str, *params: Any) -> int:
        """Result of a call that answers with a quantity."""
        result = await self.call(method, *params)
        try:
            return int(result, 16)
        except (TypeError, ValueError):
            raise NodeUnavailable(method, "not a quantity") from None

    async def market(self) -> Market:
        """The present price of gas."""
        block = await self.call("eth_getBlockByNumber", "latest", False)
        if not isinstance(block, Mapping):
            raise NodeUnavailable("eth_getBlockByNumber", "no block")
        if block.get("baseFeePerGas") is None:
            return Market(None, await self.number("eth_gasPrice"))
        try:
            tip_wei = await self.number("eth_maxPriorityFeePerGas")
        except NodeRefused:  # not all nodes have the method
            tip_wei = _USUAL_TIP_WEI
        return Market(int(block["baseFeePerGas"], 16), tip_wei)
