"""Receipts as leaves of a batch's tree: the digests that later receipts carry are those of the receipts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.books import SIGNER, Books, new_books

from router.ledger import read
from router.ledger.leaves import ReceiptLeaf, leaves_between

CHARGES = (700, 1, 99, 345, 6)
TOTAL_BASE = sum(CHARGES)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        for idx in (1, 2):
            books.fund(idx, 10_000)
            for charge_base in CHARGES:
                books.post(books.reserve(idx, 1_000).entry_id, charge_base)
        yield books


def between(
    books: Books, after_base: int, upto_base: int, limit: int = 100, idx: int = 1
) -> list[ReceiptLeaf]:
    return books.ledger.read(lambda connection: leaves_between(connection, idx, after_base, upto_base, limit))


def hashed(books: Books, after_base: int, upto_base: int, idx: int = 1) -> list[ReceiptLeaf]:
    """The same from the receipts themselves."""
    receipts = books.ledger.read(
        lambda connection: read.receipts_between(connection, idx, after_base, upto_base)
    )
    return [
        ReceiptLeaf(
            one.receipt.partner,
            (one.receipt.digest(SIGNER.domain), one.receipt.charge_base),
            one.receipt.account_total_base,
        )
        for one in receipts
    ]


@pytest.mark.parametrize("idx", [1, 2])
@pytest.mark.parametrize(
    ("after_base", "upto_base", "count"),
    [
        (0, TOTAL_BASE, 5),
        (0, 700, 1),
        (700, 800, 2),
        (1_145, TOTAL_BASE, 1),
        (800, 1_144, 0),
        (TOTAL_BASE, 9_999, 0),
    ],
)
def test_leaves_are_the_receipts_digests_and_charges(
    books: Books, idx: int, after_base: int, upto_base: int, count: int
) -> None:
    found = between(books, after_base, upto_base, idx=idx)
    assert found == hashed(books, after_base, upto_base, idx)
    assert len(found) == count


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6])
def test_pages_of_leaves_follow_one_another(books: Books, limit: int) -> None:
    found: list[ReceiptLeaf] = []
    while page := between(books, found[-1].account_total_base if found else 0, TOTAL_BASE, limit):
        assert len(page) <= limit
        found += page
    assert found == hashed(books, 0, TOTAL_BASE)


def test_an_account_without_receipts_has_no_leaves(books: Books) -> None:
    books.fund(3, 10_000)
    assert between(books, 0, 100, idx=3) == []
    assert between(books, 0, 100, idx=4) == []
