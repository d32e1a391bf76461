"""Ethereum addresses: 0x and 40 hex digits, whose case may carry a checksum.

eth-utils spells them too, with 4 MB beside it that a router would carry for this alone.

Source: EIP-55.
"""

from __future__ import annotations

import re
from typing import Final

from mini_llm.wallet.keccak import keccak

_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")


def is_address(text: str) -> bool:
    """Whether a text is 0x and 40 hex digits, whatever its case says."""
    return _ADDRESS.fullmatch(text) is not None


def to_checksum_address(address: str) -> str:
    """An address with its checksum, from one in any case."""
    digits = address[2:].lower()
    mask = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if nibble > "7" else digit for digit, nibble in zip(digits, mask, strict=False)
    )


def checksummed(text: str) -> str | None:
    """An address with its checksum; None if it is none, or mixes its case in another way."""
    if not is_address(text):
        return None
    address, digits = to_checksum_address(text), text[2:]
    return address if text == address or digits in (digits.lower(), digits.upper()) else None
