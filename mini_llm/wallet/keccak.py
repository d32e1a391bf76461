"""Ethereum's hash. eth-hash wraps the same sponge in Python objects, which cost ten times the hashing."""

from __future__ import annotations

from sha3 import keccak_256


def keccak(data: bytes) -> bytes:
    """keccak-256 of some bytes, 32 bytes: SHA-3 as it was before NIST changed its padding."""
    digest: bytes = keccak_256(data).digest()
    return digest
