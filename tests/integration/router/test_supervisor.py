"""`serve --workers`: one ledger for all, a fallen worker is replaced, and nothing is lost when all fall."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from router_upstream import WORDS
from router_world import User, World, put
from support.databases import new_database
from test_drain import Stream, assert_settled, exited, sent_signal, until
from test_money import AFFORDABLE, CHARGE_BASE, assert_books_balance, body, quote_base
from test_workers import assert_chain

RACING = 60


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_database(request.param) as url:
        yield url


@pytest.fixture
def team(new_world: Any, ledger_url: str) -> Iterator[World]:
    """Two workers and the process that commits for them."""
    world: World = new_world("--workers", "2", "--admin-port", "0", VIBES_LEDGER_URL=ledger_url)
    until(lambda: len(addresses(world)) == 4)
    yield world
    world.router.stop()
    world.ledger.close()
    world.ledger.engine.dispose()


def serve(*options: str) -> list[str]:
    """The command that starts two workers."""
    return [sys.executable, "-m", "router.cli", "serve", "--workers", "2", *options]


def served(world: World, *options: str) -> subprocess.CompletedProcess[str]:
    """What came of starting two workers of a world, which end by themselves."""
    return subprocess.run(
        serve(*options), env=world.router.environ, capture_output=True, text=True, timeout=60
    )


def addresses(world: World) -> list[str]:
    return re.findall(r"running on (http://\S+?)[\"\s]", world.router.log.read_text())


def pids(world: World) -> list[int]:
    """Of all workers that were ever started."""
    return [int(pid) for pid in re.findall(r"worker \d is process (\d+)", world.router.log.read_text())]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def calls(user: User, count: int) -> list[int]:
    """Statuses of calls, each over a connection of its own, which the system gives to one of the workers."""

    def call(_: int) -> int:
        with user.http() as client:
            return client.post("/chat/completions", json=body("plain", "of a team")).status_code

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(call, range(count)))


def figures(world: World, name: str) -> list[float]:
    """A figure of each worker's metrics, summed over its labels."""
    public = f"http://127.0.0.1:{world.router.port}"
    texts = [httpx.get(f"{url}/metrics").text for url in addresses(world) if url != public]
    return [sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))) for text in texts]


async def test_a_balance_is_spent_to_its_end_and_no_further(team: World) -> None:
    fields = body("held", "race of a team")
    user = team.user(deposit_base=AFFORDABLE * quote_base(fields))
    team.upstream.release.clear()
    headers = {"authorization": f"Bearer {user.api_key}"}
    limits = httpx.Limits(max_connections=RACING)
    async with httpx.AsyncClient(base_url=user.url, headers=headers, timeout=60, limits=limits) as client:
        tried = {asyncio.create_task(client.post("/chat/completions", json=fields)) for _ in range(RACING)}
        pending = tried
        while len(pending) > AFFORDABLE:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        assert user.view().available_base == 0
        team.upstream.release.set()
        codes = [answer.status_code for answer in await asyncio.gather(*tried)]
    assert (codes.count(200), codes.count(402)) == (AFFORDABLE, RACING - AFFORDABLE)
    assert user.view().spent_base == AFFORDABLE * CHARGE_BASE
    assert user.view().reserved_base == 0
    assert_chain(user, AFFORDABLE)
    assert_books_balance(team)
    assert min(figures(team, "vibes_requests_total")) > 0  # both took part
    assert min(figures(team, "vibes_ledger_commit_seconds_count")) > 0


def test_a_fallen_worker_is_replaced_and_the_other_one_goes_on(team: World) -> None:
    user = team.user()
    (first, _) = pids(team)
    os.kill(first, signal.SIGKILL)
    until(lambda: not runs(first))
    assert set(calls(user, 10)) == {200}
    until(lambda: len(pids(team)) == 3)
    until(lambda: len(addresses(team)) == 6)
    assert set(calls(user, 20)) == {200}
    assert "worker 0 ended with status -9: another one takes its place" in team.router.log.read_text()
    sent_signal(team)
    assert exited(team) == 0
    assert not any(map(runs, pids(team)))
    assert_settled(team)


def test_running_calls_finish_when_the_process_that_commits_falls(team: World) -> None:
    user = team.user()
    streams = [Stream(user, "dawdles") for _ in range(8)]
    assert all(stream.first.wait(20) for stream in streams)
    team.router.kill()
    for stream in streams:
        stream.join(30)
        assert stream.error is None
        assert "".join(stream.words).split() == WORDS
    until(lambda: not any(map(runs, pids(team))))
    assert user.settled_view().reserved_base == 0
    assert_chain(user, 8)
    assert_books_balance(team)
    team.router.start()  # the port is free
    until(lambda: len(addresses(team)) == 8)
    assert set(calls(user, 5)) == {200}


