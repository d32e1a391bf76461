"""Session keys and the cumulative spending ceilings that they sign.

One signature over ``Poseidon(domain, idx, ceiling)`` allows every charge that keeps the account's cumulative
spending at or below the ceiling. The domain binds it to one contract on one chain, the index to one account.

Source: docs/protocol.md (authorisation), EIP-712 (the wallet's signature that a session key comes from).
"""

import json
from dataclasses import dataclass
from typing import Final

from mini_llm.wallet.babyjub import (
    SUBORDER,
    Point,
    Signature,
    expand,
    public_key,
    sign,
    verify,
)
from mini_llm.wallet.field import P
from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.limits import MAX_BALANCE_BASE, MAX_IDX
from mini_llm.wallet.poseidon import poseidon

_SECRET_TAG: Final = b"VIBES session key"
_WALLET_SIGNATURE_BYTES: Final = 65
_STATEMENT: Final = (
    "Make the VIBES session key of this wallet. "
    "Whoever has the key can spend your VIBES balance on AI calls. "
    "Sign only on a site you trust."
)
_MAX_DECIMAL_DIGITS: Final = 78  # of 2^256 - 1
_MAX_JSON_LENGTH: Final = 1024  # twice what a signed ceiling needs; also bounds the parser's recursion


class CeilingOutOfRange(ValueError):
    """A ceiling outside ``[0, 2^64)`` base units or an account index outside ``[1, 2^24)``."""

    def __init__(self, idx: int, ceiling_base: int) -> None:
        super().__init__(f"account {idx} with a ceiling of {ceiling_base} base units is out of range")
        self.idx = idx
        self.ceiling_base = ceiling_base


class MalformedCeiling(ValueError):
    """Text that is not a signed ceiling."""


class MalformedWalletSignature(ValueError):
    """A wallet signature that is not 65 bytes (r, s, v)."""

    def __init__(self, length: int) -> None:
        super().__init__(f"a wallet signature has {_WALLET_SIGNATURE_BYTES} bytes, not {length}")
        self.length = length


@dataclass(frozen=True)
class SignedCeiling:
    """A spending limit signed by a session key.

    Attributes:
        idx: account index, 1 to 2^24 - 1.
        ceiling_base: most that the account may have spent in total, base units, below 2^64.
        key: public session key.
        signature: by ``key`` over ``ceiling_message(domain, idx, ceiling_base)``.
    """

    idx: int
    ceiling_base: int
    key: Point
    signature: Signature

    def to_json(self) -> str:
        """One JSON object; numbers are decimal strings, since they exceed what JSON readers keep exact."""
        return json.dumps(
            {
                "idx": str(self.idx),
                "ceiling_base": str(self.ceiling_base),
                "key": [str(value) for value in self.key],
                "r8": [str(value) for value in self.signature.r8],
                "s": str(self.signature.s),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "SignedCeiling":
        """Read what ``to_json`` wrote. The signature is not checked here: see ``verify_ceiling``.

        Raises:
            MalformedCeiling: not such an object.
        """
        if len(text) > _MAX_JSON_LENGTH:
            raise MalformedCeiling(f"longer than {_MAX_JSON_LENGTH}")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise MalformedCeiling("not JSON") from error
        if not isinstance(data, dict) or data.keys() != {"idx", "ceiling_base", "key", "r8", "s"}:
            raise MalformedCeiling("expected an object with idx, ceiling_base, key, r8 and s")
        signature = Signature(_point(data["r8"]), _decimal(data["s"]))
        return cls(_decimal(data["idx"]), _decimal(data["ceiling_base"]), _point(data["key"]), signature)


def settlement_domain(chain_id: int, settlement: str) -> int:
    """``keccak256(abi.encode(uint256 chainId, address settlement)) mod P``, as ``Settlement.domain()``."""
    address = bytes.fromhex(settlement.removeprefix("0x"))
    if len(address) != 20:
        raise ValueError(f"{settlement!r} is not an address")
    return int.from_bytes(keccak(chain_id.to_bytes(32, "big") + address.rjust(32, b"\0")), "big") % P


def key_commitment(key: Point) -> int:
    """``Poseidon(x, y)``: how contract and tree know a session key."""
    return poseidon(key)


def ceiling_message(domain: int, idx: int, ceiling_base: int) -> int:
    """``Poseidon(domain, idx, ceiling)``: the field element that a session key signs."""
    return poseidon((domain, idx, ceiling_base))


def sign_ceiling(secret: int, domain: int, idx: int, ceiling_base: int) -> SignedCeiling:
    """Allow account ``idx`` to have spent up to ``ceiling_base`` base units in total.

    Raises:
        CeilingOutOfRange: index or ceiling outside the protocol's limits.
        InvalidSecret: the secret lies outside ``[1, SUBORDER)``.
    """
    if not _in_range(idx, ceiling_base):
        raise CeilingOutOfRange(idx, ceiling_base)
    signature = sign(secret, ceiling_message(domain, idx, ceiling_base))
    return SignedCeiling(idx, ceiling_base, public_key(secret), signature)


def verify_ceiling(domain: int, ceiling: SignedCeiling) -> bool:
    """True if index, ceiling, key and signature are sound; whose key it is, the caller checks."""
    return _in_range(ceiling.idx, ceiling.ceiling_base) and verify(
        ceiling.key, ceiling_message(domain, ceiling.idx, ceiling.ceiling_base), ceiling.signature
    )


def session_key_typed_data(chain_id: int, settlement: str, index: int = 0) -> dict[str, object]:
    """EIP-712 message whose signature by the wallet gives session key number ``index``."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "SessionKey": [
                {"name": "statement", "type": "string"},
                {"name": "index", "type": "uint256"},
            ],
        },
        "primaryType": "SessionKey",
        "domain": {
            "name": "VIBES Session Key",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": settlement,
        },
        "message": {"statement": _STATEMENT, "index": index},
    }


def derive_session_secret(wallet_signature: bytes) -> int:
    """Session secret in ``[1, SUBORDER)`` from the wallet's signature over ``session_key_typed_data``.

    Only r and s count: wallets write v as 0/1 or as 27/28. The wallet must sign deterministically (RFC 6979,
    low s), as wallets do, or the key cannot be found again.

    Raises:
        MalformedWalletSignature: not 65 bytes, as from a contract wallet.
    """
    if len(wallet_signature) != _WALLET_SIGNATURE_BYTES:
        raise MalformedWalletSignature(len(wallet_signature))
    return 1 + expand(_SECRET_TAG + wallet_signature[:64]) % (SUBORDER - 1)


def _in_range(idx: int, ceiling_base: int) -> bool:
    return 1 <= idx <= MAX_IDX and 0 <= ceiling_base <= MAX_BALANCE_BASE


def _point(value: object) -> Point:
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedCeiling("a point is a list of two decimal strings")
    return _decimal(value[0]), _decimal(value[1])


def _decimal(value: object) -> int:
    if not isinstance(value, str) or not (value.isascii() and value.isdigit()):
        raise MalformedCeiling("a number is a string of decimal digits")
    if len(value) > _MAX_DECIMAL_DIGITS or (value[0] == "0" and value != "0"):
        raise MalformedCeiling("a number has no leading zeros and at most 256 bits")
    return int(value)
