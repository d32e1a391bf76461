"""Races: many callers, several processes, one truth. And the writer that commits in groups."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, NullPool, create_engine
from support.books import SIGNER, TERMS, Books, facts, hold_writer, new_books, reservation

from router.ledger import Charge, InFlight, InsufficientFunds, Ledger, LedgerClosed, PostedCharge, read
from router.ledger.call_models import CALL
from router.ledger.calls import run_call

CALLERS, AFFORDABLE, CHARGE_BASE = 200, 20, 500


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, AFFORDABLE * CHARGE_BASE)
        yield books


def sequences(books: Books) -> list[int]:
    query = CALL.select().order_by(CALL.c.account_sequence)
    return books.ledger.read(lambda c: [row.account_sequence for row in c.execute(query)])


async def paid_call(ledger: Ledger) -> PostedCharge | InsufficientFunds:
    try:
        held = await ledger.submit(reservation(1, CHARGE_BASE))
    except InsufficientFunds as refusal:
        return refusal
    await asyncio.sleep(0.005)  # the provider
    return await ledger.submit(Charge(held.entry_id, facts(CHARGE_BASE), TERMS, SIGNER))


def outcomes(results: list[PostedCharge | InsufficientFunds]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


async def test_two_hundred_tasks_on_a_balance_for_twenty(books: Books) -> None:
    lowest: list[int] = []
    finished = asyncio.Event()

    async def watch() -> None:
        while not finished.is_set():
            account = books.account(1)
            lowest.append(min(account.balance_base, account.balance_base - account.reserved_base))
            await asyncio.sleep(0.001)

    watcher = asyncio.create_task(watch())
    results = await asyncio.gather(*(paid_call(books.ledger) for _ in range(CALLERS)))
    finished.set()
    await watcher
    assert outcomes(results) == {"PostedCharge": AFFORDABLE, "InsufficientFunds": CALLERS - AFFORDABLE}
    assert min(lowest) >= 0
    assert books.account(1).balance_base == 0
    assert sequences(books) == list(range(1, AFFORDABLE + 1))


def test_two_hundred_threads_on_a_balance_for_twenty(books: Books) -> None:
    start = threading.Barrier(CALLERS)

    def caller(_: int) -> PostedCharge | InsufficientFunds:
        start.wait()
        try:
            held = books.reserve(1, CHARGE_BASE)
        except InsufficientFunds as refusal:
            return refusal
        return books.post(held.entry_id, CHARGE_BASE)

    with ThreadPoolExecutor(CALLERS) as pool:
        results = list(pool.map(caller, range(CALLERS)))
    assert outcomes(results) == {"PostedCharge": AFFORDABLE, "InsufficientFunds": CALLERS - AFFORDABLE}
    assert books.account(1).balance_base == 0
    assert sequences(books) == list(range(1, AFFORDABLE + 1))


async def test_of_callers_racing_with_one_key_one_reserves(books: Books) -> None:
    def attempt(connection: Connection) -> str:
        return run_call(connection, reservation(1, CHARGE_BASE, "key")).entry_id

    results = await asyncio.gather(*(books.ledger.submit(attempt) for _ in range(50)), return_exceptions=True)
    assert Counter(type(result) for result in results) == {str: 1, InFlight: 49}
    assert books.account(1).reserved_base == CHARGE_BASE


PROCESS = """
import sys
from support.books import Books, TERMS
from router.ledger import InsufficientFunds, Ledger, open_database
from dataclasses import replace
url, idx, partner = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
served = 0
with Ledger(open_database(url)) as ledger:
    books = Books(ledger)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(40):
        try:
            books.call(idx, 500, replace(TERMS, partner_id=partner))
            served += 1
        except InsufficientFunds:
            pass
