"""Signed receipts: what the router promises it charged, and what everyone can check (EIP-712).

A wallet, a contract or any Ethereum library can verify one. A digest costs two keccaks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, cast

from mini_llm.wallet.address import checksummed, is_address
from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.signature import recover_address, sign_digest

RECEIPT_TYPES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "EIP712Domain": (
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    ),
    "Receipt": (
        ("requestId", "bytes32"),
        ("account", "uint256"),
        ("partner", "uint256"),
        ("model", "string"),
        ("promptTokens", "uint64"),
        ("completionTokens", "uint64"),
        ("promptPriceBasePerMtok", "uint256"),
        ("completionPriceBasePerMtok", "uint256"),
        ("vibesPerUsd", "uint256"),
        ("chargeBase", "uint256"),
        ("accountSequence", "uint64"),
        ("partnerSequence", "uint64"),
        ("accountTotalBase", "uint256"),
        ("partnerTotalBase", "uint256"),
        ("previousReceipt", "bytes32"),
        ("time", "uint64"),
        ("promptHash", "bytes32"),
    ),
}
"""EIP-712 types of a receipt, in signing order."""

DOMAIN_NAME: Final = "VIBES Receipt"
DOMAIN_VERSION: Final = "1"

_WORD: Final = 32
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # JSON can spell a lone one, UTF-8 cannot
_HEX: Final = re.compile(r"0x([0-9a-f]{2})*")


class InvalidReceipt(ValueError):
    """A receipt field out of its range, or JSON that is no receipt."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"receipt field {field}: {reason}")
        self.field = field
        self.reason = reason


def _type_hash(name: str) -> bytes:
    members = ",".join(f"{kind} {field}" for field, kind in RECEIPT_TYPES[name])
    return keccak(f"{name}({members})".encode())


_RECEIPT_TYPE_HASH: Final = _type_hash("Receipt")


@lru_cache(maxsize=4096)
def _hash_text(text: str) -> bytes:
    """Hash of a string member; cached because a router serves few models."""
    return keccak(text.encode())


@dataclass(frozen=True)
class ReceiptDomain:
    """Where receipts are valid: one settlement contract on one chain (an EIP-712 domain).

    Args:
        chain_id: EIP-155 chain id.
        settlement: address of the settlement contract, `0x` and 40 hex digits (checksum checked if any).

    Raises:
        InvalidReceipt: if the address is none, or its checksum is wrong.
    """

    chain_id: int
    settlement: str

    def __post_init__(self) -> None:
        if not is_address(self.settlement):
            raise InvalidReceipt("verifyingContract", f"{self.settlement!r} is no address")
        settlement = checksummed(self.settlement)
        if settlement is None:
            raise InvalidReceipt("verifyingContract", f"{self.settlement} has a wrong checksum")
        object.__setattr__(self, "settlement", settlement)

    @property
    def separator(self) -> bytes:
        """The EIP-712 domain separator, 32 bytes."""
        return _separator(self.chain_id, self.settlement)


@lru_cache(maxsize=64)
def _separator(chain_id: int, settlement: str) -> bytes:
    return keccak(
        _type_hash("EIP712Domain")
        + keccak(DOMAIN_NAME.encode())
        + keccak(DOMAIN_VERSION.encode())
        + chain_id.to_bytes(_WORD, "big")
        + bytes.fromhex(settlement[2:]).rjust(_WORD, b"\0")
    )


@dataclass(frozen=True)
class Receipt:
    """One charged call. Amounts in base units (1 VIBES = 10^6), prices in base units per million tokens.

    Args:
        request_id: id of the call's ledger entry, 32 bytes.
        account: index of the paying account, 1 to 2^24 - 1.
        partner: id of the partner that served the call, 0 for the house.
        model: the model's public name.
        prompt_tokens: tokens read, below 2^64.
        completion_tokens: tokens written, below 2^64.
        prompt_price_base_per_mtok: price of a million tokens read, base units: of the dearest kind used.
        completion_price_base_per_mtok: price of a million tokens written, likewise.
        vibes_per_usd: the rate that turned the USD price into VIBES.
        charge_base: what the call cost, base units, above 0.
        account_sequence: number of this receipt among the account's, from 1, without gaps.
        partner_sequence: number of this receipt among the partner's, from 1, without gaps.
        account_total_base: sum of the account's charges, this one included (`spent` once settled).
        partner_total_base: sum of the partner's gross, this charge included.
        previous_receipt: digest of the account's previous receipt, 32 zero bytes for the first.
        time: unix seconds at which the charge was made.
        prompt_hash: keccak256(salt ‖ request body); the router keeps the salt.

    Raises:
        InvalidReceipt: if a field is outside the range of its EIP-712 type.
    """

    request_id: bytes
    account: int
    partner: int
    model: str
    prompt_tokens: int
    completion_tokens: int
    prompt_price_base_per_mtok: int
    completion_price_base_per_mtok: int
    vibes_per_usd: int
    charge_base: int
    account_sequence: int
    partner_sequence: int
    account_total_base: int
    partner_total_base: int
    previous_receipt: bytes
    time: int
    prompt_hash: bytes

    def __post_init__(self) -> None:
        for value, (_, field, kind) in zip(_values(self), _MEMBERS, strict=True):
            if type(value) is not int or not 0 <= value < _LIMITS.get(kind, 0):
                _check_range(field, kind, value)

    def digest(self, domain: ReceiptDomain) -> bytes:
        """The 32-byte EIP-712 digest that the router signs."""
        words = [_RECEIPT_TYPE_HASH]
        for value in _values(self):
            if isinstance(value, int):
                words.append(value.to_bytes(_WORD, "big"))
            else:
                words.append(value if isinstance(value, bytes) else _hash_text(value))
        return keccak(b"\x19\x01" + domain.separator + keccak(b"".join(words)))

    def message(self) -> dict[str, str | int | bytes]:
        """The `message` of the EIP-712 typed data, by the names of its type."""
        return dict(zip(_NAMES, _values(self), strict=True))


