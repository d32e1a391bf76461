"""The Settlement contract as seen from Python: its views, events, calldata and custom errors.

Source: contracts/src/interfaces/ISettlement.sol; the ABI files beside this one come from the compiler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_typing import ABI, ABIFunction, ChecksumAddress
from eth_utils.abi import collapse_if_tuple, event_abi_to_log_topic, function_abi_to_4byte_selector
from web3.contract import Contract
from web3.exceptions import ContractLogicError
from web3.types import BlockIdentifier, LogReceipt, TxParams, TxReceipt

from bridge.chain.client import ChainClient, hex0x
from bridge.errors import ContractReverted, FalseReceipt, NoContract, UnexpectedEvent, WrongDomain
from bridge.state import BatchHeader, ChainEvent, Terms
from mini_llm.wallet.ceiling import settlement_domain

ABI_FOLDER = Path(__file__).parent / "abi"
ABI_NAMES = ("Settlement", "VibesToken", "PartnerRegistry", "Verifier")


@cache
def load_abi(name: str) -> ABI:
    """The ABI of one of the project's contracts."""
    return cast(ABI, json.loads((ABI_FOLDER / f"{name}.json").read_text()))


def decode_revert(data: bytes) -> tuple[str, tuple[object, ...]]:
    """Name and values of the custom error in revert data, of whichever of the project's contracts it is."""
    for name in ABI_NAMES:
        for item in load_abi(name):
            if item["type"] != "error":
                continue
            if function_abi_to_4byte_selector(cast(ABIFunction, item)) != data[:4]:
                continue
            try:
                return item["name"], decode([collapse_if_tuple(part) for part in item["inputs"]], data[4:])
            except DecodingError:
                return item["name"], ()
    return ("reverted without a reason" if not data else f"unknown error {hex0x(data[:4])}"), ()


def _plain(value: Any) -> Any:
    """ABI values as JSON knows them: bytes as 0x hex, sequences as lists."""
    if isinstance(value, bytes):
        return hex0x(value)
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return value


