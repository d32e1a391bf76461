"""A running router's conductor: it keeps calls from what fails, and lets go when an operator says so."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from router_world import World
from test_supervisor import addresses

PRICE = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20", "max_output_tokens": 100}
PAIR = [
    {"id": name, "model": "pair", "provider": "up", "upstream_model": upstream} | PRICE
    for name, upstream in (("good", "plain"), ("bad", "http-503"))
]
MORE = {
    "deployments": PAIR,
    "breaker": {"failures": 10**6, "in_a_row": 10**6},  # only the conductor opens one
    "conductor": {"mode": "act", "every_s": 0.1},
}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """A file of operators' keys, and the header of the one in it."""
    made = subprocess.run(
        [sys.executable, "-m", "router.cli", "admin-key", "alice"], capture_output=True, text=True, check=True
    )
    file = tmp_path_factory.mktemp("admin") / "admin.keys"
    file.write_text(made.stderr)
    return str(file), {"authorization": f"Bearer {made.stdout.strip()}"}


@pytest.fixture(scope="module")
def operated(new_world: Any, operator: tuple[str, dict[str, str]]) -> tuple[World, httpx.Client]:
    file, headers = operator
    world = new_world("--admin-port", "0", more=MORE, VIBES_ADMIN_KEYS_FILE=file)
    return world, httpx.Client(base_url=world.router.admin_url + "/admin/v1", headers=headers, timeout=30)


def until(said: Callable[[], bool]) -> None:
    for _ in range(300):
        if said():
            return
        time.sleep(0.1)
    pytest.fail("it never came true")


def test_conductor_decides_and_the_operator_undoes(operated: tuple[World, httpx.Client]) -> None:
    world, admin = operated
    assert admin.get("/conductor").json() == {"mode": "act", "standing": {}, "log": []}
    body = {"model": "pair", "messages": [{"role": "user", "content": "x"}]}
    with world.user().http() as client:

        def away() -> bool:
            assert client.post("/chat/completions", json=body).status_code == 200
            return "bad" in admin.get("/conductor").json()["standing"]

        until(away)
        tries = [client.post("/chat/completions", json=body).headers for _ in range(10)]
    assert all(one["x-vibes-deployment"] == "good" for one in tries)
    assert not any("x-vibes-attempts" in one for one in tries)
    decided = admin.get("/conductor").json()["log"][-1]
    assert (decided["action"], decided["deployment"], decided["acted"]) == ("open", "bad", True)

    undo = {"number": decided["number"], "reason": "it is known"}
    assert admin.post("/conductor/undo", json=undo).json() == {"deployment": "bad"}
    until(lambda: admin.get("/conductor").json()["standing"] == {})
    (deployment,) = [one for one in admin.get("/deployments").json()["deployments"] if one["id"] == "bad"]
    assert deployment["breaker"] == "closed"
    assert admin.post("/conductor/undo", json=undo).status_code == 409
    assert admin.post("/conductor/undo", json={"number": 10**6}).status_code == 409
    assert admin.get("/audit").json()["acts"][0]["action"] == "conductor.undo"


def test_drain_by_the_operator_is_not_touched(operated: tuple[World, httpx.Client]) -> None:
    _, admin = operated
    admin.post("/deployments/drain", json={"id": "good"})
    (deployment,) = [one for one in admin.get("/deployments").json()["deployments"] if one["id"] == "good"]
    assert deployment["drained"] is True
    assert "good" not in admin.get("/conductor").json()["standing"]
    admin.post("/deployments/undrain", json={"id": "good"})


def test_an_undoing_counts_in_all_workers(new_world: Any, operator: tuple[str, dict[str, str]]) -> None:
    file, headers = operator
    options = ("--workers", "2", "--admin-port", "0")
    world: World = new_world(*options, more=MORE, VIBES_ADMIN_KEYS_FILE=file)
    until(lambda: len(addresses(world)) == 4)
    public = f"http://127.0.0.1:{world.router.port}"
    admins = [
        httpx.Client(base_url=f"{one}/admin/v1", headers=headers, timeout=30)
        for one in addresses(world)
        if one != public
    ]
    user = world.user()
    body = {"model": "pair", "messages": [{"role": "user", "content": "x"}]}

    def call() -> None:  # over a connection of its own, which the system gives to one of the workers
        with user.http() as client:
            assert client.post("/chat/completions", json=body).status_code == 200

    def standing() -> list[Any]:
        return [one.get("/conductor").json()["standing"] for one in admins]

    def away() -> bool:
        call()
        return all("bad" in one for one in standing())

    until(away)
    log = admins[0].get("/conductor").json()["log"]
    assert len({row["actor"] for row in log}) == 2  # each worker goes by its own figures
    undo = {"number": log[-1]["number"], "reason": "it is known"}
    assert admins[0].post("/conductor/undo", json=undo).status_code == 200
    until(lambda: standing() == [{}, {}])
    for _ in range(30):
        call()
    assert standing() == [{}, {}]  # both leave it alone for a while
    replayed = subprocess.run(
        [sys.executable, "-m", "router.cli", "conductor", "replay"],
        env=world.router.environ,
        capture_output=True,
        text=True,
    )
    assert (replayed.returncode, replayed.stderr) == (0, "2 decisions, 0 would come out differently\n")
