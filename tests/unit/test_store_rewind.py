"""The bridge's store and the ledger go back together, on both databases, wherever a process was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from support.books import Books, new_books, owner, session_commit
from support.databases import new_database

from bridge.mirror import mirror
from bridge.state import ChainEvent
from bridge.store import Store, open_store
from router.ledger import read

SETTLEMENT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = open_store(url)
    yield store
    store.engine.dispose()


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with opened(database) as store:
        store.bind(SETTLEMENT, 31337, 10, "start")
        yield store


@pytest.fixture
def books() -> Iterator[Books]:
    with new_database("sqlite") as url, new_books(url) as books:
        yield books


def event(block: int, name: str, log_index: int = 0, fork: str = "a", **args: object) -> ChainEvent:
    return ChainEvent(name, args, block, f"{fork}{block}", f"tx{block}", log_index, 1_800_000_000)


def opening(block: int, fork: str = "a") -> list[ChainEvent]:
    return [
        event(block, "AccountOpened", 0, fork, idx=1, owner=owner(1)),
        event(block, "SessionKeyRequested", 1, fork, idx=1, keyCommit=session_commit(1), deadline=0),
        event(block, "Deposited", 2, fork, idx=1, amount=5_000),
    ]


def names(store: Store) -> list[str]:
    return [found.name for _, found in store.events_after(0)]


def test_the_landmarks_are_start_events_and_tip(store: Store) -> None:
    assert store.landmarks() == [(10, "start")]
    store.add_events([*opening(12), event(15, "Paused")], 20, "a20")
    assert store.landmarks() == [(10, "start"), (12, "a12"), (15, "a15"), (20, "a20")]


def test_a_rewind_moves_events_behind_the_block_and_says_so(store: Store) -> None:
    store.add_events([*opening(12), event(15, "Deposited", idx=1, amount=7)], 20, "a20")
    assert store.rewind(12, "a12") == 1
    assert store.indexed() == (12, "a12")
    assert names(store) == ["AccountOpened", "SessionKeyRequested", "Deposited"]
    assert store.dropped() == [("Deposited", "tx15:0")]
    assert store.rewinds() == 1
    assert store.rewind(10, "start") == 3
    assert names(store) == []
    assert [name for name, _ in store.dropped()][1:] == ["AccountOpened", "SessionKeyRequested", "Deposited"]
    assert store.rewinds() == 2


def test_the_same_transaction_is_stored_again_from_another_block(store: Store) -> None:
    store.add_events(opening(12), 20, "a20")
    store.rewind(10, "start")
    store.add_events(opening(13, "b"), 20, "b20")
    assert [found.block_hash for _, found in store.events_after(0)] == ["b13"] * 3


def balance(books: Books) -> tuple[int, int]:
    account = books.account(1)
    return account.balance_base, account.deficit_base


def test_the_ledger_takes_back_what_was_dropped_before_it_goes_on(store: Store, books: Books) -> None:
    store.add_events([*opening(12), event(15, "Deposited", idx=1, amount=700)], 20, "a20")
    assert mirror(store, books.ledger) == 4
    assert balance(books) == (5_700, 0)
    store.rewind(12, "a12")
    store.add_events([event(16, "Deposited", fork="b", idx=1, amount=300)], 21, "b21")
    assert mirror(store, books.ledger) == 1
    assert balance(books) == (5_300, 0)
    assert store.dropped() == []
    assert mirror(store, books.ledger) == 0


def test_killed_after_posting_and_before_marking_nothing_is_left_behind(store: Store, books: Books) -> None:
    """The store thinks that the ledger never had the event; the chain drops it; it must go all the same."""
    store.add_events(opening(12), 20, "a20")
    mirror(store, books.ledger)
    with opened_again(store) as killed:
        killed.add_events([event(21, "Deposited", idx=1, amount=700)], 21, "a21")
        killed.mark_mirrored = _die  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            mirror(killed, books.ledger)
    assert balance(books) == (5_700, 0)
    assert len(store.unmirrored()) == 1
    store.rewind(20, "a20")
    mirror(store, books.ledger)
    assert balance(books) == (5_000, 0)


def test_killed_between_taking_back_and_noting_it_happens_once(store: Store, books: Books) -> None:
    store.add_events([*opening(12), event(15, "Deposited", idx=1, amount=700)], 20, "a20")
    mirror(store, books.ledger)
    store.rewind(12, "a12")
    with opened_again(store) as killed:
        killed.forget_dropped = _die  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            mirror(killed, books.ledger)
    assert balance(books) == (5_000, 0)
    store.add_events([event(15, "Deposited", fork="b", idx=1, amount=700)], 20, "b20")
    mirror(store, books.ledger)
    assert balance(books) == (5_700, 0)


def test_dropped_twice_before_the_ledger_heard_of_it(store: Store, books: Books) -> None:
    store.add_events([*opening(12), event(15, "Deposited", idx=1, amount=700)], 20, "a20")
    mirror(store, books.ledger)
    for fork in "bc":
        store.rewind(12, "a12")
        store.add_events([event(15, "Deposited", fork=fork, idx=1, amount=700)], 20, f"{fork}20")
    mirror(store, books.ledger)
    assert balance(books) == (5_700, 0)
    assert books.ledger.read(read.deficits) == {}


def opened_again(store: Store) -> AbstractContextManager[Store]:
    """A second instance on the same database, as another process has it."""
    return opened(store.engine.url.render_as_string(hide_password=False))


def _die(*_: object) -> None:
    raise KeyboardInterrupt
