"""The kill switch and held rollouts count in every worker, and calls that run end as they would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from operator_world import Operated, make_operated, own_config
from router_upstream import Upstream
from router_world import RouterProcess
from sqlalchemy import exc, text
from support.databases import new_database
from test_money import body

from router.ledger import switches

SECONDS = 20


@pytest.fixture(scope="module")
def operated(
    new_world: Any, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operated]:
    with new_database("postgresql") as url:
        folder = tmp_path_factory.mktemp("admin")
        made = make_operated(new_world, folder, more=own_config(upstream.url), VIBES_LEDGER_URL=url)
        yield made
        made.world.router.stop()
        made.world.ledger.close()
        made.world.ledger.engine.dispose()


@pytest.fixture(scope="module")
def workers(operated: Operated) -> Iterator[tuple[RouterProcess, RouterProcess]]:
    other = operated.world.router.beside("second")
    other.start()
    yield operated.world.router, other
    other.stop()


@pytest.fixture
def callers(operated: Operated, workers: tuple[RouterProcess, ...]) -> Iterator[list[httpx.Client]]:
    """A client of each worker, on one account."""
    user = operated.world.user()
    headers = {"authorization": f"Bearer {user.api_key}"}
    clients = [httpx.Client(base_url=one.url, headers=headers, timeout=60) for one in workers]
    yield clients
    for client in clients:
        client.close()


def switch(client: httpx.Client, scope: str, name: str = "", to: str = "0") -> None:
    form = {"scope": scope, "name": name, "to": to, "reason": "a drill"}
    asked = client.get("/operator/routing/switch", params=form)
    assert (asked.status_code, 'name="reason"' in asked.text) == (200, True)
    assert client.post("/operator/routing/switch", data=form).status_code == 303


def status(client: httpx.Client, model: str = "fine") -> int:
    return client.post("/chat/completions", json=body(model, "switched")).status_code


def serves(client: httpx.Client) -> str:
    """Who serves `fine`; empty if nobody does."""
    answer = client.post("/chat/completions", json=body("fine", "switched"))
    return answer.headers.get("x-vibes-deployment", "")


def until(client: httpx.Client, expected: str) -> None:
    deadline = time.monotonic() + SECONDS
    while (found := serves(client)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_everything_stops_in_all_workers_while_running_calls_end(
    operated: Operated, callers: list[httpx.Client], upstream: Upstream
) -> None:
    upstream.release.clear()
    with operated.signed_in() as operator, ThreadPoolExecutor() as pool:
        running = [pool.submit(status, caller, "slow") for caller in callers]
        deadline = time.monotonic() + SECONDS
        while len(upstream.calls_of("switched")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        switch(operator, "everything")
        call = body("fine", "switched")
        asked = {"/chat/completions": call, "/messages/count_tokens": call, "/route": {"request": call}}
        for path, sent in asked.items():
            refused = callers[0].post(path, json=sent)
            assert refused.status_code == 503, path
            error = refused.json()["error"]
            assert error.get("code", error.get("type")) == "stopped_by_operator", path
        assert "a drill" not in refused.text
        assert int(refused.headers["retry-after"]) > 0
        until(callers[1], "")
        assert status(callers[1]) == 503
        assert "All new calls are stopped by alice: a drill." in operator.get("/operator").text
        assert not any(one.done() for one in running)
        upstream.release.set()
        assert [one.result() for one in running] == [200, 200]
        switch(operator, "everything", to="let-go")
        for caller in callers:
            until(caller, "east/fine")
        let_go, stopped = operated.acts(operator, 2)
    assert (stopped["action"], stopped["subject"]) == ("switch.set", "everything")
    assert stopped["after"] == {"setting": 0, "reason": "a drill"}
    assert (let_go["action"], let_go["before"]) == ("switch.let-go", {"setting": 0})


@pytest.mark.parametrize(
    ("scope", "name", "left"),
    [
        pytest.param("deployment", "east/fine", "west/fine", id="deployment"),
        pytest.param("provider", "east", "west/fine", id="provider"),
    ],
)
def test_a_part_stops_in_all_workers(
    operated: Operated, callers: list[httpx.Client], scope: str, name: str, left: str
) -> None:
    with operated.signed_in() as operator:
        switch(operator, scope, name)
        for caller in callers:
            until(caller, left)
            assert status(caller, "slow") == (503 if scope == "provider" else 200)
        page = operator.get("/operator/routing").text
        assert page.count("alice: a drill") >= 1
        switch(operator, scope, name, to="let-go")
        for caller in callers:
            until(caller, "east/fine")


def test_nobody_left_is_told_before(operated: Operated, callers: list[httpx.Client]) -> None:
    with operated.signed_in() as operator:
        asked = operator.get("/operator/routing/switch?scope=provider&name=east").text
        assert "Nobody is left for: slow." in asked
        assert "Nobody" not in operator.get("/operator/routing/switch?scope=provider&name=west").text


def test_a_rollout_is_held_where_an_operator_puts_it(operated: Operated, callers: list[httpx.Client]) -> None:
    with operated.signed_in() as operator:
        switch(operator, "rollout", "fine", to="100")
        for caller in callers:
            until(caller, "east/next")
        page = operator.get("/operator/routing").text
        assert "<strong>100 %</strong> of the calls, held there by alice" in page
        switch(operator, "rollout", "fine", to="let-go")
        for caller in callers:
            until(caller, "east/fine")


def test_a_switch_outlives_a_restart(
    operated: Operated, callers: list[httpx.Client], workers: tuple[RouterProcess, RouterProcess]
) -> None:
    with operated.signed_in() as operator:
        switch(operator, "everything")
        workers[1].stop()
        workers[1].start()
        callers[1].base_url = workers[1].url
        assert status(callers[1]) == 503
        switch(operator, "everything", to="let-go")
        until(callers[1], "east/fine")


def test_a_rollback_counts_in_all_workers_and_outlives_them(
    operated: Operated, workers: tuple[RouterProcess, RouterProcess]
) -> None:
    bearer = {"authorization": f"Bearer {operated.key}"}

    def steer(worker: RouterProcess, action: str) -> None:
        url = f"{worker.admin_url}/admin/v1/rollouts/{action}"
        assert httpx.post(url, json={"model": "fine"}, headers=bearer).is_success

    def until_stage(worker: RouterProcess, expected: str) -> None:
        deadline, found = time.monotonic() + SECONDS, ""
        while found != expected:
            assert time.monotonic() < deadline, found
            with suppress(httpx.TransportError):  # a router that was started again has another address soon
                told = httpx.get(f"{worker.admin_url}/admin/v1/rollouts", headers=bearer)
                found = told.json()["rollouts"][0]["stage"]
            time.sleep(0.1)

    steer(workers[0], "roll-back")
    until_stage(workers[1], "rolled_back")
    workers[1].stop()
    workers[1].start()
    until_stage(workers[1], "rolled_back")
    with operated.signed_in() as operator:
        assert "by operator alice" in operator.get("/operator/routing").text
    steer(workers[1], "restart")
    until_stage(workers[0], "ramping")


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({"scope": "deployment", "name": "no/such", "to": "0"}, id="unknown"),
        pytest.param({"scope": "galaxy", "name": "", "to": "0"}, id="no-such-scope"),
        pytest.param({"scope": "provider", "name": "east", "to": "50"}, id="half-a-provider"),
        pytest.param({"scope": "rollout", "name": "fine", "to": "101"}, id="more-than-all"),
        pytest.param({"scope": "rollout", "name": "fine", "to": "0.001"}, id="too-fine"),
        pytest.param({"scope": "rollout", "name": "fine", "to": "NaN"}, id="no-number"),
        pytest.param({"scope": "rollout", "name": "fine", "to": "1e999999999"}, id="beyond-numbers"),
        pytest.param({"scope": "rollout", "name": "fine\0", "to": "1"}, id="nul"),
        pytest.param({"scope": "everything", "name": "", "to": "0", "reason": " "}, id="no-reason"),
    ],
)
def test_what_cannot_be_switched_is_refused(operated: Operated, form: dict[str, str]) -> None:
    with operated.signed_in() as operator:
        before = operated.acts(operator)
        answer = operator.post("/operator/routing/switch", data={"reason": "a drill"} | form)
        assert (answer.status_code, operated.acts(operator)) == (400, before)


def test_what_was_switched_is_append_only(operated: Operated) -> None:
    for change in ("UPDATE switch SET actor = 'mallory'", "DELETE FROM switch"):
        with operated.world.ledger.engine.connect() as connection:
            with pytest.raises(exc.DatabaseError, match="what was switched"):
                connection.execute(text(change))
            connection.rollback()
    assert operated.world.ledger.read(switches.switched) == []
