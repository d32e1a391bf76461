"""secp256k1 signatures over 32-byte digests, in the one canonical form that Ethereum uses."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import coincurve

from mini_llm.wallet.address import to_checksum_address
from mini_llm.wallet.keccak import keccak

SIGNATURE_BYTES: Final = 65

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class InvalidSignature(ValueError):
    """A signature that is not in the canonical form r ‖ s ‖ v, or recovers to no key."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"signature: {reason}")
        self.reason = reason


@lru_cache(maxsize=4)
def _private_key(secret: bytes) -> coincurve.PrivateKey:
    return coincurve.PrivateKey(secret)


def sign_digest(digest: bytes, private_key: bytes) -> bytes:
    """Deterministic low-s signature r ‖ s ‖ v (65 bytes, v 27 or 28) over a 32-byte digest.

    Source: RFC 6979 (nonce), EIP-2 (low s).
    """
    signature = _private_key(private_key).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes((signature[64] + 27,))


def signing_address(private_key: bytes) -> str:
    """The checksum address whose signatures a 32-byte private key makes."""
    return _checksum_address(_private_key(private_key).public_key.format(compressed=False))


def recover_address(digest: bytes, signature: bytes) -> str:
    """The checksum address of the key that signed a 32-byte digest.

    Raises:
        InvalidSignature: if the signature is not 65 bytes, has a v other than 27 and 28, a high s (a digest
            has one valid signature per key, so a changed one never passes), or recovers to no key.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature(f"{len(signature)} bytes, not {SIGNATURE_BYTES}")
    if signature[64] not in (27, 28):
        raise InvalidSignature(f"v is {signature[64]}, not 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _ORDER // 2:
        raise InvalidSignature("high s")
    recoverable = signature[:64] + bytes((signature[64] - 27,))
    try:
        key = coincurve.PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception when libsecp256k1 refuses
        raise InvalidSignature("recovers to no key") from error
    return _checksum_address(key.format(compressed=False))


def canonical_signature(signature: bytes) -> bytes:
    """A key's signature with v 27 or 28 where a wallet wrote 0 or 1; others as they are."""
    if len(signature) == SIGNATURE_BYTES and signature[-1] < 2:
        return signature[:-1] + bytes((signature[-1] + 27,))
    return signature


def key_signed(address: str, digest: bytes, signature: bytes) -> bool:
    """Whether the address's own key signed; what else a signature may be, only the chain knows."""
    try:
        return recover_address(digest, canonical_signature(signature)).lower() == address.lower()
    except InvalidSignature:
        return False


@lru_cache(maxsize=4)  # many signatures of few keys: two hashes less for each
def _checksum_address(key: bytes) -> str:
    return to_checksum_address("0x" + keccak(key[1:])[12:].hex())