_MEMBERS: Final = tuple(
    (member.name, field, kind)
    for member, (field, kind) in zip(fields(Receipt), RECEIPT_TYPES["Receipt"], strict=True)
)
"""(attribute, EIP-712 name, EIP-712 type) of each member, in signing order."""
_NAMES: Final = tuple(field for _, field, _ in _MEMBERS)
_FORMS: Final = tuple((field, kind.startswith("bytes")) for _, field, kind in _MEMBERS)
_values: Final = attrgetter(*(name for name, _, _ in _MEMBERS))
_LIMITS: Final = {"uint64": 1 << 64, "uint256": 1 << 256}
"""What the values of an integer type are below."""


def _check_range(field: str, kind: str, value: object) -> None:
    if kind == "string":
        if not isinstance(value, str) or not value or _SURROGATE.search(value):
            raise InvalidReceipt(field, "not a text")
    elif kind == "bytes32":
        if not isinstance(value, bytes) or len(value) != _WORD:
            raise InvalidReceipt(field, "not 32 bytes")
    elif not isinstance(value, int) or isinstance(value, bool):
        raise InvalidReceipt(field, "not an integer")
    elif not 0 <= value < _LIMITS[kind]:
        raise InvalidReceipt(field, f"{value} is no {kind}")


@dataclass(frozen=True)
class SignedReceipt:
    """A receipt and the router's signature over it.

    Args:
        receipt: what was charged.
        signature: r ‖ s ‖ v, 65 bytes, low s, v 27 or 28.
    """

    receipt: Receipt
    signature: bytes

    def to_json(self) -> dict[str, Any]:
        """`{"receipt": {EIP-712 names}, "signature": "0x…"}`; ints as decimal strings, bytes as 0x hex."""
        message = {
            field: "0x" + value.hex() if is_bytes else str(value)
            for (field, is_bytes), value in zip(_FORMS, _values(self.receipt), strict=True)
        }
        return {"receipt": message, "signature": "0x" + self.signature.hex()}

    @classmethod
    def from_json(cls, data: object) -> SignedReceipt:
        """Reads what `to_json` wrote, and nothing else.

        Raises:
            InvalidReceipt: for missing, unknown or malformed fields; there is one spelling of every value.
        """
        if not isinstance(data, dict) or set(data) != {"receipt", "signature"}:
            raise InvalidReceipt("receipt", "needs exactly the members receipt and signature")
        message = data["receipt"]
        if not isinstance(message, dict) or set(message) != {field for _, field, _ in _MEMBERS}:
            raise InvalidReceipt("receipt", "does not have exactly the members of the type Receipt")
        values = {name: _decode(field, kind, message[field]) for name, field, kind in _MEMBERS}
        signature = cast(bytes, _decode("signature", "bytes", data["signature"]))
        return cls(Receipt(**cast(dict[str, Any], values)), signature)

    @classmethod
    def from_text(cls, text: str | bytes) -> SignedReceipt:
        """Reads one line of an export. Raises InvalidReceipt for anything but the JSON of `to_json`."""
        try:
            data = json.loads(text, object_pairs_hook=_members)
        except InvalidReceipt:
            raise
        except (ValueError, RecursionError):
            raise InvalidReceipt("receipt", "not JSON") from None
        return cls.from_json(data)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):  # readers differ in which of the two counts
        raise InvalidReceipt("receipt", "names a member twice")
    return members


def _decode(field: str, kind: str, value: object) -> str | int | bytes:
    if not isinstance(value, str):
        raise InvalidReceipt(field, "not a JSON string")
    if kind == "string":
        return value
    if kind.startswith("bytes"):
        if not _HEX.fullmatch(value):
            raise InvalidReceipt(field, "not lower-case 0x hex")
        return bytes.fromhex(value[2:])
    # 78 digits hold 2^256; a longer text is refused before Python parses it
    if len(value) > 78 or not _DECIMAL.fullmatch(value):
        raise InvalidReceipt(field, "not a decimal integer")
    return int(value)


def sign_receipt(receipt: Receipt, domain: ReceiptDomain, private_key: bytes) -> SignedReceipt:
    """Signs a receipt with a secp256k1 key.

    Args:
        receipt: what was charged.
        domain: chain and settlement contract that the receipt is for.
        private_key: 32 bytes.
    """
    return SignedReceipt(receipt, sign_digest(receipt.digest(domain), private_key))


def recover_signer(signed: SignedReceipt, domain: ReceiptDomain) -> str:
    """The checksum address whose key made the signature; compare it with the contract's `receiptSigner`.

    Raises:
        InvalidSignature: if the signature is not in its one canonical form, or recovers to no key.
    """
    return recover_address(signed.receipt.digest(domain), signed.signature)
