"""Follows the receipts of an export account by account and holds them against what the batches anchored."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from bridge.audit.checks import Mismatch, Place, Tally
from bridge.audit.export import Spool, check_export, read_line, spool
from bridge.audit.lines import Entry
from bridge.audit.replay import Batch
from bridge.progress import Progress
from mini_llm.wallet.receipt import ReceiptDomain
from mini_llm.wallet.receipts_tree import ReceiptsTree


@dataclass
class Receipts:
    """How many receipts an export has, and what was found of them on the chain; amounts in base units."""

    count: int = 0
    total_base: int = 0
    settled: int = 0
    settled_base: int = 0

    @property
    def unsettled(self) -> int:
        """Receipts whose charge no batch has settled yet."""
        return self.count - self.settled

    @property
    def unsettled_base(self) -> int:
        """Charges of those."""
        return self.total_base - self.settled_base


@dataclass
class Anchor:
    """What an export has for one batch.

    Args:
        short: (account, its charges up to the batch, its receipts up to there) of the first account whose
            receipts do not reach as far as the batch does; amounts in base units.
    """

    batch: Batch
    tree: ReceiptsTree = field(default_factory=ReceiptsTree)
    gross_base: Counter[int] = field(default_factory=Counter)
    count: int = 0
    short: tuple[int, int, int] | None = None

    def add(self, entry: Entry) -> None:
        """Takes the next receipt, in the order of account and sequence."""
        self.tree.add((entry.digest, entry.charge_base))
        self.gross_base[entry.partner] += entry.charge_base
        self.count += 1

    def close(self, idx: int, total_base: int) -> None:
        """Notes how far the receipts of one of the batch's accounts reach."""
        after = self.batch.spent_base[idx][1]
        if after != total_base and (self.short is None or idx < self.short[0]):
            self.short = (idx, after, total_base)

    def check(self, tally: Tally) -> None:
        """Compares sums, partners and root with the batch.

        Raises:
            Mismatch: the first that differs.
        """
        batch, place = self.batch, self.batch.place
        if self.short is not None:
            idx, after, total_base = self.short
            tally.equal("receipt anchors", place.of(f"account {idx}, receipts up to"), after, total_base)
        tally.counts["receipt anchors"] += len(batch.spent_base)
        root, total_base = self.tree.root
        tally.equal("receipt anchors", place.of("receipts total"), batch.gross_base, total_base)
        for partner_id in sorted(self.gross_base.keys() | batch.partner_gross_base.keys()):
            settled_base = batch.partner_gross_base.get(partner_id, 0)
            subject = place.of(f"partner {partner_id}")
            tally.equal("partner receipts", subject, self.gross_base[partner_id], settled_base)
        tally.equal("receipt anchors", place.of("receipts root"), batch.receipts_root, root)


