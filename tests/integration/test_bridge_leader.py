"""Two bridges of one operator: one settles, the other waits for its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES

from bridge.cli import main
from bridge.errors import LeadershipLost, NotLeader
from bridge.leader import Leader, current_leader
from bridge.sessions import open_engine
from bridge.status import read_status
from bridge.store import open_store
from bridge.tables import BatchStep

VIBES_COMMAND = Path(sys.executable).parent / "vibes"
RUN_S = 120


def silent(_line: str) -> None:
    """Nobody listens."""


ON_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@contextmanager
def engines(url: str, count: int) -> Iterator[list[Engine]]:
    opened = [open_engine(url) for _ in range(count)]
    yield opened
    for engine in opened:
        engine.dispose()


def test_one_leads_until_it_lets_go(database: str) -> None:
    with engines(database, 3) as (one, two, looking):
        first, second = Leader(one), Leader(two)
        assert current_leader(looking) is None
        first.acquire(False, silent)
        for _ in range(2):  # looking does not take anything away
            assert current_leader(looking) == first.name
        first.check()
        with pytest.raises(NotLeader) as caught:
            second.acquire(False, silent)
        assert caught.value.holder == first.name
        with pytest.raises(LeadershipLost):
            second.check()
        first.release()
        with pytest.raises(LeadershipLost):
            first.check()
        assert current_leader(looking) is None
        second.acquire(True, silent)
        second.check()
        second.release()


def break_locks(url: str) -> None:
    """Ends every database session that holds an advisory lock, as a restarted server would."""
    with engines(url, 1) as (engine,), engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )


@ON_POSTGRESQL
def test_a_leader_whose_database_connection_breaks_stops(database: str) -> None:
    with engines(database, 2) as (one, two):
        first, second = Leader(one), Leader(two)
        first.acquire(False, silent)
        first.check()
        break_locks(database)
        second.acquire(True, silent)
        for _ in range(2):  # for good: a new connection would not hold the lock
            with pytest.raises(LeadershipLost):
                first.check()
        second.check()
        first.release()
        second.check()
        second.release()


def test_a_leader_that_lost_its_lock_has_no_more_side_effects(operator: Operator) -> None:
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        operator.stack.deposit(wallet, 4 * VIBES)
        pipeline._leader.release()
        with pytest.raises(LeadershipLost):
            pipeline.settle_once()
        store = open_store(operator.settings.store_url)
        assert store.batches() == []
        assert store.unmirrored_count()  # read, and not brought into the ledger


def test_a_single_run_beside_a_leader_says_so_and_exits_5(operator: Operator) -> None:
    with operator.pipeline():
        result = CliRunner().invoke(main, ["settle", "--once"], env=operator.environment)
    assert result.exit_code == 5
    assert f":{os.getpid()} settles from this store already" in result.output
    result = CliRunner().invoke(main, ["settle", "--once"], env=operator.environment)
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "nothing to settle")


def start_watching(operator: Operator, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [VIBES_COMMAND, "settle", "--watch", "--interval", "1"],
        env=os.environ | operator.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=log.open("wb"),
    )


def wait_for(what: str, happened: object) -> None:
    deadline = time.monotonic() + RUN_S
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize("step", [BatchStep.SEALED, BatchStep.SUBMITTED])
def test_when_the_leader_is_killed_the_other_goes_on(operator: Operator, step: BatchStep) -> None:
    stack = operator.stack
    wallet = stack.wallet("alice", 10 * VIBES)
    stack.deposit(wallet, 4 * VIBES)
    stack.anvil.rpc("evm_setAutomine", False)
    logs = [operator.folder / "first.log", operator.folder / "second.log"]
    store = open_store(operator.settings.store_url)
    first = start_watching(operator, logs[0])
    second = None
    try:
        wait_for("a batch is sealed", lambda: store.batches() != [])
        second = start_watching(operator, logs[1])
        wait_for("the second waits", lambda: b"waiting to take over" in logs[1].read_bytes())
        assert f":{first.pid} settles already".encode() in logs[1].read_bytes()
        wait_for("the step is reached", lambda: step in (BatchStep.SEALED, store.batch(1).step))
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        wait_for("the second takes over", lambda: b"taking over" in logs[1].read_bytes())
        stack.anvil.rpc("evm_setAutomine", True)
        wait_for("the batch is final", lambda: store.batch(1).step is BatchStep.FINAL)
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait(10)
    assert [batch.number for batch in store.batches()] == [1]
    assert stack.settlement.functions.batchNumber().call() == 1
    assert stack.settlement.functions.account(wallet.idx).call()[1] == 0
    operator.assert_books_match_chain()


@ON_POSTGRESQL
def test_a_store_in_postgresql_settles_until_its_lock_is_lost(operator: Operator, database: str) -> None:
    settings = replace(operator.settings, store_url=database)
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(wallet, 4 * VIBES)
    with operator.pipeline(settings) as pipeline:
        batch = pipeline.settle_once()
        assert batch is not None
        assert batch.step is BatchStep.FINAL
        found = read_status(settings)
        assert (found.last_batch, found.leader, found.waiting_requests) == (1, pipeline._leader.name, 0)
        operator.stack.deposit(wallet, VIBES)
        break_locks(database)
        with pytest.raises(LeadershipLost):
            pipeline.settle_once()
    assert len(open_store(database).batches()) == 1
    with operator.pipeline(settings) as pipeline:
        assert pipeline.settle_once() is not None
    operator.assert_books_match_chain(settings)
