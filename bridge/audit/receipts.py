"""Checks a receipts export line by line, then against the totals that the batches anchored."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridge.audit.chain import Progress
from bridge.audit.checks import Mismatch, Place, Tally
from bridge.audit.replay import Batch
from bridge.rollup.receipts import receipts_tree
from mini_llm.wallet.receipt import InvalidReceipt, Receipt, ReceiptDomain, SignedReceipt, recover_signer
from mini_llm.wallet.signature import InvalidSignature

PRICED_TOKENS: Final = 10**6
"""Prices are per million tokens."""


@dataclass(frozen=True, slots=True)
class Entry:
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


@dataclass
class Receipts:
    """All receipts of an export, and what was found of them on the chain; amounts in base units."""

    entries: list[Entry] = field(default_factory=list)
    settled: int = 0
    settled_base: int = 0

    @property
    def unsettled(self) -> int:
        """Receipts whose charge no batch has settled yet."""
        return len(self.entries) - self.settled

    @property
    def unsettled_base(self) -> int:
        """Charges of those."""
        return sum(entry.charge_base for entry in self.entries) - self.settled_base


class Locator:
    """Finds the batch that settles a receipt, by the account's running total."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._totals: dict[int, list[int]] = defaultdict(list)
        self._places: dict[int, list[Place]] = defaultdict(list)
        for batch in batches:
            for idx, (_, after) in batch.spent_base.items():
                self._totals[idx].append(after)
                self._places[idx].append(batch.place)

    def __call__(self, account: int, account_total_base: int, subject: str) -> Place:
        """The place of that batch; one without block and batch if none has settled so much."""
        position = bisect_right(self._totals[account], account_total_base - 1)
        places = self._places[account]
        return places[position].of(subject) if position < len(places) else Place(subject=subject)


