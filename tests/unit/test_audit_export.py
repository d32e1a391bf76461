"""The audit reads an export of any order and size the same way, in one process or several."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stack import labelled_account

from bridge.audit import export as module
from bridge.audit.chain import CannotAudit
from bridge.audit.checks import Mismatch, Tally
from bridge.audit.lines import MAX_COUNTED, MAX_LINE_BYTES
from bridge.audit.receipts import ReceiptAudit, Receipts
from bridge.audit.replay import Batch
from bridge.workers import new_pool
from mini_llm.wallet.receipt import Receipt, ReceiptDomain, SignedReceipt, sign_receipt
from mini_llm.wallet.receipts_tree import receipts_tree
from router.receipts import receipt_line

DOMAIN = ReceiptDomain(31337, "0x" + "12" * 20)
SIGNER = labelled_account("receipt signer")
ACCOUNTS, EACH = 5, 8


def signed(receipt: Receipt) -> SignedReceipt:
    return sign_receipt(receipt, DOMAIN, bytes(SIGNER.key))


def history() -> list[SignedReceipt]:
    """`EACH` receipts for each of some accounts, in turn, from two partners."""
    made: list[SignedReceipt] = []
    accounts: dict[int, Receipt] = {}
    partners: dict[int, Receipt] = {}
    for number in range(ACCOUNTS * EACH):
        account, partner, charge = 1 + number % ACCOUNTS, 1 + number % 2, 100 + number
        mine, theirs = accounts.get(account), partners.get(partner)
        receipt = Receipt(
            request_id=number.to_bytes(32, "big"), account=account, partner=partner, model="m",
            prompt_tokens=charge, completion_tokens=0, prompt_price_base_per_mtok=10**6,
            completion_price_base_per_mtok=0, vibes_per_usd=100, charge_base=charge,
            account_sequence=mine.account_sequence + 1 if mine else 1,
            partner_sequence=theirs.partner_sequence + 1 if theirs else 1,
            account_total_base=charge + (mine.account_total_base if mine else 0),
            partner_total_base=charge + (theirs.partner_total_base if theirs else 0),
            previous_receipt=mine.digest(DOMAIN) if mine else bytes(32), time=number, prompt_hash=bytes(32),
        )  # fmt: skip
        accounts[account] = partners[partner] = receipt
        made.append(signed(receipt))
    return made


HISTORY = history()


def batch(number: int, taken: list[Receipt], spent_base: dict[int, tuple[int, int]]) -> Batch:
    ordered = sorted(taken, key=lambda receipt: (receipt.account, receipt.account_sequence))
    root, total_base = receipts_tree([(receipt.digest(DOMAIN), receipt.charge_base) for receipt in ordered])
    gross = {
        partner: sum(receipt.charge_base for receipt in taken if receipt.partner == partner)
        for partner in {receipt.partner for receipt in taken}
    }
    return Batch(number, 10 + number, f"0x{number}", 4, (), spent_base, gross, root, total_base, 0, 0)


def settled_in_two() -> list[Batch]:
    """Each account's first three receipts, then the next three but for account 1; two and five stay open."""
    receipts = [made.receipt for made in HISTORY]
    first = [receipt for receipt in receipts if receipt.account_sequence <= 3]
    second = [receipt for receipt in receipts if 3 < receipt.account_sequence <= 6 and receipt.account != 1]
    reached = {
        (receipt.account, receipt.account_sequence): receipt.account_total_base for receipt in receipts
    }
    return [
        batch(1, first, {idx: (0, reached[idx, 3]) for idx in range(1, ACCOUNTS + 1)}),
        batch(2, second, {idx: (reached[idx, 3], reached[idx, 6]) for idx in range(2, ACCOUNTS + 1)}),
    ]


BATCHES = settled_in_two()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_LINES", 3)


def write(path: Path, receipts: list[SignedReceipt]) -> Path:
    path.write_text("".join(receipt_line(made) + "\n" for made in receipts))
    return path


def run(path: Path, processes: int = 1, batches: list[Batch] = BATCHES) -> Receipts:
    tally = Tally()
    audit = ReceiptAudit(path, DOMAIN, [SIGNER.address], batches, tally, processes)
    return audit.run(lambda stage, done, total: None)


def mismatch(path: Path, processes: int = 1, batches: list[Batch] = BATCHES) -> Mismatch:
    with pytest.raises(Mismatch) as found:
        run(path, processes, batches)
    return found.value


def facts(found: Mismatch) -> tuple[Any, ...]:
    return found.check, found.place, found.expected, found.actual


@settings(max_examples=20)
@given(order=st.permutations(range(len(HISTORY))))
def test_the_order_of_lines_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    path = write(tmp_path_factory.mktemp("export") / "r.jsonl", [HISTORY[at] for at in order])
    found = run(path)
    assert (found.count, found.settled, found.unsettled) == (40, 27, 13)
    assert found.settled_base == sum(batch.gross_base for batch in BATCHES)
    assert found.settled_base + found.unsettled_base == sum(made.receipt.charge_base for made in HISTORY)


