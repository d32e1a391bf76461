"""Batches as people see them: as the chain settled them, found by number, tx, account, partner, receipt."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection, event
from support.books import Books, batch_facts, new_books, owner, session_commit, slot
from support.databases import new_database

from router.ledger import LedgerMismatch, batches, chain, reverse, settled
from router.ledger.models import Kind


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        for idx in (1, 2):
            books.fund(idx, 100_000)
        yield books


def three(books: Books) -> None:
    """Account 1 spends 300 in batch 1 and 700 in batch 3; account 2 spends 50 in batch 2, which rewards 1."""
    books.call(1, 300)
    books.settle(1, slot(1, charge=300, deposit=100_000, key_commit=session_commit(1)), burned_base=15)
    books.call(2, 50)
    books.settle(
        2, slot(1, reward=2), slot(2, charge=50, deposit=100_000, key_commit=session_commit(2)), burned_base=2
    )
    books.call(1, 400)
    books.call(1, 300)
    books.settle(3, slot(1, charge=700), burned_base=35)


def test_a_batch_says_all_that_the_chain_settled(books: Books) -> None:
    three(books)
    found = books.ledger.read(lambda c: batches.batch(c, 2))
    assert found == batches.BatchView(
        number=2,
        tx_hash="0xa" + f"{2:063x}",
        log_index=2,
        block_number=102,
        block_time_s=None,
        gas_used=None,
        size=4,
        accounts=2,
        verifier=owner(0xFE),
        old_root=1,
        new_root=2,
        receipts_root="0x" + f"{2:064x}",
        receipts_total_base=50,
        public_inputs=(2, 2, 3),
        burned_base=2,
        rewarded_base=2,
        settled_total_base=350,
        burned_total_base=17,
        rewarded_total_base=2,
    )
    assert books.ledger.read(lambda c: batches.slots(c, 2)) == [
        batches.SlotView(1, 0, 2, 0, 0, False, None, 300, 99_702),
        batches.SlotView(2, 50, 0, 100_000, 0, False, session_commit(2), 50, 99_950),
    ]
    assert books.ledger.read(lambda c: batches.partner_words(c, 3)) == [batches.PartnerView(1, 700, 1_050)]
    assert books.ledger.read(lambda c: batches.batch(c, 4)) is None
    assert books.ledger.read(lambda c: batches.batch_of_tx(c, "0xa" + f"{3:063x}")).number == 3
    assert books.ledger.read(lambda c: batches.batch_of_tx(c, "0x")) is None
    assert books.ledger.read(batches.accounts_opened) == 2


@pytest.mark.parametrize(
    ("idx", "total_base", "number"),
    [(1, 1, 1), (1, 300, 1), (1, 301, 3), (1, 1_000, 3), (1, 1_001, None), (2, 50, 2), (3, 1, None)],
)
def test_a_receipt_finds_its_batch_by_its_running_total(
    books: Books, idx: int, total_base: int, number: int | None
) -> None:
    three(books)
    found = books.ledger.read(lambda c: batches.batch_of_total(c, idx, total_base))
    assert (None if found is None else found.number) == number


def test_pages_go_backwards(books: Books) -> None:
    three(books)

    def numbers(before: int | None, limit: int) -> list[int]:
        return [one.number for one in books.ledger.read(lambda c: batches.batches(c, before, limit))]

    assert numbers(None, 2) == [3, 2]
    assert numbers(2, 2) == [1]
    assert numbers(1, 2) == []
    of_account = books.ledger.read(lambda c: batches.account_batches(c, 1, limit=2))
    assert [(one.number, slot.spent_base, slot.spent_before_base) for one, slot in of_account] == [
        (3, 1_000, 300),
        (2, 300, 300),
    ]
    rest = books.ledger.read(lambda c: batches.account_batches(c, 1, before=2))
    assert [(one.number, slot.key_commit) for one, slot in rest] == [(1, session_commit(1))]
    of_partner = books.ledger.read(lambda c: batches.partner_batches(c, 1, before=3, limit=1))
    assert [(one.number, word) for one, word in of_partner] == [(2, batches.PartnerView(1, 50, 350))]
    assert books.ledger.read(lambda c: batches.partner_batches(c, 2)) == []


def test_a_batch_that_the_chain_drops_is_gone_until_another_takes_its_place(books: Books) -> None:
    three(books)
    before = books.ledger.read(lambda c: (batches.batches(c), batches.slots(c, 3)))
    for _ in range(2):
        books.ledger.run(lambda c: reverse(c, [(Kind.BATCH, "batch-2"), (Kind.BATCH, "batch-3")]))
    assert [one.number for one in books.ledger.read(batches.batches)] == [1]
    assert books.ledger.read(lambda c: (batches.slots(c, 2), batches.partner_words(c, 3))) == ([], [])
    assert books.ledger.read(lambda c: batches.batch_of_total(c, 1, 301)) is None
    other = batch_facts(2, [slot(1, charge=400)], 20, fork="b")
    books.ledger.run(lambda c: chain.settle_batch(c, other, "batch-2b"))
    assert books.ledger.read(lambda c: batches.batch_of_total(c, 1, 301)).tx_hash[2] == "b"
    books.ledger.run(lambda c: reverse(c, [(Kind.BATCH, "batch-2b")]))
    books.settle(
        2, slot(1, reward=2), slot(2, charge=50, deposit=100_000, key_commit=session_commit(2)), burned_base=2
    )
    books.settle(3, slot(1, charge=700), burned_base=35)
    assert books.ledger.read(lambda c: (batches.batches(c), batches.slots(c, 3))) == before


def test_posted_twice_it_is_kept_once_and_one_that_was_only_posted_is_kept_then(books: Books) -> None:
    three(books)
    before = books.ledger.read(batches.batches)
    books.settle(3, slot(1, charge=700), burned_base=35)
    assert books.ledger.read(batches.batches) == before

    def forget(connection: Connection) -> None:
        for row in connection.exec_driver_sql("SELECT entry_number FROM settled_batch").all():
            settled.drop(connection, row[0])

    books.ledger.run(forget)
    with pytest.raises(LedgerMismatch, match="batches kept"):
        books.settle(3, slot(1, charge=700), burned_base=35)
    books.settle(1, slot(1, charge=300, deposit=100_000, key_commit=session_commit(1)), burned_base=15)
    books.settle(
        2, slot(1, reward=2), slot(2, charge=50, deposit=100_000, key_commit=session_commit(2)), burned_base=2
    )
    books.settle(3, slot(1, charge=700), burned_base=35)
    assert books.ledger.read(batches.batches) == before


def test_gas_comes_later_and_only_to_the_tx_that_it_is_of(books: Books) -> None:
    three(books)
    waiting = books.ledger.read(lambda c: settled.unpriced(c, 2))
    assert [(one.number, one.block_number) for one in waiting] == [(1, 101), (2, 102)]
    books.ledger.run(lambda c: settled.price(c, waiting[0], 371_000, 1_800_000_000))
    moved = settled.Unpriced(2, "0xb", 102)
    books.ledger.run(lambda c: settled.price(c, moved, 371_000, 1_800_000_000))
    first, second = (books.ledger.read(lambda c, n=n: batches.batch(c, n)) for n in (1, 2))
    assert (first.gas_used, first.block_time_s) == (371_000, 1_800_000_000)
    assert (second.gas_used, second.block_time_s) == (None, None)
    assert [one.number for one in books.ledger.read(lambda c: settled.unpriced(c, 9))] == [2, 3]


def test_the_bridge_says_how_it_is_in_place_of_what_it_said_before(books: Books) -> None:
    assert books.ledger.read(batches.bridge_report) is None
    for at_s, document in ((5, {"batches": 1}), (9, {"batches": 2, "alerts": [{"code": "lagging"}]})):
        books.ledger.run(lambda c, d=document, s=at_s: settled.report(c, d, s))
        assert books.ledger.read(batches.bridge_report) == batches.BridgeReport(at_s, document)


def test_every_look_uses_an_index() -> None:
    """SQLite says its plan in words, so it alone is asked."""
    statements: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "settled_" in statement:
            statements.append((statement, parameters))

    def look(connection: Connection) -> list[str]:
        event.listen(connection, "before_cursor_execute", note)
        batches.batches(connection, 3, 1)
        batches.batch_of_tx(connection, "0x")
        batches.batch_of_total(connection, 1, 301)
        batches.slots(connection, 1)
        batches.partner_words(connection, 1)
        batches.account_batches(connection, 1, 3, 1)
        batches.partner_batches(connection, 1, 3, 1)
        settled.unpriced(connection, 1)
        event.remove(connection, "before_cursor_execute", note)
        plans = []
        for statement, parameters in statements:
            explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans += [row[-1] for row in explained]
        return plans

    with new_database("sqlite") as url, new_books(url) as books:
        plans = books.ledger.read(look)
    assert len(statements) == 8
    assert [line for line in plans if "TEMP B-TREE" in line] == []
    assert [line for line in plans if line.startswith("SCAN") and "INDEX" not in line] == []


def test_many_batches_add_up(books: Books) -> None:
    numbers = range(1, 41)
    slots = {number: SimpleNamespace(**vars(slot(1 + number % 2, reward=number))) for number in numbers}
    for number in numbers:
        books.call(1 + number % 2, 20 * number)
        slots[number].charge = 20 * number
        books.settle(number, slots[number], burned_base=number)
    last = books.ledger.read(batches.batches)[0]
    total = sum(numbers)
    assert (last.settled_total_base, last.burned_total_base, last.rewarded_total_base) == (
        20 * total,
        total,
        total,
    )