@dataclass
class ReceiptAudit:
    """One export under audit; its memory does not grow with the number of receipts.

    Args:
        path: the export, one signed receipt a line.
        domain: chain and contract that the receipts must be for.
        signers: every receipt signer that the contract ever named.
        batches: settled batches.
        tally: counts the checks.
        processes: how many check signatures.
    """

    path: Path
    domain: ReceiptDomain
    signers: Sequence[str]
    batches: Sequence[Batch]
    tally: Tally
    processes: int = 1
    _anchors: list[Anchor] = field(init=False)
    _by_account: dict[int, list[Anchor]] = field(init=False)

    def __post_init__(self) -> None:
        self._anchors = [Anchor(batch) for batch in self.batches]
        self._by_account = defaultdict(list)
        for anchor in self._anchors:
            for idx in anchor.batch.spent_base:
                self._by_account[idx].append(anchor)

    def run(self, progress: Progress) -> Receipts:
        """Checks the receipts by themselves, then by account, by partner and against the batches.

        The first mismatch is the same on every run: lines in their order, accounts and partners rising, then
        batches.

        Raises:
            Mismatch: the first thing that does not hold.
        """
        with spool() as receipts:
            found = self._read(receipts, progress)
            self._check_accounts(receipts.by_account(), found.count, progress)
            for partner_id, chain in groupby(receipts.by_partner(), lambda entry: entry.partner):
                self._check_partner(partner_id, chain)
        for anchor in self._anchors:
            anchor.check(self.tally)
            found.settled += anchor.count
            found.settled_base += anchor.batch.gross_base
        return found

    def _read(self, receipts: Spool, progress: Progress) -> Receipts:
        found = Receipts()
        for checked in check_export(self.path, self.domain, self.signers, self.processes, progress):
            for name, count in checked.counts.items():
                self.tally.counts[name] += count
            if checked.refused is not None:
                refused, found_at = checked.refused.mismatch, checked.refused
                place = self._place(found_at.account, found_at.account_total_base, refused.place.subject)
                raise Mismatch(refused.check, place, refused.expected, refused.actual)
            receipts.add(checked.entries)
            found.count += len(checked.entries)
            found.total_base += sum(entry.charge_base for entry in checked.entries)
        return found

    def _check_accounts(self, entries: Iterator[Entry], count: int, progress: Progress) -> None:
        unseen, done = dict(self._by_account), 0
        for idx, chain in groupby(entries, lambda entry: entry.account):
            done += self._check_account(idx, chain, unseen.pop(idx, []))
            progress("accounts of receipts", done, count)
        for idx, anchors in unseen.items():
            for anchor in anchors:
                anchor.close(idx, 0)

    def _check_account(self, idx: int, chain: Iterator[Entry], anchors: list[Anchor]) -> int:
        subject, previous, total_base, reached, count = f"account {idx}", bytes(32), 0, 0, 0
        for entry in self._numbered(subject, chain, "account_sequence"):
            self._equal("receipt chain", entry, f"{subject}, previousReceipt", previous, entry.previous)
            after_base = total_base + entry.charge_base
            self._equal("receipt totals", entry, subject, after_base, entry.account_total_base)
            while reached < len(anchors) and after_base > anchors[reached].batch.spent_base[idx][1]:
                anchors[reached].close(idx, total_base)
                reached += 1
            if reached < len(anchors):
                anchors[reached].add(entry)
            previous, total_base, count = entry.digest, after_base, count + 1
        for anchor in anchors[reached:]:
            anchor.close(idx, total_base)
        return count

    def _check_partner(self, partner_id: int, chain: Iterator[Entry]) -> None:
        subject, total_base = f"partner {partner_id}", 0
        for entry in self._numbered(subject, chain, "partner_sequence"):
            total_base += entry.charge_base
            self._equal("receipt totals", entry, subject, total_base, entry.partner_total_base)

    def _numbered(self, subject: str, chain: Iterator[Entry], sequence: str) -> Iterator[Entry]:
        """The receipts, whose sequence numbers must run from 1 without gaps or repeats."""
        last: Entry | None = None
        for expected, entry in enumerate(chain, start=1):
            number = getattr(entry, sequence)
            if last is not None and number < expected:
                self._repeated(last, entry, f"sequence of {subject}")
            self._equal("receipt sequences", entry, f"sequence of {subject}", expected, number)
            last = entry
            yield entry

    def _repeated(self, first: Entry, second: Entry, subject: str) -> None:
        """Two receipts with one number: a line too many if they are the same, else proof of fraud."""
        place = self._entry_place(second, subject)
        if first.digest == second.digest:
            raise Mismatch("receipt sequences", place, "each receipt once", f"line {first.line} again")
        evidence = tuple(json.loads(read_line(self.path, entry.line)) for entry in (first, second))
        raise Mismatch(
            "receipt sequences", place, "one receipt per sequence number",
            f"FRAUD PROOF: two signed receipts, lines {first.line} and {second.line}", evidence,
        )  # fmt: skip

    def _equal(self, check: str, entry: Entry, subject: str, expected: object, actual: object) -> None:
        """`Tally.equal`, a million times: the place is only worked out where something differs."""
        if expected == actual:
            self.tally.counts[check] += 1
        else:
            self.tally.equal(check, self._entry_place(entry, subject), expected, actual)

    def _entry_place(self, entry: Entry, subject: str) -> Place:
        return self._place(entry.account, entry.account_total_base, f"line {entry.line}, {subject}")

    def _place(self, account: int, account_total_base: int, subject: str) -> Place:
        """Where a receipt is settled; a place without block and batch if no batch has settled so much."""
        anchors = self._by_account.get(account, [])
        at = bisect_left(anchors, account_total_base, key=lambda anchor: anchor.batch.spent_base[account][1])
        return anchors[at].batch.place.of(subject) if at < len(anchors) else Place(subject=subject)
