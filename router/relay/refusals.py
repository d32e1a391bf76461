"""What the contracts say of a deposit that they would not take, in words for its owner.

Source: contracts/src/interfaces/ISettlement.sol and IVibesToken.sol, EIP-6093.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.money import vibes
from router.relay.eip3009 import revert_data
from router.relay.errors import DepositRefused

_SELECTOR_BYTES: Final = 4
_WORD_BYTES: Final = 32

_Words = Callable[[Sequence[int]], str]


def _row(error: str, code: str, words: str | _Words) -> tuple[bytes, tuple[str, str | _Words]]:
    return keccak(error.encode())[:_SELECTOR_BYTES], (code, words)


_REFUSALS: Final = dict(
    (
        _row(
            "ERC20InsufficientBalance(address,uint256,uint256)",
            "too_few_tokens",
            lambda told: f"the wallet has {vibes(told[1])} VIBES, the deposit is {vibes(told[2])}",
        ),
        _row(
            "DepositTooSmall(uint256,uint256)",
            "deposit_too_small",
            lambda told: f"a first deposit is at least {vibes(told[1])} VIBES",
        ),
        _row(
            "InvalidKeyCommit(uint256)",
            "wrong_session_key",
            "a first deposit names a session key, a later one does not: load the page again",
        ),
        _row(
            "InvalidAuthorizationSignature()",
            "bad_signature",
            "the signature is not this wallet's for this deposit",
        ),
        _row(
            "AuthorizationUsedOrCanceled(address,bytes32)",
            "authorization_used",
            "this signature was used or cancelled: sign anew",
        ),
        _row("AuthorizationExpired(uint256)", "expired", "the signature is too old: sign anew"),
        _row("AuthorizationNotYetValid(uint256)", "not_valid_yet", "the signature is not valid yet"),
        _row("AccountIsFrozen(uint256)", "account_frozen", "the account was left: it takes no deposits"),
        _row("InvalidAmount(uint256)", "bad_amount", "the account would hold more than the contract takes"),
        _row("IsPaused()", "paused", "the contract takes no deposits just now: its guardian paused it"),
        _row("TreeFull()", "full", "the contract has no room for another account"),
    )
)


def refusal(data: object) -> DepositRefused:
    """Why, from what a node returned of the reverted call."""
    told = revert_data(data)
    known = _REFUSALS.get(told[:_SELECTOR_BYTES])
    if known is None:
        return DepositRefused("refused", "the contract would refuse this deposit")
    code, words = known
    if not isinstance(words, str):
        body = told[_SELECTOR_BYTES:].ljust(3 * _WORD_BYTES, b"\0")
        starts = range(0, 3 * _WORD_BYTES, _WORD_BYTES)
        words = words([int.from_bytes(body[at : at + _WORD_BYTES], "big") for at in starts])
    return DepositRefused(code, words)