def test_processes_find_what_one_finds(tmp_path: Path, small_chunks: None) -> None:
    path = write(tmp_path / "r.jsonl", HISTORY)
    assert run(path, processes=2) == run(path, processes=1)
    # three lines that do not hold, each in a chunk of its own: the first is named, whoever is quicker
    receipts = list(HISTORY)
    for at in (31, 17, 8):
        forged = replace(receipts[at].receipt, model="another")
        receipts[at] = replace(receipts[at], receipt=forged)
    path = write(tmp_path / "forged.jsonl", receipts)
    found = [facts(mismatch(path, processes)) for processes in (1, 2)]
    assert found[0] == found[1]
    assert (found[0][0], found[0][1].subject) == ("receipt signatures", "line 9, account 4, receipt 2")
    assert (found[0][1].batch, found[0][1].block) == (1, 11)


def test_a_killed_worker_is_no_verdict(
    tmp_path: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_pool(processes: int) -> ProcessPoolExecutor:
        pool = new_pool(processes)
        killed = pool.submit(os.getpid).result()
        waiting = pool.submit(time.sleep, 60)
        os.kill(killed, signal.SIGKILL)
        assert isinstance(waiting.exception(30), BrokenProcessPool)
        return pool

    monkeypatch.setattr(module, "new_pool", killed_pool)
    path = write(tmp_path / "r.jsonl", HISTORY)
    with pytest.raises(CannotAudit, match="killed"):
        run(path, processes=2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account": 2**24}, "account"),
        ({"partner": 2**16}, "partner"),
        ({"charge_base": 2**54, "prompt_tokens": 2**54}, "chargeBase"),
        ({"account_sequence": MAX_COUNTED + 1}, "accountSequence"),
        ({"partner_sequence": MAX_COUNTED + 1}, "partnerSequence"),
        ({"account_total_base": MAX_COUNTED + 1}, "accountTotalBase"),
        ({"partner_total_base": 2**255}, "partnerTotalBase"),
    ],
)
def test_a_receipt_beyond_the_limits_is_refused(tmp_path: Path, changes: dict[str, int], field: str) -> None:
    beyond = signed(replace(HISTORY[7].receipt, **changes))
    found = mismatch(write(tmp_path / "r.jsonl", [*HISTORY[:7], beyond, *HISTORY[8:]]))
    assert (found.check, found.place.subject) == ("receipt format", "line 8")
    assert field in str(found.actual)


@pytest.mark.parametrize("blanks_first", [True, False])
def test_a_line_that_is_too_long_is_refused(tmp_path: Path, blanks_first: bool) -> None:
    path, blanks = write(tmp_path / "r.jsonl", HISTORY[:3]), " " * (MAX_LINE_BYTES + 1)
    with path.open("a") as file:
        file.write("\n" + (blanks if blanks_first else "") + receipt_line(HISTORY[3]) + blanks + "\n")
    found = mismatch(path)
    assert (found.check, found.place.subject) == ("receipt format", "line 5")
    assert "longer than" in str(found.actual)


def test_a_sequence_that_starts_at_zero_is_no_fraud_proof(tmp_path: Path) -> None:
    zero = signed(replace(HISTORY[0].receipt, account_sequence=0))
    found = mismatch(write(tmp_path / "r.jsonl", [zero, *HISTORY[1:]]))
    assert (found.check, found.expected, found.actual) == ("receipt sequences", 1, 0)


@pytest.mark.parametrize("left_out", [(2,), (3, 5), (5,)])
def test_accounts_without_receipts_are_named_lowest_first(tmp_path: Path, left_out: tuple[int, ...]) -> None:
    kept, partners = [], {1: (0, 0), 2: (0, 0)}
    for made in HISTORY:
        if made.receipt.account not in left_out:
            sequence, total_base = partners[made.receipt.partner]
            moved = replace(
                made.receipt,
                partner_sequence=sequence + 1,
                partner_total_base=total_base + made.receipt.charge_base,
                previous_receipt=bytes(32),
            )
            partners[moved.partner] = (moved.partner_sequence, moved.partner_total_base)
            kept.append(moved)
    chained: dict[int, bytes] = {}
    for at, receipt in enumerate(kept):
        kept[at] = replace(receipt, previous_receipt=chained.get(receipt.account, bytes(32)))
        chained[receipt.account] = kept[at].digest(DOMAIN)
    found = mismatch(write(tmp_path / "r.jsonl", [signed(receipt) for receipt in kept]))
    assert (found.check, found.place.batch) == ("receipt anchors", 1)
    assert found.place.subject == f"account {min(left_out)}, receipts up to"
    assert found.actual == 0
