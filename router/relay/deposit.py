"""A deposit as a wallet signs it: one EIP-3009 authorisation that the settlement contract alone may execute.

The authorisation's nonce is a hash of the session key's commitment, so that whoever sends the deposit cannot
attach another key.

Source: EIP-3009 (`receiveWithAuthorization`), EIP-712; contracts/src/interfaces/ISettlement.sol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mini_llm.wallet.keccak import keccak
from router.relay.eip3009 import Authorization, address_word, word

ENDPOINT: Final = "/v1/deposits"
"""Where deposits are taken, and what they are registered under."""
MAX_VALID_S: Final = 86_400
"""Seconds that a signature may be good for at most: what is signed is done soon or never."""
_CALL: Final = keccak(
    b"depositWithAuthorization(address,uint256,uint256,bytes32,uint256,uint256,uint8,bytes32,bytes32)"
)[:4]


@dataclass(frozen=True)
class DepositOrder:
    """A signed deposit.

    Args:
        payer: address that signs, pays and owns the account, lower case.
        amount_base: base units, below 2^54.
        key_commit: session key commitment for a first deposit, 0 for a later one.
        salt: 32 random bytes.
        valid_after_s, valid_before_s: unix seconds, exclusive.
        signature: 65 bytes, v 27 or 28.
    """

    payer: str
    amount_base: int
    key_commit: int
    salt: bytes
    valid_after_s: int
    valid_before_s: int
    signature: bytes

    def authorization(self, settlement: str) -> Authorization:
        """The order to the token, for the contract at `settlement`."""
        return Authorization(
            payer=self.payer,
            payee=settlement,
            value_base=self.amount_base,
            valid_after_s=self.valid_after_s,
            valid_before_s=self.valid_before_s,
            nonce=keccak(word(self.key_commit) + self.salt),
            signature=self.signature,
        )

    def call_data(self) -> bytes:
        """The contract's call that executes the order."""
        r, s, v = self.signature[:32], self.signature[32:64], self.signature[64]
        amounts = word(self.amount_base) + word(self.key_commit)
        window = word(self.valid_after_s) + word(self.valid_before_s)
        return _CALL + address_word(self.payer) + amounts + self.salt + window + word(v) + r + s
