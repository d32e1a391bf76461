"""The bridge's store and the ledger go back together, on both databases, wherever a process was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import inspect
from support.books import Books, new_books, owner, session_commit
from support.databases import new_database

from bridge.errors import StoreRewound
from bridge.mirror import mirror
from bridge.sessions import add_indexes
from bridge.state import ChainEvent, ChainState
from bridge.store import Store, open_store, rebuild_state
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


def test_events_are_read_page_by_page_while_others_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.PAGE", 2)
    blocks = range(11, 16)
    store.add_events([event(block, "Paused") for block in blocks], 20, "a20")
    assert [(position, found.block_number) for position, found in store.events_after(0)] == [
        *enumerate(blocks, 1)
    ]
    reading = store.events_after(1)
    assert next(reading)[0] == 2
    store.add_events([event(21, "Unpaused")], 21, "a21")
    assert [position for position, _ in reading] == [3, 4, 5, 6]


def test_who_reads_while_events_are_taken_back_starts_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.PAGE", 2)
    store.add_events([event(block, "Paused") for block in (11, 12, 13)], 20, "a20")
    reading = store.events_after(0)
    next(reading)
    store.rewind(11, "a11")
    store.add_events([event(block, "Unpaused", fork="b") for block in (12, 13)], 20, "b20")
    next(reading)  # of the page that is there
    with pytest.raises(StoreRewound):
        next(reading)


def test_whoever_reads_on_where_nothing_is_left_is_told_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.PAGE", 2)
    store.add_events([event(block, "Paused") for block in (11, 12)], 20, "a20")
    reading = store.events_after(0)
    next(reading), next(reading)
    store.rewind(11, "a11")
    with pytest.raises(StoreRewound):
        next(reading)


def test_what_the_ledger_lacks_is_read_page_by_page_while_it_is_posted(
    store: Store, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add_events(
        [*opening(12), *(event(15, "Deposited", at, idx=1, amount=7) for at in range(4))], 20, "a20"
    )
    monkeypatch.setattr("bridge.store.PAGE", 3)
    assert store.unmirrored_count() == 7
    assert mirror(store, books.ledger) == 7
    assert (store.unmirrored_count(), list(store.unmirrored())) == (0, [])
    assert balance(books) == (5_028, 0)


def test_the_state_is_rebuilt_from_the_start_after_a_rewind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.store.PAGE", 1)
    store.add_events([event(11, "Paused"), event(12, "Paused")], 20, "a20")
    applied: list[str] = []

    def apply(_state: ChainState, found: ChainEvent) -> None:
        applied.append(found.block_hash)
        if len(applied) == 1:
            store.rewind(10, "start")
            store.add_events([event(12, "Unpaused", fork="b")], 20, "b20")

    monkeypatch.setattr(ChainState, "apply", apply)
    rebuild_state(store, 7)
    assert applied == ["a11", "b12"]


def test_a_store_of_an_earlier_release_gets_its_indexes(store: Store) -> None:
    index = "event_name"
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP INDEX {index}")
    with opened(store.engine.url.render_as_string(hide_password=False)) as older:
        assert not inspect(older.engine).has_index("event", index)
        for _ in range(2):
            add_indexes(older.engine)
        assert inspect(older.engine).has_index("event", index)


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
    assert store.unmirrored_count() == 1
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