@dataclass
class ReceiptAudit:
    """One export under audit.

    Args:
        path: the export, one signed receipt a line.
        domain: chain and contract that the receipts must be for.
        signers: every receipt signer that the contract ever named.
        batches: settled batches.
        tally: counts the checks.
    """

    path: Path
    domain: ReceiptDomain
    signers: Sequence[str]
    batches: Sequence[Batch]
    tally: Tally
    _locate: Locator = field(init=False)

    def __post_init__(self) -> None:
        self._locate = Locator(self.batches)

    def run(self, progress: Progress) -> Receipts:
        """Checks the receipts by themselves, then against the batches.

        Raises:
            Mismatch: the first thing that does not hold.
        """
        receipts = Receipts(self._read(progress))
        by_account, by_partner = _grouped(receipts.entries)
        for idx, chain in sorted(by_account.items()):
            self._check_account(idx, chain)
        for partner_id, chain in sorted(by_partner.items()):
            self._check_partner(partner_id, chain)
        self._check_anchors(receipts, by_account)
        return receipts

    def _read(self, progress: Progress) -> list[Entry]:
        size, read, entries = self.path.stat().st_size, 0, []
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                read += len(line)
                if line.strip():
                    entries.append(self._check_line(number, line))
                if number % 500 == 0:
                    progress("receipts", read, size)
        progress("receipts", size, size)
        return entries

    def _check_line(self, number: int, line: bytes) -> Entry:
        try:
            signed = SignedReceipt.from_text(line)
        except InvalidReceipt as error:
            raise Mismatch(
                "receipt format", Place(subject=f"line {number}"), "a receipt", str(error)
            ) from error
        receipt = signed.receipt
        subject = f"line {number}, account {receipt.account}, receipt {receipt.account_sequence}"
        place = self._locate(receipt.account, receipt.account_total_base, subject)
        self.tally.counts["receipt format"] += 1
        expected = " or ".join(self.signers)
        try:
            signer = recover_signer(signed, self.domain)
        except InvalidSignature as error:
            raise Mismatch("receipt signatures", place, expected, str(error)) from error
        self.tally.require("receipt signatures", place, signer in self.signers, expected, signer)
        self.tally.at_most("receipt charges", place, _price_base(receipt), receipt.charge_base)
        self.tally.require(
            "receipt charges", place, receipt.charge_base > 0, "a charge above 0", receipt.charge_base
        )
        return Entry(
            number, receipt.digest(self.domain), receipt.account, receipt.partner, receipt.charge_base,
            receipt.account_sequence, receipt.partner_sequence,
            receipt.account_total_base, receipt.partner_total_base, receipt.previous_receipt,
        )  # fmt: skip

    def _check_account(self, idx: int, chain: list[Entry]) -> None:
        previous, total_base = bytes(32), 0
        for entry in self._numbered(f"account {idx}", chain, lambda entry: entry.account_sequence):
            place = self._locate(idx, entry.account_total_base, f"line {entry.line}, account {idx}")
            self.tally.equal(
                "receipt chain", place.of(f"{place.subject}, previousReceipt"), previous, entry.previous
            )
            total_base += entry.charge_base
            self.tally.equal("receipt totals", place, total_base, entry.account_total_base)
            previous = entry.digest

    def _check_partner(self, partner_id: int, chain: list[Entry]) -> None:
        subject, total_base = f"partner {partner_id}", 0
        for entry in self._numbered(subject, chain, lambda entry: entry.partner_sequence):
            place = self._locate(entry.account, entry.account_total_base, f"line {entry.line}, {subject}")
            total_base += entry.charge_base
            self.tally.equal("receipt totals", place, total_base, entry.partner_total_base)

    def _numbered(self, subject: str, chain: list[Entry], sequence: Callable[[Entry], int]) -> list[Entry]:
        """The receipts in order of their sequence numbers, which must run from 1 without gaps or repeats."""
        ordered = sorted(chain, key=sequence)
        for expected, entry in enumerate(ordered, start=1):
            place = self._locate(
                entry.account, entry.account_total_base, f"line {entry.line}, sequence of {subject}"
            )
            if sequence(entry) < expected:
                self._repeated(ordered[expected - 2], entry, place)
            self.tally.equal("receipt sequences", place, expected, sequence(entry))
        return ordered

    def _repeated(self, first: Entry, second: Entry, place: Place) -> None:
        """Two receipts with one number: a line too many if they are the same, else proof of fraud."""
        if first.digest == second.digest:
            raise Mismatch("receipt sequences", place, "each receipt once", f"line {first.line} again")
        evidence = tuple(_line(self.path, entry.line) for entry in (first, second))
        raise Mismatch(
            "receipt sequences", place, "one receipt per sequence number",
            f"FRAUD PROOF: two signed receipts, lines {first.line} and {second.line}", evidence,
        )  # fmt: skip

    def _check_anchors(self, receipts: Receipts, by_account: dict[int, list[Entry]]) -> None:
        settled = dict.fromkeys(by_account, 0)
        for batch in self.batches:
            entries: list[Entry] = []
            for idx, (_, after) in sorted(batch.spent_base.items()):
                chain = by_account.get(idx, [])
                first = settled.get(idx, 0)
                last = bisect_right(chain, after, lo=first, key=lambda entry: entry.account_total_base)
                entries += chain[first:last]
                settled[idx] = last
                total_base = chain[last - 1].account_total_base if last else 0
                self.tally.equal(
                    "receipt anchors", batch.place.of(f"account {idx}, receipts up to"), after, total_base
                )
            self._check_batch(batch, entries)
            receipts.settled += len(entries)
            receipts.settled_base += batch.gross_base

    def _check_batch(self, batch: Batch, entries: list[Entry]) -> None:
        root, total_base = receipts_tree([(entry.digest, entry.charge_base) for entry in entries])
        self.tally.equal("receipt anchors", batch.place.of("receipts total"), batch.gross_base, total_base)
        gross: dict[int, int] = defaultdict(int)
        for entry in entries:
            gross[entry.partner] += entry.charge_base
        for partner_id in sorted(gross.keys() | batch.partner_gross_base.keys()):
            place = batch.place.of(f"partner {partner_id}")
            settled_base = batch.partner_gross_base.get(partner_id, 0)
            self.tally.equal("partner receipts", place, gross.get(partner_id, 0), settled_base)
        self.tally.equal("receipt anchors", batch.place.of("receipts root"), batch.receipts_root, root)


def _price_base(receipt: Receipt) -> int:
    """What the tokens cost at the receipt's prices, base units, rounded up once."""
    prompt = receipt.prompt_tokens * receipt.prompt_price_base_per_mtok
    completion = receipt.completion_tokens * receipt.completion_price_base_per_mtok
    return -(-(prompt + completion) // PRICED_TOKENS)


def _grouped(entries: Iterable[Entry]) -> tuple[dict[int, list[Entry]], dict[int, list[Entry]]]:
    """Receipts by account, in order of sequence, and by partner."""
    by_account, by_partner = defaultdict(list), defaultdict(list)
    for entry in entries:
        by_account[entry.account].append(entry)
        by_partner[entry.partner].append(entry)
    for chain in by_account.values():
        chain.sort(key=lambda entry: entry.account_sequence)
    return dict(by_account), dict(by_partner)


def _line(path: Path, number: int) -> Any:
    with path.open("rb") as lines:
        return next(json.loads(line) for at, line in enumerate(lines, start=1) if at == number)
