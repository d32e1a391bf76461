"""Where a call's charge is, as the pages of requests say it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.books import Books, new_books, session_commit, slot

from router.ledger import read
from router.web.settled import Stage, settlements

DEPOSIT_BASE = 100_000


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, DEPOSIT_BASE)
        yield books


def stages(books: Books) -> dict[int, tuple[Stage, int | None]]:
    """Stage and batch of the account's calls, by their charge."""
    calls = books.ledger.read(lambda connection: read.calls_of(connection, 1))
    found = books.ledger.read(lambda connection: settlements(connection, calls))
    told = {call.charge_base: found[call.entry_id] for call in calls}
    return {charge: (one.stage, one.batch and one.batch.number) for charge, one in told.items()}


def test_a_charge_waits_for_its_batch_and_what_was_free_for_none(books: Books) -> None:
    for charge_base in (300, 0, 400):
        books.post(books.reserve(1, 500).entry_id, charge_base)
    free = (Stage.FREE, None)
    assert stages(books) == {300: (Stage.WAITING, None), 0: free, 400: (Stage.WAITING, None)}
    first = slot(1, charge=300, deposit=DEPOSIT_BASE, key_commit=session_commit(1))
    books.settle(1, first, burned_base=15)
    assert stages(books) == {300: (Stage.SETTLED, 1), 0: free, 400: (Stage.WAITING, None)}
    books.settle(2, slot(1, charge=400), burned_base=20)
    assert stages(books) == {300: (Stage.SETTLED, 1), 0: free, 400: (Stage.SETTLED, 2)}
