"""What the audit checks, and the first thing that does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CHECKS: Final[Mapping[str, str]] = {
    "deployment": "signing domain and circuits are those of this contract",
    "roles": "those in office are who the events say, and rules change slower than anybody can leave",
    "batch order": "batch numbers run from 1 without gaps to the contract's own count",
    "batch calldata": "each batch is a call of settleBatch on this contract that its event repeats",
    "root chain": "each batch starts from the root of the one before, the first from the empty tree",
    "slot words": "every slot word is canonical and every slot keeps the rules of the rollup",
    "deposits": "no batch consumes more than was deposited",
    "session keys": "no batch sets a key that its owner did not ask for",
    "withdrawal requests": "withdrawals are as requested, in full or draining the account",
    "pauses": "no deposit and no batch while they were paused",
    "frozen accounts": "no batch, deposit or request touches an account after it was frozen",
    "state roots": "the tree rebuilt from calldata has each batch's new root",
    "commitments": "C is the Poseidon chain over each batch's words",
    "proofs": "each Groth16 proof holds for (C, r, y) under its registered verifying key",
    "gross sums": "sum of slots = sum of partner words = receipts total = gross of the event",
    "rewards": "rewards stay within the pool, and per account within spent x pool share",
    "partner terms": "each partner's share was the registry's when it was applied, never retroactively",
    "burns": "what was burned is the burn share of gross and left the token's supply",
    "operator signature": "the operator of that time signed the transaction of each batch",
    "withdrawals paid": "served withdrawals and refunds were paid once and in full",
    "deadlines": "whatever had to be overdue was asked for a whole service deadline before",
    "cancelled deposits": "deposits were taken back as announced, less what batches had consumed",
    "freezes": "accounts were frozen at the root of that moment, their deposits refunded and requests void",
    "exits": "each exit paid the balance in the root of the freeze, to the owner, once",
    "partner payouts": "each claim paid floor(gross x bps) less what was paid before, to the payout address",
    "treasury payouts": "fee and treasury claims stay within what was earned",
    "contract views": "root, totals, accounts and partner accounts of the contract equal the replay",
    "token flow": "every token that entered or left the contract is explained by an event",
    "solvency": "the contract holds at least what it owes",
    "receipt format": "every line of the export is one receipt within the limits of the protocol",
    "receipt signatures": "every receipt is signed by the contract's receipt signer",
    "receipt charges": "no receipt charges more than its tokens cost at its prices",
    "receipt sequences": "account and partner sequence numbers run from 1 without gaps or repeats",
    "receipt chain": "each receipt names the digest of its account's previous one",
    "receipt totals": "running totals per account and partner add up",
    "receipt anchors": "the receipts of each batch make its receipts root and total",
    "partner receipts": "each batch's partner words equal the receipts' sums per partner",
    "partner bundles": "one partner's receipts are in the batches' receipts trees and make its part of them",
}
"""Every check by name, in the order in which the report lists them."""

OF_BUNDLES: Final = "partner bundles"
"""The check that needs proof bundles."""
OF_RECEIPTS: Final = frozenset(
    {
        "receipt format", "receipt signatures", "receipt charges", "receipt sequences", "receipt chain",
        "receipt totals", "receipt anchors", "partner receipts",
    }
)  # fmt: skip
"""The checks that need an export of receipts."""


@dataclass(frozen=True)
class Place:
    """Where on the chain something was looked at.

    Args:
        block: block number, None if it concerns no single block.
        batch: batch number, None if it concerns no single batch.
        subject: account, partner, slot, receipt or view in words.
    """

    block: int | None = None
    batch: int | None = None
    subject: str = ""

    def of(self, subject: str) -> Place:
        """The same block and batch, another subject."""
        return Place(self.block, self.batch, subject)


class Mismatch(Exception):
    """The first thing that does not hold; the audit has failed.

    Args:
        check: name of the check, a key of `CHECKS`.
        place: block, batch and subject.
        expected: what it should be (numbers as they are, digests as 0x hex).
        actual: what it is.
        evidence: signed documents that prove it to a third party, if there are any.
    """

    def __init__(
        self, check: str, place: Place, expected: object, actual: object, evidence: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(f"{check}: expected {expected}, found {actual}")
        self.check, self.place, self.expected, self.actual = check, place, expected, actual
        self.evidence = evidence

    def __reduce__(self) -> tuple[Any, ...]:  # crosses from the worker processes
        return type(self), (self.check, self.place, self.expected, self.actual, self.evidence)


@dataclass
class Tally:
    """Counts what held, per check, and stops at the first mismatch."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKS, 0))

    def equal(self, check: str, place: Place, expected: object, actual: object) -> None:
        """Counts if both are equal; raises `Mismatch` otherwise."""
        self.require(check, place, expected == actual, expected, actual)

    def at_most(self, check: str, place: Place, highest: int, actual: int) -> None:
        """Counts if actual is not above highest; raises `Mismatch` otherwise."""
        self.require(check, place, actual <= highest, f"at most {highest}", actual)

    def require(self, check: str, place: Place, holds: bool, expected: object, actual: object) -> None:
        """Counts if it holds; raises `Mismatch` otherwise."""
        if not holds:
            raise Mismatch(check, place, _readable(expected), _readable(actual))
        self.counts[check] += 1


def _readable(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value
