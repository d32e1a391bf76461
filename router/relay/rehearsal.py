"""What the chain says before something is sent: is it the right one, who signed, would the call succeed."""

from __future__ import annotations

import asyncio
from typing import Final

from mini_llm.wallet.gas import Fees, offer
from mini_llm.wallet.signature import key_signed
from router.relay.eip3009 import DOMAIN_SEPARATOR_CALL, Token, revert_data
from router.relay.node import Node, NodeError, NodeRefused

MAX_GAS: Final = 300_000
"""Most gas for executing an authorisation: a contract wallet's check runs at the operator's cost."""


class WrongChain(NodeError):
    """The node serves another chain, or the token there is not the one that was configured."""


class WalletEmpty(NodeError):
    """The wallet that sends cannot pay for the gas."""


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
        max_fee_wei: most that it pays for one gas.
    """

    def __init__(self, node: Node, token: Token, sender: str, max_fee_wei: int) -> None:
        self._node, self._token, self._sender, self._max_fee_wei = node, token, sender, max_fee_wei
        self._checked = False

    async def rehearse(self, to: str, call_data: bytes) -> tuple[int, int]:
        """Gas that a call of ours takes, with a margin, and a block before which it was not executed.

        It is made with the sender and the gas price of the transaction: a contract sees both.

        Raises:
            NodeRefused: it would revert.
            TooMuchGas: it takes more than the operator pays for.
            FeesTooHigh: gas costs more than the operator pays.
            NodeError: the chain does not say.
        """
        await self._check_chain()
        height, market = await asyncio.gather(self.height(), self._node.market())
        fees = offer(market, self._max_fee_wei)
        priced = {name: hex(wei) for name, wei in fees.fields.items()}
        call = {"from": self._sender, "to": to, "data": "0x" + call_data.hex()} | priced
        try:
            gas = await self._node.number("eth_estimateGas", call)
        except NodeRefused as error:
            if not revert_data(error.data):
                await self._require_funds(fees)
            raise
        if gas > MAX_GAS:
            raise TooMuchGas(gas)
        return gas + gas // 4, height

    async def height(self) -> int:
        """Number of the newest block.

        Raises:
            NodeError: the node did not say.
        """
        return await self._node.number("eth_blockNumber")

    async def is_contract(self, address: str) -> bool:
        """There is code at the address, which then checks signatures.

        Raises:
            NodeError: the node did not say.
        """
        await self._check_chain()
        return await self._node.call("eth_getCode", address, "latest") not in ("0x", "", None)

    async def may_be_signed(self, payer: str, digest: bytes, signature: bytes) -> bool:
        """False if the payer is no contract and its key did not sign: cheaper to refuse than to simulate.

        Raises:
            NodeError: the node did not say.
        """
        return key_signed(payer, digest, signature) or await self.is_contract(payer)

    async def _require_funds(self, fees: Fees) -> None:
        """A node refuses to simulate what the sender cannot pay: that is no fault of the call."""
        funds_wei = await self._node.number("eth_getBalance", self._sender, "latest")
        if funds_wei < MAX_GAS * fees.max_fee_wei:
            raise WalletEmpty(f"{self._sender} has {funds_wei} wei left for gas")

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
