"""SIGTERM: running calls finish or are settled at the limit, and nothing stays reserved."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from router_upstream import WORDS
from router_world import User, World

from router.db import open_database
from router.ledger import books, read
from router.ledger.writer import Ledger

MESSAGES: list[Any] = [{"role": "user", "content": "until the end"}]


class Stream(threading.Thread):
    """A streaming call in a thread of its own."""

    def __init__(self, user: User, model: str) -> None:
        super().__init__(daemon=True)
        self.user, self.model = user, model
        self.words: list[str] = []
        self.first = threading.Event()
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for chunk in self.user.client().chat.completions.create(
                model=self.model, messages=MESSAGES, stream=True
            ):
                if chunk.choices and chunk.choices[0].delta.content:
                    self.words.append(chunk.choices[0].delta.content)
                    self.first.set()
        except Exception as error:
            self.error = error


def until(condition: Callable[[], bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ready(world: World) -> httpx.Response:
    return httpx.get(world.router.url.removesuffix("/v1") + "/readyz")


def sent_signal(world: World) -> None:
    assert world.router.process is not None
    world.router.process.send_signal(signal.SIGTERM)


def exited(world: World) -> int:
    assert world.router.process is not None
    return world.router.process.wait(60)


def assert_settled(world: World) -> None:
    """Nothing reserved, books in balance, and the database can be opened by the next one."""
    with Ledger(open_database(world.router.environ["VIBES_LEDGER_URL"])) as ledger:
        assert [view.idx for view in ledger.read(read.accounts) if view.reserved_base] == []
        assert ledger.read(books.book_errors) == []


def test_running_streams_finish_and_new_calls_are_turned_away(new_world: Any) -> None:
    world: World = new_world(VIBES_DRAIN_NOTICE_S="1")
    assert ready(world).json() == {"status": "ready"}
    user = world.user()
    streams = [Stream(user, "dawdles") for _ in range(4)]
    assert all(stream.first.wait(20) for stream in streams)
    sent_signal(world)
    until(lambda: ready(world).status_code == 503)
    refused = ready(world)
    assert "stopping" in refused.json()["error"]["message"]
    assert httpx.get(world.router.url.removesuffix("/v1") + "/healthz").status_code == 200
    with user.http() as client:
        call = client.post("/chat/completions", json={"model": "plain", "messages": MESSAGES})
    assert (call.status_code, call.json()["error"]["code"]) == (503, "shutting_down")
    assert call.headers["retry-after"]
    assert call.headers["connection"] == "close"
    for stream in streams:
        stream.join(30)
        assert stream.error is None
        assert "".join(stream.words).split() == WORDS
    assert exited(world) == 0
    calls = user.ledger.read(lambda connection: read.calls_of(connection, user.idx))
    assert len(calls) == 4
    assert_settled(world)


@pytest.mark.parametrize("how", ["at the limit", "second signal"])
def test_streams_that_do_not_end_are_cut_off_and_charged(new_world: Any, how: str) -> None:
    world: World = new_world(VIBES_DRAIN_S="1" if how == "at the limit" else "600", VIBES_LEASE_S="600")
    world.upstream.release.clear()
    user, waiting = world.user(), world.user()
    streams = [Stream(user, "endless") for _ in range(3)]
    assert all(stream.first.wait(20) for stream in streams)
    held = Stream(waiting, "held")
    until(lambda: waiting.view().reserved_base > 0)
    sent_signal(world)
    if how == "second signal":
        until(lambda: ready(world).status_code == 503)
        sent_signal(world)
    assert exited(world) == 0
    world.upstream.release.set()
    for stream in (*streams, held):
        stream.join(20)
        assert not stream.is_alive()
    calls = user.ledger.read(lambda connection: read.calls_of(connection, user.idx))
    assert len(calls) == 3
    assert all(call.charge_base > 0 for call in calls)
    assert waiting.view().spent_base == 0
    assert_settled(world)


def test_a_whole_answer_that_is_awaited_is_delivered(new_world: Any) -> None:
    world: World = new_world()
    world.upstream.release.clear()
    user = world.user()
    answers: list[int] = []

    def call() -> None:
        with user.http() as client:
            body = {"model": "held", "messages": MESSAGES}
            answers.append(client.post("/chat/completions", json=body).status_code)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    until(lambda: user.view().reserved_base > 0)
    sent_signal(world)
    until(lambda: ready(world).status_code == 503)
    world.upstream.release.set()
    caller.join(20)
    assert answers == [200]
    assert exited(world) == 0
    assert_settled(world)


def test_a_database_that_takes_no_writes_is_not_ready(new_world: Any) -> None:
    world: World = new_world()
    assert ready(world).status_code == 200
    until(lambda: world.ledger.run(lambda connection: None) is None)
    with world.ledger.engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE probe")
        connection.exec_driver_sql("COMMIT")
    until(lambda: ready(world).status_code == 503)
    assert "does not take writes" in ready(world).json()["error"]["message"]
    assert "DROP" not in ready(world).text


def test_a_word_to_reload_ends_no_router_that_starts_or_stops(new_world: Any) -> None:
    world: World = new_world()
    world.router.stop()
    command = [sys.executable, "-m", "router.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, env=world.router.environ, stderr=subprocess.PIPE, text=True) as router:
        until(lambda: ignores_hangup(router.pid))
        told: list[str] = []
        reader = threading.Thread(target=lambda: told.extend(router.stderr or ()))
        reader.start()

        def hung_up() -> bool:
            time.sleep(0.05)
            router.send_signal(signal.SIGHUP)
            return any("running on" in line for line in told)

        until(hung_up)
        router.send_signal(signal.SIGTERM)
        while router.poll() is None:
            router.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        reader.join(20)
        assert router.returncode == 0, told


def ignores_hangup(pid: int) -> bool:
    """Whether the process has said that SIGHUP, the first of the signals, is to do nothing."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigIgn:")[2].split()[0], 16) & 1)