def test_workers_are_not_ready_while_nobody_commits(team: World) -> None:
    assert team.router.process is not None
    url = f"http://127.0.0.1:{team.router.port}/readyz"
    assert httpx.get(url).status_code == 200
    team.router.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: httpx.get(url, timeout=10).status_code == 503)
        assert "the ledger did not take a write" in httpx.get(url, timeout=10).text
    finally:
        team.router.process.send_signal(signal.SIGCONT)
    until(lambda: httpx.get(url, timeout=10).status_code == 200)


def test_a_worker_that_hangs_is_replaced(new_world: Any) -> None:
    world: World = new_world("--workers", "2", "--admin-port", "0", VIBES_WORKER_SILENT_S="8")
    until(lambda: len(addresses(world)) == 4)
    time.sleep(1)  # that it is ready, a worker says after it has told its last address
    (first, _) = pids(world)
    os.kill(first, signal.SIGSTOP)
    until(lambda: len(pids(world)) == 3, within_s=60)
    os.kill(pids(world)[2], signal.SIGSTOP)  # who takes its place hangs before it is ready
    until(lambda: world.router.log.read_text().count("no sign of life for 8 s") == 2, within_s=60)
    until(lambda: len(addresses(world)) == 6)
    _, second, third, fourth = pids(world)
    assert [runs(first), runs(third)] == [False, False]
    assert set(calls(world.user(), 10)) == {200}
    assert [runs(second), runs(fourth)] == [True, True]  # who lives is left alone, though asked nothing
    assert world.router.process is not None
    world.router.process.send_signal(signal.SIGSTOP)  # as a machine that sleeps
    time.sleep(12)
    world.router.process.send_signal(signal.SIGCONT)
    time.sleep(2)
    assert len(pids(world)) == 4


def test_a_worker_that_hangs_does_not_keep_the_others_from_stopping(new_world: Any) -> None:
    world: World = new_world("--workers", "2", "--admin-port", "0", VIBES_DRAIN_S="0")
    until(lambda: len(addresses(world)) == 4)
    os.kill(pids(world)[1], signal.SIGSTOP)
    sent_signal(world)
    assert world.router.process is not None
    assert world.router.process.wait(40) == 0
    assert not any(map(runs, pids(world)))
    assert "worker 1 has not stopped: it is killed" in world.router.log.read_text()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all_workers(team: World, how: signal.Signals) -> None:
    user = team.user()
    streams = [Stream(user, "dawdles") for _ in range(8)]
    assert all(stream.first.wait(20) for stream in streams)
    assert team.router.process is not None
    team.router.process.send_signal(how)
    if how == signal.SIGTERM:  # as from a service manager that tells all of a service's processes
        for pid in pids(team):
            os.kill(pid, how)
    for stream in streams:
        stream.join(30)
        assert stream.error is None
        assert "".join(stream.words).split() == WORDS
    assert exited(team) == 0
    assert_chain(user, 8)
    assert_settled(team)


def test_a_changed_configuration_comes_to_all_workers(team: World) -> None:
    put(team, aliases={"simple": "plain"})
    until(lambda: team.router.log.read_text().count("configuration reloaded") == 2)


def test_a_word_to_reload_that_comes_early_ends_no_worker(new_world: Any) -> None:
    world: World = new_world()
    command = serve("--port", "0")
    with subprocess.Popen(command, env=world.router.environ, stderr=subprocess.PIPE, text=True) as router:
        assert router.stderr is not None
        assert "is process" in router.stderr.readline()
        router.send_signal(signal.SIGHUP)
        running = 0
        while running < 2:
            line = router.stderr.readline()
            assert line
            assert "ended" not in line
            running += "running on" in line
        router.send_signal(signal.SIGTERM)
        assert "ended" not in router.stderr.read()
        assert router.wait(30) == 0


def test_an_admin_port_that_cannot_start_ends_it_all(new_world: Any) -> None:
    world: World = new_world()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = served(world, "--port", "0", "--admin-port", port)
    assert done.returncode == 2
    assert f"--admin-port: 127.0.0.1:{port} cannot be listened on" in done.stderr
    assert re.search(r"worker \d ended with status 2 before it was ready", done.stderr)


def test_ports_that_meet_are_told(world: World) -> None:
    for options, told in (
        (["--port", "8402", "--admin-port", "8401"], "2 workers need the ports from 8401 on for it"),
        (["--port", str(world.router.port)], "cannot be listened on: Address already in use"),
    ):
        done = served(world, *options)
        assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_workers_that_cannot_start_end_it_all(new_world: Any) -> None:
    world: World = new_world()
    command = serve("--port", "0")
    with subprocess.Popen(command, env=world.router.environ, stderr=subprocess.PIPE, text=True) as router:
        assert router.stderr is not None
        started = re.search(r"process (\d+)", router.stderr.readline())
        assert started is not None
        os.kill(int(started[1]), signal.SIGKILL)
        assert "ended with status -9 before it was ready" in router.stderr.read()
        assert router.wait(30) == 1
