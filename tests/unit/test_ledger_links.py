"""Workers whose calls another process commits: the same outcomes, and nothing lost when a link is cut."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from support.books import SIGNER, TERMS, Books, facts, new_books, reservation

from router.ledger import (
    Charge,
    EntryClosed,
    InsufficientFunds,
    Ledger,
    LedgerClosed,
    PostedCharge,
    Release,
    Renewal,
    Reserved,
    StoredAnswer,
    errors,
    open_account,
    read,
)
from router.ledger.jobs import Awaited
from router.ledger.link import Link
from router.ledger.pipe import GREETING, Pipe
from router.ledger.shared import SharedLedger

DEPOSIT_BASE = 10_000
LONG = b"x" * 3_000_000
"""An answer that no socket takes at once."""


class Unreadable(Exception):
    """Can be pickled and not be read, as a release may have what another one has not."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


@dataclass
class Office:
    """A thread in the place of the process that commits for workers."""

    books: Books
    shared: SharedLedger
    ended: list[int] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self) -> None:
        while not self.over:
            self.ended += self.shared.turn(0.02)

    def stop(self) -> None:
        """It hears nothing more."""
        self.over = True
        self.thread.join()


@pytest.fixture
def office(database: str) -> Iterator[Office]:
    with new_books(database) as books:
        books.fund(1, DEPOSIT_BASE)
        office = Office(books, SharedLedger(books.ledger.engine))
        yield office
        office.stop()
        office.shared.close()


class Worker:
    """A ledger whose calls the office commits. To be made in a loop."""

    def __init__(self, office: Office, name: int = 0) -> None:
        self.losses = 0
        self.told: list[int] = []
        link = Link(office.shared.new_link(name), self.lost)
        self.ledger = Ledger(office.books.ledger.engine, link)
        self.ledger.committed = lambda operations, _: self.told.append(operations)

    def lost(self) -> None:
        self.losses += 1

    async def call(
        self, charge_base: int, answer: StoredAnswer | None = None, key: str | None = None
    ) -> PostedCharge:
        held = await self.ledger.reserve(reservation(1, charge_base, key))
        assert isinstance(held, Reserved)
        return await self.ledger.charge(
            Charge(held.entry_id, facts(charge_base, answer=answer), TERMS, SIGNER)
        )


async def unanswered(office: Office, worker: Worker) -> tuple[Charge, asyncio.Future[PostedCharge]]:
    """A charge of 400 that a worker has asked for, of an office that does nothing more."""
    held = await worker.ledger.reserve(reservation(1, 400))
    office.stop()
    charge = Charge(held.entry_id, facts(400), TERMS, SIGNER)
    waiting = asyncio.ensure_future(worker.ledger.charge(charge))
    await asyncio.sleep(0.05)
    return charge, waiting


async def test_calls_of_two_workers_chain_and_their_own_threads_write_nothing(office: Office) -> None:
    workers = [Worker(office, 0), Worker(office, 1)]
    posted = await asyncio.gather(*(workers[n % 2].call(100 + n) for n in range(20)))
    assert [one.charge_base for one in posted] == [100 + n for n in range(20)]
    assert all(one.receipt is not None for one in posted)
    signed = office.books.ledger.read(lambda c: read.receipts_between(c, 1, 0, DEPOSIT_BASE))
    for before, after in pairwise(one.receipt for one in signed):
        assert after.previous_receipt == before.digest(SIGNER.domain)
    assert len(signed) == 20
    assert all(worker.ledger.commits == 0 for worker in workers)
    assert sum(map(sum, (worker.told for worker in workers))) == 40
    for worker in workers:
        worker.ledger.close()


async def test_refusals_arrive_as_they_were_raised(office: Office) -> None:
    worker = Worker(office)
    with pytest.raises(InsufficientFunds) as refused:
        await worker.ledger.reserve(reservation(1, DEPOSIT_BASE + 1))
    assert (refused.value.available_base, refused.value.needed_base) == (DEPOSIT_BASE, DEPOSIT_BASE + 1)
    held = await worker.ledger.reserve(reservation(1, 10))
    await worker.ledger.void(Release(held.entry_id, "test"))
    with pytest.raises(EntryClosed):
        await worker.ledger.submit(Renewal(held.entry_id, 2_000_000_000))
    worker.ledger.close()


def test_every_refusal_of_the_ledger_may_be_sent() -> None:
    made = errors.BudgetExceeded("key:1:day", 10, 2, 5)
    copy = pickle.loads(pickle.dumps(made))  # noqa: S301
    assert (type(copy), str(copy), vars(copy)) == (type(made), str(made), vars(made))


async def test_one_balance_is_never_overspent_by_two_workers(office: Office) -> None:
    workers = [Worker(office, 0), Worker(office, 1)]
    quote_base = DEPOSIT_BASE // 8
    tried = (workers[n % 2].ledger.reserve(reservation(1, quote_base)) for n in range(30))
    outcomes = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(isinstance(one, Reserved) for one in outcomes) == 8
    assert sum(isinstance(one, InsufficientFunds) for one in outcomes) == 22
    for worker in workers:
        worker.ledger.close()


async def test_what_is_no_operation_on_calls_is_written_by_the_worker_itself(office: Office) -> None:
    worker = Worker(office)
    await worker.call(100)
    await worker.ledger.submit(lambda c: open_account(c, 7, "0x" + "7" * 40))
    assert worker.ledger.commits == 1
    assert (await worker.call(100)).charge_base == 100  # whose copies were of before
    worker.ledger.close()


