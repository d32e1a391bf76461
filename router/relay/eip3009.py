"""EIP-3009 on chain: the authorisation's digest, its call, its events, its refusals.

Source: EIP-3009, EIP-712; contracts/src/base/ERC3009.sol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from mini_llm.wallet.keccak import keccak

_DOMAIN_TYPE: Final = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_TRANSFER_TYPE: Final = keccak(
    b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
    b"bytes32 nonce)"
)
_RECEIVE_TYPE: Final = keccak(
    b"ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
    b"bytes32 nonce)"
)
_TRANSFER_CALL: Final = keccak(
    b"transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
)[:4]
_HEAD_WORDS: Final = 7
_WORD_BYTES: Final = 32

DOMAIN_SEPARATOR_CALL: Final = "0x" + keccak(b"DOMAIN_SEPARATOR()")[:4].hex()
AUTHORIZATION_USED: Final = "0x" + keccak(b"AuthorizationUsed(address,bytes32)").hex()
TRANSFER: Final = "0x" + keccak(b"Transfer(address,address,uint256)").hex()


@dataclass(frozen=True)
class Token:
    """The token that pays, with what its EIP-712 domain is made of.

    Args:
        address: lower or mixed case hex.
        name: EIP-712 name.
        version: EIP-712 version.
        chain_id: EIP-155 id of its chain.
    """

    address: str
    name: str
    version: str
    chain_id: int

    @property
    def network(self) -> str:
        """CAIP-2 name of the chain."""
        return f"eip155:{self.chain_id}"

    def domain_separator(self) -> bytes:
        """EIP-712 domain separator, 32 bytes; the token's own DOMAIN_SEPARATOR() must equal it."""
        return keccak(
            _DOMAIN_TYPE
            + keccak(self.name.encode())
            + keccak(self.version.encode())
            + word(self.chain_id)
            + address_word(self.address)
        )


@dataclass(frozen=True)
class Authorization:
    """A signed order to move `value_base` from `payer` to `payee` once, within a time window.

    Args:
        payer: address that signs and pays.
        payee: address that is paid.
        value_base: base units, uint256.
        valid_after_s, valid_before_s: unix seconds, exclusive, uint256.
        nonce: 32 random bytes; the token takes each once per payer.
        signature: 65 bytes of a key, or whatever the payer's contract wallet (EIP-1271) checks.
    """

    payer: str
    payee: str
    value_base: int
    valid_after_s: int
    valid_before_s: int
    nonce: bytes
    signature: bytes

    def digest(self, token: Token) -> bytes:
        """What the payer signs so that anyone may execute the order, 32 bytes."""
        return keccak(b"\x19\x01" + token.domain_separator() + keccak(_TRANSFER_TYPE + self._words()))

    def receive_digest(self, token: Token) -> bytes:
        """What the payer signs so that only the payee, a contract, may execute the order, 32 bytes."""
        return keccak(b"\x19\x01" + token.domain_separator() + keccak(_RECEIVE_TYPE + self._words()))

    def payment_id(self, token: Token) -> str:
        """Name of the payment, 64 hex digits: the token takes one payment per payer and nonce."""
        return keccak(
            word(token.chain_id) + address_word(token.address) + address_word(self.payer) + self.nonce
        ).hex()

    def call_data(self) -> bytes:
        """The call of the token that executes the order."""
        padding = -len(self.signature) % _WORD_BYTES
        tail = word(len(self.signature)) + self.signature + bytes(padding)
        return _TRANSFER_CALL + self._words() + word(_HEAD_WORDS * _WORD_BYTES) + tail

    def _words(self) -> bytes:
        amounts = (self.value_base, self.valid_after_s, self.valid_before_s)
        return (
            address_word(self.payer)
            + address_word(self.payee)
            + b"".join(word(amount) for amount in amounts)
            + self.nonce
        )


def payee_of(call_data: bytes) -> str:
    """Whom an authorisation pays, from the call that executes it: an address, lower case."""
    payee = call_data[len(_TRANSFER_CALL) + _WORD_BYTES :][:_WORD_BYTES]
    return "0x" + payee[-20:].hex()


def revert_data(data: object) -> bytes:
    """What a reverted call returned, from a node's error; empty without any."""
    while isinstance(data, Mapping):  # nodes nest the data differently
        data = data.get("data")
    try:
        return bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else b""
    except ValueError:
        return b""


def used_topics(payer: str, nonce: bytes) -> list[str]:
    """Topics under which the token logs that a payer's authorisation was executed."""
    return [AUTHORIZATION_USED, _topic(payer), "0x" + nonce.hex()]


def executed(logs: Sequence[Any], token: str, payer: str, nonce: bytes, payee: str, value_base: int) -> bool:
    """True if among a transaction's logs the token says that it executed a payer's authorisation, and next
    that exactly this amount went to the payee.

    Elsewhere in the transaction it may be another one's: a payer can sign two orders with one nonce.
    """
    used, transfer = used_topics(payer, nonce), [TRANSFER, *map(_topic, (payer, payee))]
    return any(
        _says(one, token, used) and _says(other, token, transfer) and int(other["data"], 16) == value_base
        for one, other in pairwise(logs)
    )


def _says(log: Any, token: str, topics: list[str]) -> bool:
    told = [topic.lower() for topic in log["topics"]]
    return told == topics and log["address"].lower() == token.lower()


def _topic(address: str) -> str:
    return "0x" + address_word(address).hex()


def word(number: int) -> bytes:
    """A number in the contract ABI."""
    return number.to_bytes(_WORD_BYTES, "big")


def address_word(address: str) -> bytes:
    """An address in the contract ABI."""
    return bytes(12) + bytes.fromhex(address[2:])
