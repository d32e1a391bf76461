"""A batch as its transaction carries it: header, words, proof, and the operator's signature over it all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak
from hexbytes import HexBytes

from bridge.audit.chain import Chain, Log
from bridge.audit.checks import Mismatch, Place, Tally
from mini_llm.wallet.signature import InvalidSignature, recover_address

_ADDRESS: Final = 20


@dataclass(frozen=True)
class BatchCall:
    """The arguments of one settleBatch call; totals in base units."""

    old_root: int
    new_root: int
    commitment: int
    receipts_root: bytes
    receipts_total: int
    words: tuple[int, ...]
    partner_words: tuple[int, ...]
    proof: tuple[int, ...]

    @property
    def size(self) -> int:
        """Slots, padding included."""
        return len(self.words) // 2


def fetch_call(chain: Chain, log: Log, place: Place, tally: Tally) -> tuple[BatchCall, Mapping[str, Any]]:
    """Fetches and decodes the transaction behind a BatchSettled event; the event must repeat it.

    Raises:
        Mismatch: the transaction is missing, is none to this contract, or differs from the event.
    """
    place = place.of(f"transaction {log.tx_hash}")
    transaction = chain.transaction(log)
    if transaction is None:
        raise Mismatch("batch calldata", place, "a transaction", "none")
    tally.equal("batch calldata", place.of("recipient"), chain.facts.settlement, transaction["to"])
    try:
        name, args = chain.decode_call(bytes(transaction["input"]))
    except ValueError as error:
        raise Mismatch("batch calldata", place, "a call of settleBatch", str(error)) from error
    tally.equal("batch calldata", place.of("function"), "settleBatch", name)
    header = args["header"]
    call = BatchCall(
        header["oldRoot"], header["newRoot"], header["commitment"],
        header["receiptsRoot"], header["receiptsTotal"],
        tuple(args["words"]), tuple(args["partnerWords"]), tuple(args["proof"]),
    )  # fmt: skip
    event = log.args
    for name, carried in (
        ("oldRoot", call.old_root), ("newRoot", call.new_root), ("receiptsRoot", call.receipts_root),
    ):  # fmt: skip
        tally.equal("batch calldata", place.of(f"{name} of the event"), carried, event[name])
    return call, transaction


def check_operator(
    transaction: Mapping[str, Any], log: Log, operator: str, place: Place, tally: Tally
) -> None:
    """Checks that the operator signed exactly this transaction: a node cannot change a byte of a batch.

    Raises:
        Mismatch: the bytes do not have the transaction's hash, or another key signed them.
    """
    try:
        unsigned, signed, parity = _encodings(transaction)
    except (KeyError, TypeError, ValueError) as error:
        raise Mismatch(
            "operator signature", place, "a signed transaction of type 0, 1 or 2", str(error)
        ) from error
    tally.equal("operator signature", place.of("transaction hash"), log.tx_hash, "0x" + keccak(signed).hex())
    signature = bytes(transaction["r"]).rjust(32, b"\0") + bytes(transaction["s"]).rjust(32, b"\0")
    try:
        signer = recover_address(keccak(unsigned), signature + bytes((27 + parity,)))
    except InvalidSignature as error:
        raise Mismatch("operator signature", place, operator, str(error)) from error
    tally.equal("operator signature", place.of("signer"), operator, signer)


def _encodings(tx: Mapping[str, Any]) -> tuple[bytes, bytes, int]:
    """What was signed, what was sent, and the signature's parity. Source: EIP-155, EIP-2930, EIP-1559."""
    signature = [_integer(tx["r"]), _integer(tx["s"])]
    head = [bytes.fromhex(tx["to"][2:]), tx["value"], bytes(tx["input"])]
    if len(head[0]) != _ADDRESS:
        raise ValueError("recipient is no address")
    kind = _integer(tx["type"])
    if kind == 0:
        v = _integer(tx["v"])
        body = [tx["nonce"], tx["gasPrice"], tx["gas"], *head]
        replay_protection = [(v - 35) // 2, 0, 0] if v >= 35 else []
        parity = (v - 35) % 2 if v >= 35 else v - 27
        return rlp.encode(body + replay_protection), rlp.encode([*body, v, *signature]), parity
    fees = {1: ("gasPrice",), 2: ("maxPriorityFeePerGas", "maxFeePerGas")}.get(kind)
    if fees is None:
        raise ValueError(f"transaction type {kind}")
    access = [
        [bytes.fromhex(entry["address"][2:]), [bytes(HexBytes(key)) for key in entry["storageKeys"]]]
        for entry in tx.get("accessList", [])
    ]
    body = [tx["chainId"], tx["nonce"], *(tx[fee] for fee in fees), tx["gas"], *head, access]
    parity = _integer(tx["yParity"] if "yParity" in tx else tx["v"])
    prefix = bytes((kind,))
    return prefix + rlp.encode(body), prefix + rlp.encode([*body, parity, *signature]), parity


def _integer(value: Any) -> int:
    """Nodes and web3 give quantities as int, 0x text or bytes."""
    if isinstance(value, int):
        return value
    return int(value, 16) if isinstance(value, str) else int.from_bytes(bytes(value), "big")
