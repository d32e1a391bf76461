"""Feedback on calls over HTTP, and the outcomes that a running router counts by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from router_world import User, World
from sqlalchemy import Connection, select
from test_auto_calls import AMONG, ask, settings

from router.ledger import learning_steps, mirror
from router.ledger.learning_steps import Share
from router.ledger.mirror import Answered, Seen
from router.ledger.mirror_tables import DRAWN_CALL
from router.mirror.standing import Weighing
from router.mirror.tally import Kind

JSON_WANTED = {
    "type": "json_schema",
    "json_schema": {"name": "one", "schema": {"type": "object"}},
}


@pytest.fixture(scope="module")
def following_world(new_world: Any) -> World:
    learned = {"enabled": True, "follow": True, "explore": 0.03, "proven_usd": "0"}
    made: World = new_world(more=settings() | {"auto": AMONG | {"learning": learned}})
    return made


@pytest.fixture(scope="module")
def learning_world(new_world: Any) -> World:
    more = settings()
    for one in more["deployments"]:
        one["capabilities"] = ["tools", "json_schema"]
    more["auto"] = AMONG | {"learning": {"enabled": True, "proven_usd": "0", "most_a_day": 10_000}}
    made: World = new_world(more=more)
    return made


def say(user: User, request_id: str, verdict: Any) -> httpx.Response:
    with user.http() as http:
        return http.post("/feedback", json={"request_id": request_id, "verdict": verdict})


def counted(world: World, wanted: Callable[[dict[Kind, list[float]]], bool]) -> dict[Kind, list[float]]:
    """Goodness and weight of all outcomes by kind, once they are as wanted."""
    deadline = time.monotonic() + 30
    while True:
        found: dict[Kind, list[float]] = {kind: [0.0, 0.0] for kind in Kind}
        for cell, count in world.ledger.read(mirror.counts).items():
            found[cell.kind][0] += count.good
            found[cell.kind][1] += count.weight
        if wanted(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_outcomes_are_counted(learning_world: World) -> None:
    user = learning_world.user()
    answer = ask(user)
    assert say(user, answer.headers["x-vibes-request-id"], "bad").json()["value"] == 0.0
    again = ask(user, stream=True)
    assert say(user, again.headers["x-vibes-request-id"], 0.75).status_code == 200
    ask(user, messages=[{"role": "user", "content": "As JSON."}], response_format=JSON_WANTED)
    ask(user, model="llama-3.2-1b")  # named: nothing is learned
    found = counted(learning_world, lambda kinds: kinds[Kind.SERVED][1] > 0.029)
    assert found[Kind.FEEDBACK] == pytest.approx([0.075, 0.2], rel=0.01)
    assert found[Kind.FORMAT] == pytest.approx([0.0, 0.05], rel=0.01)  # the upstream writes plain words
    assert found[Kind.SERVED] == pytest.approx([0.03, 0.03], rel=0.01)


@pytest.mark.parametrize(
    "verdict", ["fine", -0.1, 1.1, True, None, [], float("1e999")], ids=lambda one: f"verdict={one}"
)
def test_verdicts_that_are_none(world: World, verdict: Any) -> None:
    body = '{"request_id": "%s", "verdict": %s}'
    text = "1e999" if verdict == float("inf") else json.dumps(verdict)
    with world.user().http() as http:
        answer = http.post("/feedback", content=body % ("0" * 64, text))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_field", "verdict")
    assert error["message"] == 'verdict: Input should be "good", "bad" or a number from 0 to 1'


def test_only_own_calls_are_judged(world: World) -> None:
    mine, theirs = world.user(), world.user()
    request_id = ask(theirs, model="plain").headers["x-vibes-request-id"]
    refused = say(mine, request_id, "bad")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "call_not_found")
    assert say(theirs, request_id, "good").json() == {
        "object": "feedback",
        "request_id": request_id,
        "value": 1.0,
    }
    assert say(mine, "0" * 64, 1).status_code == 404
    with httpx.Client(base_url=world.router.url) as nobody:
        assert nobody.post("/feedback", json={"request_id": request_id, "verdict": 1}).status_code == 401


def test_a_model_that_is_judged_bad_is_left_where_accounts_follow(following_world: World) -> None:
    world, user = following_world, following_world.user()
    usual = ask(user).headers["x-vibes-deployment"]
    assert usual == "gpt-4o-mini"
    bad = Answered("", "gpt-4o-mini", "open", 2, 0.05)
    seen = [Seen(bad.cell(Kind.FEEDBACK), 0.0, 0.05, 1, 1.0)] * 100

    def judge(connection: Connection) -> None:
        mirror.record(connection, [], seen, int(time.time()), Weighing(10**6, 10, 0))
        learning_steps.take(connection, Share(), 90, "test", int(time.time()))

    world.ledger.run(judge)
    others = [world.user() for _ in range(12)]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        told = [ask(one) for one in others]
        if sum("by how answers turned out" in one.headers["x-vibes-route"] for one in told) >= 6:
            break
        time.sleep(1)
    followers = [one for one in told if one.headers["x-vibes-deployment"] == "gpt-4o"]
    assert len(followers) >= 6
    logged = select(DRAWN_CALL).where(DRAWN_CALL.c.learned == "gpt-4o", DRAWN_CALL.c.shipped == "gpt-4o-mini")
    while time.monotonic() < deadline + 10:
        rows = world.ledger.read(lambda connection: connection.execute(logged).all())
        if rows:
            break
        time.sleep(0.2)
    assert rows[0].learned_chance == pytest.approx(1 - rows[0].shipped_chance)
    assert 0 < rows[0].shipped_base < rows[0].learned_base


def test_what_two_workers_learned_outlives_them(new_world: Any) -> None:
    learned = {"enabled": True, "proven_usd": "0", "most_a_day": 10_000}
    world: World = new_world("--workers", "2", more=settings() | {"auto": AMONG | {"learning": learned}})
    user = world.user()
    calls = [ask(user).headers["x-vibes-request-id"] for _ in range(12)]  # each over another connection
    assert {say(user, one, "good").status_code for one in calls} == {200}
    world.router.stop()
    found = counted(world, lambda kinds: True)
    assert found[Kind.FEEDBACK] == pytest.approx([1.2, 1.2], rel=0.01)
    assert found[Kind.SERVED] == pytest.approx([0.12, 0.12], rel=0.01)
    world.router.start()
    assert say(user, calls[0], "bad").status_code == 200
    assert counted(world, lambda kinds: True)[Kind.FEEDBACK] == pytest.approx([1.1, 1.2], rel=0.01)


def test_without_learning_nothing_is_counted(world: World) -> None:
    assert world.ledger.read(mirror.counts) == {}
