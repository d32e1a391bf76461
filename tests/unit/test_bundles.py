"""Proof bundles, made piece by piece: however they are cut, they tell the whole tree of the batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.books import SIGNER, TERMS, Books, new_books, session_commit, slot
from support.bundles import root_of_tiles

from mini_llm.wallet.receipts_tree import Leaf, Subtree, receipts_tree
from router import bundles
from router.ledger import read

CALLS = ((1, 700, 1), (1, 1, 2), (2, 99, 2), (1, 5, 1), (2, 345, 1), (1, 7, 2), (2, 6, 2), (1, 8, 1))
"""(account, charge, partner) of the batch, in the order of the calls."""


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    """Two accounts; the calls before the batch and after it are none of its."""
    with new_books(database) as books:
        for idx in (1, 2):
            books.fund(idx, 10_000)
            books.call(idx, 50)
        settle(books, 1, {1: 50, 2: 50}, deposit=10_000)
        for idx, charge_base, partner_id in CALLS:
            books.call(idx, charge_base, replace(TERMS, partner_id=partner_id))
        settle(books, 2, {idx: sum(c for who, c, _ in CALLS if who == idx) for idx in (1, 2)})
        books.call(1, 60)
        yield books


def settle(books: Books, number: int, charges: dict[int, int], deposit: int = 0) -> None:
    slots = [
        slot(idx, charge=charge, deposit=deposit, key_commit=session_commit(idx) if deposit else 0)
        for idx, charge in charges.items()
    ]
    books.settle(number, *slots)


def pieces(books: Books, partner_id: int) -> Iterator[Leaf | Subtree]:
    found = books.ledger.read(lambda c: bundles.find_bundle(c, SIGNER.domain, 2, 1))
    assert found is not None
    _, *lines = b"".join(replace(found, partner_id=partner_id).lines(books.ledger)).splitlines()
    for line in lines:
        told: list[Any] = json.loads(line)
        node = bytes.fromhex(told[-2][2:]), int(told[-1])
        yield node if len(told) == 2 else Subtree(told[0], node)


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
@pytest.mark.parametrize("partner_id", [1, 2, 3])
def test_a_bundle_tells_the_whole_tree(
    books: Books, monkeypatch: pytest.MonkeyPatch, chunk: int, partner_id: int
) -> None:
    monkeypatch.setattr(bundles, "CHUNK_RECEIPTS", chunk)
    receipts = [one.receipt for one in books.ledger.read(lambda c: list(read.iter_receipts(c)))]
    settled = [one for one in receipts if one.charge_base not in (50, 60)]
    leaves = [(one.digest(SIGNER.domain), one.charge_base) for one in settled]
    told = list(pieces(books, partner_id))
    assert root_of_tiles(told) == receipts_tree(leaves)
    assert [one for one in told if not isinstance(one, Subtree)] == [
        leaf for leaf, one in zip(leaves, settled, strict=True) if one.partner == partner_id
    ]


@pytest.mark.parametrize(("number", "partner_id"), [(3, 1), (2, 2), (0, 1)])
def test_there_is_no_bundle_of_what_was_not_settled(books: Books, number: int, partner_id: int) -> None:
    """The batch's words name partner 1 only."""
    assert books.ledger.read(lambda c: bundles.find_bundle(c, SIGNER.domain, number, partner_id)) is None
