"""Sends calls of the settlement contract, one at a time, and waits until they are mined."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from web3.exceptions import ContractLogicError
from web3.types import TxParams

from bridge.chain.client import hex0x
from bridge.chain.settlement import SettlementContract, load_abi, reverted
from bridge.exit.errors import NotMined, Reverted

MINED_TIMEOUT_S: Final = 300
POLL_S: Final = 0.5


@dataclass(frozen=True)
class Call:
    """A call that the chain would accept now.

    Args:
        gas: estimated on the present state.
        fee_per_gas_wei: the most that a unit of gas may cost.
    """

    function: str
    transaction: TxParams
    gas: int
    fee_per_gas_wei: int

    @property
    def cost_wei(self) -> int:
        """The most that it may cost."""
        return self.gas * self.fee_per_gas_wei


@dataclass(frozen=True)
class Sent:
    """A mined call."""

    function: str
    tx_hash: str
    gas: int


class Sender:
    """Prepares and sends calls of one contract."""

    def __init__(self, settlement: SettlementContract) -> None:
        self._settlement, self._client = settlement, settlement.client
        self._encoder = self._client.web3.eth.contract(settlement.address, abi=load_abi("Settlement"))

    def prepare(self, function: str, arguments: Sequence[Any], sender: ChecksumAddress) -> Call:
        """The call from `sender` with its gas and fees.

        Raises:
            ContractReverted: it would be refused, with the contract's own error.
        """
        data = self._encoder.encode_abi(function, list(arguments))
        call: TxParams = {
            "from": sender,
            "to": self._settlement.address,
            "data": data,
            "value": cast(Any, 0),
            "chainId": self._client.chain_id,
        }
        try:
            gas = self._client.estimate_gas(call)
        except ContractLogicError as error:
            raise reverted(function, error) from error
        call["gas"] = gas * 5 // 4  # the state may differ a little by then
        base_fee = self._client.base_fee()
        if base_fee is None:
            fee = self._client.gas_price()
            call["gasPrice"] = cast(Any, fee)
        else:
            tip = self._client.priority_fee()
            fee = 2 * base_fee + tip
            call["maxPriorityFeePerGas"], call["maxFeePerGas"] = cast(Any, tip), cast(Any, fee)
        return Call(function, call, gas, fee)

    def send(self, call: Call, key: LocalAccount) -> Sent:
        """Signs the call, sends it and waits until it is mined.

        Raises:
            NotMined: not within five minutes.
            Reverted: it was mined without effect.
        """
        # The number of mined transactions: one that an interrupted run left waiting is replaced or refused by
        # the node, never followed by a second one.
        nonce = self._client.nonce(key.address, "latest")
        signed = key.sign_transaction(cast(Any, dict(call.transaction) | {"nonce": nonce}))
        self._client.send_raw(hex0x(signed.raw_transaction))
        tx_hash = hex0x(signed.hash)
        deadline = time.monotonic() + MINED_TIMEOUT_S
        while (receipt := self._client.receipt(tx_hash)) is None:
            if time.monotonic() > deadline:
                raise NotMined(tx_hash)
            time.sleep(POLL_S)
        if receipt["status"] != 1:
            raise Reverted(call.function, tx_hash)
        return Sent(call.function, tx_hash, receipt["gasUsed"])
