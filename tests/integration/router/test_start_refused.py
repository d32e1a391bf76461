"""A router that cannot start says why in one line; one whose ledger takes no writes says so and goes on."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest
from router_world import World
from test_drain import ready, until


def refused(world: World, *options: str, **environ: str) -> str:
    """What a router says that ends by itself because of its settings."""
    command = [sys.executable, "-m", "router.cli", "serve", *options]
    if "--port" not in options:
        command += ["--port", "0"]
    done = subprocess.run(
        command, env=world.router.environ | environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "places" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("name", "value", "words", "workers"),
    [
        ("VIBES_LEDGER_URL", "sqlite:////nowhere/ledger.db", "the folder /nowhere does not exist", "1"),
        ("VIBES_LEDGER_URL", "sqlite:////nowhere/ledger.db", "the folder /nowhere does not exist", "2"),
        ("VIBES_MASTER_KEY", "foo", "neither file: nor an installed plugin", "1"),
        ("VIBES_MASTER_KEY", "file:/nope", "/nope cannot be read", "1"),
    ],
)
def test_what_cannot_be_opened_is_told_in_a_line(
    world: World, name: str, value: str, words: str, workers: str
) -> None:
    told = refused(world, "--workers", workers, **{name: value})
    assert words in told
    assert name in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_that_is_taken_is_told_in_a_line(world: World, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refused(world, option, port) == (
            f"Error: {option}: 127.0.0.1:{port} cannot be listened on: Address already in use\n"
        )


def test_a_port_is_a_port(world: World) -> None:
    for option in ("--port", "--admin-port"):
        assert "0<=x<=65535" in refused(world, option, "99999")
    assert "8402 is the port of the public address" in refused(
        world, "--port", "8402", "--admin-port", "8402"
    )


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "team"])
def test_a_ledger_that_takes_no_writes_is_a_503_and_nothing_is_asked(
    new_world: Any, workers: tuple[str, ...]
) -> None:
    world: World = new_world(*workers)
    user = world.user()
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
    assert world.router.process is not None
    soft, hard = resource.prlimit(world.router.process.pid, resource.RLIMIT_FSIZE)
    with user.http() as client:
        assert client.post("/chat/completions", json=body).status_code == 200
        asked = len(world.upstream.headers)
        resource.prlimit(world.router.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
        answer = client.post("/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert "Nothing was charged" in answer.json()["error"]["message"]
        assert len(world.upstream.headers) == asked
        if not workers:  # of a team only the process that commits has no room
            until(lambda: ready(world).status_code == 503)
            told = "the ledger does not take writes: the disk fails (SQLITE_IOERR"
            assert ready(world).json()["error"]["message"].startswith(told)
        assert httpx.get(f"http://127.0.0.1:{world.router.port}/healthz").status_code == 200
        resource.prlimit(world.router.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        until(lambda: ready(world).status_code == 200)
        assert client.post("/chat/completions", json=body).status_code == 200
