"""Checks single lines of a receipts export: format, signature and price. Pure, fit for worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.audit.checks import Mismatch, Place, Tally
from bridge.rollup.batch import PARTNER_ID_BITS
from mini_llm.wallet.limits import MAX_AMOUNT_BASE, MAX_IDX
from mini_llm.wallet.receipt import InvalidReceipt, Receipt, ReceiptDomain, SignedReceipt, recover_signer
from mini_llm.wallet.signature import InvalidSignature

PRICED_TOKENS: Final = 10**6
"""Prices are per million tokens."""

MAX_LINE_BYTES: Final = 65_536
"""Longest line of an export; a receipt with every field at its widest needs less than 2,000."""

MAX_COUNTED: Final = 2**63 - 1
"""Largest sequence number and running total that the audit follows: SQLite's largest integer, and 900 times
all tokens that can exist."""


class Entry(NamedTuple):
    """What is kept of a receipt; amounts in base units."""

    line: int
    digest: bytes
    account: int
    partner: int
    charge_base: int
    account_sequence: int
    partner_sequence: int
    account_total_base: int
    partner_total_base: int
    previous: bytes


@dataclass(frozen=True)
class Refused:
    """A line that does not hold, and the account and running total by which its batch is found.

    Both are 0 if the line is no receipt at all.
    """

    mismatch: Mismatch
    account: int = 0
    account_total_base: int = 0


@dataclass(frozen=True)
class Checked:
    """Lines that hold, in order, what was counted of them, and the first that does not, if there is one."""

    entries: tuple[Entry, ...]
    counts: dict[str, int]
    refused: Refused | None


def check_lines(domain: ReceiptDomain, signers: Sequence[str], lines: Sequence[tuple[int, bytes]]) -> Checked:
    """Checks lines one by one and stops at the first that does not hold.

    Args:
        domain: chain and contract that the receipts must be for.
        signers: who may have signed them.
        lines: (line number, text) without empty ones.
    """
    tally = Tally()
    entries: list[Entry] = []
    for number, text in lines:
        try:
            signed = _read(number, text)
        except Mismatch as mismatch:
            return Checked(tuple(entries), tally.counts, Refused(mismatch))
        receipt = signed.receipt
        try:
            entries.append(_check(domain, signers, number, signed, tally))
        except Mismatch as mismatch:
            refused = Refused(mismatch, receipt.account, receipt.account_total_base)
            return Checked(tuple(entries), tally.counts, refused)
    return Checked(tuple(entries), tally.counts, None)


def _read(number: int, text: bytes) -> SignedReceipt:
    try:
        if len(text) > MAX_LINE_BYTES:
            raise InvalidReceipt("receipt", f"longer than {MAX_LINE_BYTES} bytes")
        signed = SignedReceipt.from_text(text)
        _check_limits(signed.receipt)
    except InvalidReceipt as error:
        raise Mismatch("receipt format", Place(subject=f"line {number}"), "a receipt", str(error)) from error
    return signed


def _check_limits(receipt: Receipt) -> None:
    for name, value, highest in (
        ("account", receipt.account, MAX_IDX),
        ("partner", receipt.partner, (1 << PARTNER_ID_BITS) - 1),
        ("chargeBase", receipt.charge_base, MAX_AMOUNT_BASE),
        ("accountSequence", receipt.account_sequence, MAX_COUNTED),
        ("partnerSequence", receipt.partner_sequence, MAX_COUNTED),
        ("accountTotalBase", receipt.account_total_base, MAX_COUNTED),
        ("partnerTotalBase", receipt.partner_total_base, MAX_COUNTED),
    ):
        if value > highest:
            raise InvalidReceipt(name, f"{value} is above {highest}")


def _check(
    domain: ReceiptDomain, signers: Sequence[str], number: int, signed: SignedReceipt, tally: Tally
) -> Entry:
    receipt = signed.receipt
    place = Place(subject=f"line {number}, account {receipt.account}, receipt {receipt.account_sequence}")
    tally.counts["receipt format"] += 1
    expected = " or ".join(signers)
    try:
        signer = recover_signer(signed, domain)
    except InvalidSignature as error:
        raise Mismatch("receipt signatures", place, expected, str(error)) from error
    tally.require("receipt signatures", place, signer in signers, expected, signer)
    tally.at_most("receipt charges", place, _price_base(receipt), receipt.charge_base)
    charged = receipt.charge_base > 0
    tally.require("receipt charges", place, charged, "a charge above 0", receipt.charge_base)
    return Entry(
        number, receipt.digest(domain), receipt.account, receipt.partner, receipt.charge_base,
        receipt.account_sequence, receipt.partner_sequence,
        receipt.account_total_base, receipt.partner_total_base, receipt.previous_receipt,
    )  # fmt: skip


def _price_base(receipt: Receipt) -> int:
    """What the tokens cost at the receipt's prices, base units, rounded up once."""
    prompt = receipt.prompt_tokens * receipt.prompt_price_base_per_mtok
    completion = receipt.completion_tokens * receipt.completion_price_base_per_mtok
    return -(-(prompt + completion) // PRICED_TOKENS)