async def test_closing_commits_what_was_asked_for_in_the_same_turn(office: Office) -> None:
    worker = Worker(office)
    held = await worker.ledger.reserve(reservation(1, 300))
    charge = Charge(held.entry_id, facts(300), TERMS, SIGNER)
    waiting = asyncio.ensure_future(worker.ledger.charge(charge))
    await asyncio.sleep(0)  # it is asked for, and has not left
    worker.ledger.close()
    assert office.books.account(1).balance_base == DEPOSIT_BASE - 300
    assert (await waiting).charge_base == 300
    with pytest.raises(LedgerClosed):
        await worker.ledger.reserve(reservation(1, 1))
    assert (worker.losses, worker.ledger.commits) == (0, 0)


async def test_a_worker_goes_on_by_itself_when_the_office_has_fallen(office: Office) -> None:
    worker = Worker(office)
    _, waiting = await unanswered(office, worker)
    assert worker.ledger.waiting == 1
    office.shared.close()
    assert (await waiting).charge_base == 400
    assert worker.losses == 1
    assert (await worker.call(100)).charge_base == 100
    assert worker.ledger.commits == 3
    worker.ledger.close()


async def test_a_charge_whose_answer_was_lost_is_not_made_twice(office: Office) -> None:
    worker = Worker(office)
    charge, waiting = await unanswered(office, worker)
    done = office.books.ledger.run(charge)  # as the office would have, before it fell
    office.shared.close()
    assert await waiting == done
    assert office.books.account(1).balance_base == DEPOSIT_BASE - 400
    worker.ledger.close()


async def test_a_worker_that_does_not_read_holds_up_nobody(office: Office) -> None:
    awake, asleep = Worker(office, 0), Pipe(office.shared.new_link(1))
    asleep.send(GREETING)
    await awake.call(100, StoredAnswer(200, "application/json", LONG), "key")
    replays = [(number, reservation(1, 100, "key")) for number in range(3)]
    asleep.send(replays)
    assert (await awake.call(100)).charge_base == 100
    received: list[Any] = []
    while not received:  # it wakes up
        received += asleep.receive()
        await asyncio.sleep(0)
    ((_, outcomes),) = received
    assert [(number, result.answer.body == LONG, error) for number, result, error in outcomes] == [
        (number, True, None) for number, _ in replays
    ]
    asleep.close()
    awake.ledger.close()


async def test_a_worker_that_leaves_hears_all_that_it_asked_for(office: Office) -> None:
    awake, leaving = Worker(office, 0), Pipe(office.shared.new_link(1))
    leaving.send(GREETING)
    await awake.call(100, StoredAnswer(200, "application/json", LONG), "key")
    leaving.send([(1, reservation(1, 100, "key"))])
    asked = asyncio.to_thread(leaving.finish)  # it reads no sooner
    await asyncio.sleep(0.1)
    ((_, ((_, replay, error),)),) = await asked
    assert (len(replay.answer.body), error) == (len(LONG), None)
    await awake.call(100)
    assert office.ended == [1]
    awake.ledger.close()


async def test_a_greeting_may_come_in_pieces(office: Office) -> None:
    end = office.shared.new_link(0)
    pickled = pickle.dumps(GREETING)
    for piece in (len(pickled).to_bytes(4, "big"), pickled[:5], pickled[5:]):
        end.sendall(piece)
        await asyncio.sleep(0.05)
    assert office.shared.heard_s(0) is None
    Pipe(end).send([])
    await asyncio.sleep(0.05)
    assert office.shared.heard_s(0) is not None
    assert office.thread.is_alive()
    end.close()


async def test_another_release_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr("router.ledger.link.GREETING", ("0.0.0", "0000"))
        worker = Worker(office)
    assert (await worker.call(100)).charge_base == 100  # by itself
    assert worker.losses == 1
    assert worker.ledger.commits == 2
    assert office.shared.heard_s(0) is None
    worker.ledger.close()


async def test_an_answer_that_cannot_be_read_is_one_that_was_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(office)
    held = await worker.ledger.reserve(reservation(1, 400))
    monkeypatch.setattr("router.ledger.shared._portable", lambda _: Unreadable())
    with pytest.raises(InsufficientFunds):  # by itself
        await worker.ledger.reserve(reservation(1, DEPOSIT_BASE))
    assert worker.losses == 1
    await worker.ledger.void(Release(held.entry_id, "test"))
    worker.ledger.close()


async def test_answers_that_came_before_the_office_fell_count() -> None:
    ours, theirs = socket.socketpair()
    link, office, given_back, losses = Link(ours, lambda: losses.append(1)), Pipe(theirs), [], []
    link.open(given_back.extend, lambda *_: None)
    loop = asyncio.get_running_loop()
    first, second = (Awaited(Renewal("0", 1), future=loop.create_future(), loop=loop) for _ in range(2))
    assert link.ask(first)
    await asyncio.sleep(0)
    _, ((number, _),) = office.receive()
    office.send((0.0, [(number, "done", None)]))
    office.close()
    assert link.ask(second)
    link.close()
    assert (first.future.result(), given_back, losses) == ("done", [second], [1])
    assert not link.ask(second)


def test_messages_arrive_whole_and_in_order() -> None:
    left, right = map(Pipe, socket.socketpair())
    sent = [GREETING, b"", LONG, list(range(100))]
    finished = [left.send(message) for message in sent]
    assert finished[:2] == [True, True]
    assert finished[2:] == [False, False]  # they wait for a reader
    received: list[object] = []
    while len(received) < len(sent):
        received += right.receive()
        left.flush()
    assert received == sent
    left.close()
    with pytest.raises(EOFError):
        right.receive()
    right.close()