print(served, flush=True)
"""


def start_process(books: Books, *args: int) -> subprocess.Popen[str]:
    url = books.ledger.engine.url.render_as_string(hide_password=False)
    tests = Path(__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, url, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
    )


def test_two_processes_share_an_account_and_a_partner(books: Books) -> None:
    with start_process(books, 1, 1) as first, start_process(books, 1, 1) as second:
        processes = (first, second)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        served = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(served) == AFFORDABLE
    assert books.account(1).balance_base == 0
    receipts = books.ledger.read(lambda c: list(read.iter_receipts(c)))
    counted = list(range(1, AFFORDABLE + 1))
    assert [signed.receipt.account_sequence for signed in receipts] == counted
    assert sorted(signed.receipt.partner_sequence for signed in receipts) == counted


async def test_what_arrives_during_a_commit_shares_the_next(books: Books) -> None:
    blocker = hold_writer(books)
    commits = books.ledger.commits

    def one(connection: Connection) -> str:
        return run_call(connection, reservation(1, CHARGE_BASE)).entry_id

    tasks = [asyncio.ensure_future(books.ledger.submit(one)) for _ in range(AFFORDABLE)]
    await asyncio.sleep(0)  # all are queued
    blocker.set()
    assert len(set(await asyncio.gather(*tasks))) == AFFORDABLE
    assert books.ledger.commits - commits == 2  # the blocker's, and one for all


async def test_a_failing_operation_undoes_only_itself(books: Books) -> None:
    def half_done(connection: Connection) -> None:
        run_call(connection, reservation(1, CHARGE_BASE))
        raise RuntimeError("half done")

    def whole(connection: Connection) -> str:
        return run_call(connection, reservation(1, CHARGE_BASE)).entry_id

    blocker = hold_writer(books)
    tasks = [asyncio.ensure_future(books.ledger.submit(op)) for op in (whole, half_done, whole)]
    await asyncio.sleep(0)  # all three are queued behind the blocker, so they share a commit
    blocker.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [str, RuntimeError, str]
    assert books.account(1).reserved_base == 2 * CHARGE_BASE


async def test_a_failing_commit_fails_every_caller_and_the_writer_lives_on(books: Books) -> None:
    def whole(connection: Connection) -> str:
        return run_call(connection, reservation(1, CHARGE_BASE)).entry_id

    def break_transaction(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")

    blocker = hold_writer(books)
    tasks = [asyncio.ensure_future(books.ledger.submit(op)) for op in (whole, break_transaction, whole)]
    await asyncio.sleep(0)
    blocker.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    assert books.account(1).reserved_base == 0
    assert books.call(1, CHARGE_BASE).charge_base == CHARGE_BASE


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_that_was_lost_between_two_commits_costs_no_call(books: Books) -> None:
    held = books.reserve(1, CHARGE_BASE)
    everybody = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    admin = create_engine(books.ledger.engine.url, poolclass=NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"{everybody} AND pid <> pg_backend_pid()")
    assert books.post(held.entry_id, CHARGE_BASE).charge_base == CHARGE_BASE


async def test_an_operation_of_a_cancelled_caller_runs_all_the_same(books: Books) -> None:
    held = books.reserve(1, CHARGE_BASE)
    blocker = hold_writer(books)
    task = asyncio.ensure_future(
        books.ledger.submit(Charge(held.entry_id, facts(CHARGE_BASE), TERMS, SIGNER))
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    blocker.set()
    books.ledger.run(lambda c: None)  # comes after it
    assert books.account(1).spent_base == CHARGE_BASE


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_who_is_cancelled_while_a_charge_is_posted_gets_its_outcome(books: Books, times: int) -> None:
    held = books.reserve(1, CHARGE_BASE)
    blocker = hold_writer(books)
    charging = books.ledger.charge(Charge(held.entry_id, facts(CHARGE_BASE), TERMS, SIGNER))
    task = asyncio.ensure_future(charging)
    await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    blocker.set()
    assert (await task).charge_base == CHARGE_BASE
    assert books.account(1).spent_base == CHARGE_BASE
    assert len(sequences(books)) == 1


async def test_who_is_cancelled_once_a_charge_is_posted_gets_its_outcome(books: Books) -> None:
    held = books.reserve(1, CHARGE_BASE)
    charging = books.ledger.charge(Charge(held.entry_id, facts(CHARGE_BASE), TERMS, SIGNER))
    task = asyncio.ensure_future(charging)
    await asyncio.sleep(0)
    books.ledger.run(lambda c: None)  # comes after it
    await asyncio.sleep(0)  # the outcome is there, the task has not run yet
    task.cancel()
    task.cancel()
    assert (await task).charge_base == CHARGE_BASE
    assert books.account(1).spent_base == CHARGE_BASE


def test_a_read_does_not_wait_for_the_writer(books: Books) -> None:
    blocker = hold_writer(books)
    assert books.account(1).balance_base == AFFORDABLE * CHARGE_BASE
    blocker.set()


def test_a_read_sees_one_snapshot(books: Books) -> None:
    def twice(connection: Connection) -> tuple[int, int]:
        before = read.account_view(connection, 1).spent_base
        books.call(1, CHARGE_BASE)
        return before, read.account_view(connection, 1).spent_base

    assert books.ledger.read(twice) == (0, 0)
    assert books.account(1).spent_base == CHARGE_BASE


async def test_closing_commits_what_was_submitted_and_takes_no_more(books: Books) -> None:
    other = Books(Ledger(books.ledger.engine))
    blocker = hold_writer(other)
    tasks = [asyncio.ensure_future(other.ledger.submit(reservation(1, CHARGE_BASE))) for _ in range(8)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(asyncio.to_thread(other.ledger.close))
    blocker.set()
    await asyncio.gather(closing, *tasks)
    other.ledger.close()
    with pytest.raises(LedgerClosed):
        other.ledger.run(lambda c: None)
    assert books.account(1).reserved_base == 8 * CHARGE_BASE