class SettlementContract:
    """One deployed Settlement."""

    def __init__(self, client: ChainClient, address: ChecksumAddress) -> None:
        """Checks that the contract is there and signs over this chain and address.

        Raises NoContract, WrongDomain.
        """
        self.client, self.address = client, address
        self._contract = client.web3.eth.contract(address=address, abi=load_abi("Settlement"))
        self._events = {
            event_abi_to_log_topic(item): str(item["name"])
            for item in load_abi("Settlement")
            if item["type"] == "event"
        }
        if not client.code(address):
            raise NoContract(address, client.chain_id)
        self.domain = settlement_domain(client.chain_id, address)
        actual = self.view("domain")
        if actual != self.domain:
            raise WrongDomain(self.domain, actual)

    def view(self, function: str, *arguments: Any, block: BlockIdentifier = "latest") -> Any:
        """Result of a view function. Raises ContractReverted."""
        with self.client.answering("eth_call"):
            try:
                return self._contract.functions[function](*arguments).call(block_identifier=block)
            except ContractLogicError as error:
                raise reverted(function, error) from error

    def verifier(self, slots: int) -> tuple[str, str] | None:
        """Circuit hash and key hash of the verifier for a batch size, None if none is registered.

        Both are sha256, hex without 0x: of the r1cs, and of the verifying key's 22 words of 32 bytes.
        """
        verifier = self.view("verifierOf", slots)
        if int(verifier, 16) == 0:
            return None
        contract = self.client.web3.eth.contract(address=verifier, abi=load_abi("Verifier"))
        with self.client.answering("eth_call"):
            circuit = bytes(contract.functions.circuitHash().call()).hex()
            key: Sequence[int] = contract.functions.verifyingKey().call()
        return circuit, sha256(b"".join(word.to_bytes(32, "big") for word in key)).hexdigest()

    @cached_property
    def _registry(self) -> Contract:
        """The partner registry, which a deployment fixes for good."""
        address: ChecksumAddress = self.view("registry")
        return self.client.web3.eth.contract(address, abi=load_abi("PartnerRegistry"))

    @cached_property
    def _pool_bps(self) -> int:
        return int(self.view("poolBps"))

    def terms(self) -> Terms:
        """What batches are held to now. Raises as `view`."""
        registry, pool_bps = self._registry, self._pool_bps
        with self.client.answering("eth_call"):
            return Terms(int(registry.functions.count().call()), pool_bps)

    def registered(self, block: BlockIdentifier) -> list[Mapping[str, Any]]:
        """Every partner in the registry (IPartnerRegistry.Partner) as of a block, by number, the house first.

        Raises as `view`.
        """
        registry = self._registry.functions
        with self.client.answering("eth_call"):
            numbers = range(registry.count().call(block_identifier=block))
            found = [registry.partner(number).call(block_identifier=block) for number in numbers]
        return [dict(zip(("payout", "bps", "active", "name"), one, strict=True)) for one in found]

    def held_base(self, block: BlockIdentifier) -> int:
        """Tokens that the contract holds, base units; raises as `view`."""
        token = self.client.web3.eth.contract(self.view("token"), abi=load_abi("VibesToken"))
        with self.client.answering("eth_call"):
            return int(token.functions.balanceOf(self.address).call(block_identifier=block))

    def account(self, idx: int, block: BlockIdentifier) -> Mapping[str, Any]:
        """What the contract stores of an account (ISettlement.Account), by field name; raises as `view`."""
        return self.struct("account", idx, block=block)

    def struct(self, function: str, *arguments: Any, block: BlockIdentifier) -> Mapping[str, Any]:
        """Result of a view function that returns a struct, by field name; raises as `view`."""
        (output,) = self._contract.functions[function].abi["outputs"]
        names = [str(part["name"]) for part in output["components"]]
        return dict(zip(names, self.view(function, *arguments, block=block), strict=True))

    # -- reading

    def read_event(self, log: LogReceipt, seen_at: int) -> ChainEvent | None:
        """The event behind a log, None if the contract's ABI has none such.

        A settled batch's words come from its transaction's calldata. Raises UnexpectedEvent if that is no
        direct call of `settleBatch`.
        """
        name = self._events.get(bytes(log["topics"][0])) if log["topics"] else None
        if name is None:
            return None
        args = dict(self._contract.events[name]().process_log(log)["args"])
        tx_hash = hex0x(log["transactionHash"])
        if name == "BatchSettled":
            args |= self._batch_calldata(log)
        return ChainEvent(
            name=name,
            args={key: _plain(value) for key, value in args.items()},
            block_number=log["blockNumber"],
            block_hash=hex0x(log["blockHash"]),
            tx_hash=tx_hash,
            log_index=log["logIndex"],
            seen_at=seen_at,
        )

    def _batch_calldata(self, log: LogReceipt) -> dict[str, Any]:
        reference = f"{hex0x(log['transactionHash'])}:{log['logIndex']}"
        transaction = self.client.transaction_in(log["blockHash"], log["transactionIndex"])
        if transaction is None or transaction["hash"] != log["transactionHash"]:
            raise UnexpectedEvent(reference, "its transaction is not in the chain")
        if transaction.get("to") != self.address:
            raise UnexpectedEvent(reference, "its transaction does not call the contract directly")
        try:
            function, arguments = self._contract.decode_function_input(transaction["input"])
        except (ValueError, DecodingError) as error:
            raise UnexpectedEvent(reference, "its calldata cannot be decoded") from error
        if function.fn_name != "settleBatch":
            raise UnexpectedEvent(reference, f"its transaction calls {function.fn_name}")
        header: Mapping[str, Any] = arguments["header"]
        return {
            "words": list(arguments["words"]),
            "partnerWords": list(arguments["partnerWords"]),
            "commitment": header["commitment"],
            "receiptsTotal": header["receiptsTotal"],
        }

    def require_settled(self, receipt: TxReceipt, number: int, header: BatchHeader) -> None:
        """Checks that a transaction settled this very batch: its log says so, and so does the contract.

        Raises FalseReceipt.
        """
        tx_hash = hex0x(receipt["transactionHash"])
        expected = (number, header.old_root, header.new_root, header.receipts_root)
        settled = [
            _plain(event["args"])
            for log in receipt["logs"]
            if log["address"] == self.address and log["topics"]
            if self._events.get(bytes(log["topics"][0])) == "BatchSettled"
            for event in [self._contract.events.BatchSettled().process_log(log)]
        ]
        found = [
            (args["batchNumber"], args["oldRoot"], args["newRoot"], args["receiptsRoot"]) for args in settled
        ]
        if found != [expected]:
            raise FalseReceipt(tx_hash, "BatchSettled", [expected], found)
        block = receipt["blockNumber"]
        root, newest = self.view("stateRoot", block=block), self.view("batchNumber", block=block)
        if newest < number or (newest == number and root != header.new_root):
            raise FalseReceipt(tx_hash, f"state after batch {newest}", header.new_root, root)

    # -- writing

    def settle_call(
        self,
        sender: ChecksumAddress,
        header: BatchHeader,
        words: Sequence[int],
        partner_words: Sequence[int],
        proof: Sequence[int],
    ) -> TxParams:
        """The `settleBatch` call as an unsigned transaction with its gas estimated on the present state.

        Raises ContractReverted with the contract's own error if the batch would be refused.
        """
        data = self._contract.encode_abi(
            "settleBatch",
            [
                (
                    header.old_root,
                    header.new_root,
                    header.commitment,
                    bytes.fromhex(header.receipts_root.removeprefix("0x")),
                    header.receipts_total,
                ),
                list(words),
                list(partner_words),
                list(proof),
            ],
        )
        call: TxParams = {"from": sender, "to": self.address, "data": data, "value": cast(Any, 0)}
        try:
            call["gas"] = self.client.estimate_gas(call) * 5 // 4
        except ContractLogicError as error:
            raise reverted("settleBatch", error) from error
        return call


def reverted(call: str, error: ContractLogicError) -> ContractReverted:
    """A node's revert as the contract's own error."""
    data = error.data
    if isinstance(data, str) and data.startswith("0x"):
        name, values = decode_revert(bytes.fromhex(data[2:]))
        return ContractReverted(call, name, values)
    return ContractReverted(call, error.message or "reverted without a reason")
