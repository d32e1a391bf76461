"""What the chain says before something is sent: is it the right one, who signed, would the call succeed."""

from __future__ import annotations

from typing import Final

from mini_llm.wallet.signature import InvalidSignature, recover_address
from router.relay.eip3009 import DOMAIN_SEPARATOR_CALL, Token
from router.relay.node import Node, NodeError

MAX_GAS: Final = 300_000
"""Most gas for executing an authorisation: a contract wallet's check runs at the operator's cost."""


class WrongChain(NodeError):
    """The node serves another chain, or the token there is not the one that was configured."""


class TooMuchGas(Exception):
    """Executing an authorisation takes more than `MAX_GAS`."""

    def __init__(self, gas: int) -> None:
        super().__init__(f"{gas} gas, the limit is {MAX_GAS}")
        self.gas = gas


class Rehearsal:
    """Asks the chain and changes nothing.

    Args:
        node: the chain.
        token: the asset.
        sender: address that will send.
    """

    def __init__(self, node: Node, token: Token, sender: str) -> None:
        self._node, self._token, self._sender = node, token, sender
        self._checked = False

    async def rehearse(self, to: str, call_data: bytes) -> tuple[int, int]:
        """Gas that a call of ours takes, with a margin, and a block before which it was not executed.

        Raises:
            NodeRefused: it would revert.
            TooMuchGas: it takes more than the operator pays for.
            NodeError: the chain does not say.
        """
        await self._check_chain()
        call = {"from": self._sender, "to": to, "data": "0x" + call_data.hex()}
        height = await self.height()
        gas = await self._node.number("eth_estimateGas", call)
        if gas > MAX_GAS:
            raise TooMuchGas(gas)
        return gas + gas // 4, height

    async def height(self) -> int:
        """Number of the newest block.

        Raises:
            NodeError: the node did not say.
        """
        return await self._node.number("eth_blockNumber")

    async def may_be_signed(self, payer: str, digest: bytes, signature: bytes) -> bool:
        """False if the payer is no contract and its key did not sign: cheaper to refuse than to simulate.

        Raises:
            NodeError: the node did not say.
        """
        try:
            if recover_address(digest, signature).lower() == payer:
                return True
        except InvalidSignature:
            pass
        await self._check_chain()
        return await self._node.call("eth_getCode", payer, "latest") not in ("0x", "", None)

    async def _check_chain(self) -> None:
        """The node must serve our chain, and the token must sign under the name that we tell clients."""
        if self._checked:
            return
        token = self._token
        chain_id = await self._node.number("eth_chainId")
        if chain_id != token.chain_id:
            raise WrongChain(f"the node serves chain {chain_id}, not {token.chain_id}")
        call = {"to": token.address, "data": DOMAIN_SEPARATOR_CALL}
        if await self._node.call("eth_call", call, "latest") != "0x" + token.domain_separator().hex():
            raise WrongChain(f"no EIP-3009 token of that name and version at {token.address}")
        self._checked = True
