"""Routing with a real router process and upstreams that fail in every way, die, and come back."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from router_upstream import PROMPT_TOKENS, WORDS, Upstream, running_upstream
from router_world import User, World, config
from sqlalchemy import text as sql

CALLS = 80
PARALLEL = 8
PRICE = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
DEAR = {"prompt_usd_per_mtok": "30", "completion_usd_per_mtok": "70"}
WHOLESALE_BPS = 5000
LIMITS = {"context_tokens": 4000, "max_output_tokens": 100}
FAILING = (
    *("http-401", "http-404", "http-429", "http-500", "http-503", "not-json", "silent"),
    "unreachable",
)


def deployment(name: str, provider: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "provider": provider, "model": name} | PRICE | LIMITS | more


def settings(good_url: str, bad_url: str) -> dict[str, Any]:
    """A model for each way to fail, with a good deployment behind it; and one that two upstreams share."""
    base = config(good_url, "http://127.0.0.1:9/v1")
    providers = {
        "good": {"base_url": good_url},
        "bad": {"base_url": bad_url, "read_timeout_s": 1},
        "nowhere": {"base_url": "http://127.0.0.1:9/v1"},
    }
    deployments = [
        deployment("stand-in", "good", upstream_model="plain"),
        deployment("left", "good", model="shared", upstream_model="plain"),
        deployment("right", "bad", model="shared", upstream_model="plain"),
        deployment("old", "good", model="rolled", upstream_model="plain"),
        deployment("new", "bad", model="rolled", upstream_model="http-404"),
        deployment("overtaken", "bad", upstream_model="held") | DEAR,
        deployment("speechless", "bad", capabilities=["tools"], upstream_model="plain"),
    ]
    broken = ("breaks-before", "error-before", *FAILING)
    for name in broken:
        where = "nowhere" if name == "unreachable" else "bad"
        deployments.append(deployment(name, where, upstream_model=name))
    return {
        "partners": base["partners"],
        "providers": providers,
        "deployments": deployments,
        "routes": {name: {"groups": [[name], ["stand-in"]]} for name in broken}
        | {"overtaken": {"groups": [["overtaken"], ["stand-in"]], "hedge": {"delay_s": 0.05}}},
        "aliases": {"anything": ["http-404", "shared"]},
        "retry": {"retries": 0},
        "rollouts": {"rolled": {"to": "new", "steps": [{"percent": 50}], "min_calls": 5}},
    }


class Rig:
    """A router that takes its configuration from `settings`, and two upstreams of its own."""

    def __init__(self, world: World, good: Upstream, bad: Upstream) -> None:
        self.world, self.good, self.bad = world, good, bad
        self.file = Path(world.router.environ["VIBES_CONFIG"])
        self.settings = settings(good.url, bad.url)
        self.user: User = world.user()

    def log(self) -> str:
        return self.world.router.log.read_text()

    def reload(self, told: str, text: str | None = None) -> None:
        """Writes the file, asks for a reload, and waits for the log to tell of it once more."""
        before = self.log().count(told)
        self.file.write_text(text if text is not None else json.dumps(self.settings))
        assert self.world.router.process is not None
        self.world.router.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count(told) > before)

    def ask(self, model: str, **fields: Any) -> httpx.Response:
        with self.user.http() as http:
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | fields
            return http.post("/chat/completions", json=body)


def wait_for(happened: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail("it did not happen")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def rig(new_world: Any) -> Any:
    with running_upstream() as good, running_upstream() as bad:
        made = Rig(new_world(), good, bad)
        made.reload("configuration reloaded")
        yield made


@pytest.mark.parametrize("model", FAILING)
def test_whole_answer_comes_from_the_next_when_one_fails(rig: Rig, model: str) -> None:
    answer = rig.ask(model)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-vibes-deployment"] == "stand-in"
    assert answer.headers["x-vibes-attempts"] == model
    assert answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("model", ["http-500", "silent", "unreachable", "breaks-before", "error-before"])
def test_stream_comes_from_the_next_when_one_fails_before_its_first_content(rig: Rig, model: str) -> None:
    answer = rig.ask(model, stream=True)
    assert answer.status_code == 200
    assert answer.headers["x-vibes-deployment"] == "stand-in"
    assert answer.headers["x-vibes-attempts"] == model
    assert "data: [DONE]" in answer.text
    assert "error" not in answer.text
    assert answer.text.count('"role"') == 1  # nothing of the failed one was passed on


def test_failed_attempts_cost_the_user_nothing(rig: Rig) -> None:
    user = rig.user
    before = user.settled_view().spent_base
    answer = rig.ask("http-500")
    assert user.settled_view().spent_base - before == int(answer.headers["x-vibes-charge-base"]) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_was_overtaken_is_reckoned_like_the_one_that_won(rig: Rig, stream: bool) -> None:
    user, tries = rig.user, sql("SELECT cost_base FROM attempt WHERE deployment = 'overtaken'")

    def costs() -> list[int]:
        return list(rig.world.ledger.read(lambda connection: connection.execute(tries).scalars()))

    spent_base, seen = user.settled_view().spent_base, len(costs())
    answer = rig.ask("overtaken", stream=stream)
    assert answer.headers["x-vibes-deployment"] == "stand-in"
    used = (PROMPT_TOKENS, len(WORDS))
    assert user.settled_view().spent_base - spent_base == used[0] * 1000 + used[1] * 2000
    assert costs()[seen:] == [(used[0] * 3000 + used[1] * 7000) * WHOLESALE_BPS // 10_000]


def test_first_of_several_is_not_in_the_attempts(rig: Rig) -> None:
    answer = rig.ask("stand-in")
    assert answer.headers["x-vibes-deployment"] == "stand-in"
    assert "x-vibes-attempts" not in answer.headers


def test_alias_serves_and_is_listed(rig: Rig) -> None:
    assert rig.ask("anything").status_code == 200
    with rig.user.http() as http:
        listed = [model["id"] for model in http.get("/models").json()["data"]]
    assert "anything" in listed
    assert listed.count("shared") == 1


def test_what_nobody_can_serve_is_refused_with_a_reason(rig: Rig) -> None:
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]
    answer = rig.ask("speechless", messages=[{"role": "user", "content": content}])
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "no_suitable_deployment")
    assert "speechless: does not take images" in error["message"]


async def load(rig: Rig, model: str, meanwhile: Callable[[], None]) -> list[httpx.Response]:
    """Calls, some in parallel: a few before something happens, during all of it, and many after it."""
    done: list[httpx.Response] = []
    enough = asyncio.Event()
    headers = {"authorization": f"Bearer {rig.user.api_key}"}
    async with httpx.AsyncClient(base_url=rig.user.url, headers=headers, timeout=30) as http:

        async def some() -> None:
            while not enough.is_set():
                body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
                done.append(await http.post("/chat/completions", json=body))

        running = [asyncio.ensure_future(some()) for _ in range(PARALLEL)]
        while len(done) < CALLS // 3:  # noqa: ASYNC110 - the calls themselves are waited for
            await asyncio.sleep(0.01)
        await asyncio.to_thread(meanwhile)
        after = len(done)
        while len(done) < after + CALLS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        enough.set()
        await asyncio.gather(*running)
    return done


async def test_reload_under_load_fails_no_call(rig: Rig) -> None:
    def change() -> None:
        for weight in (3, 5):
            rig.settings["deployments"][1]["weight"] = weight
            rig.reload("configuration reloaded")

    answers = await load(rig, "shared", change)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-vibes-deployment"] for answer in answers} == {"left", "right"}


def test_broken_file_is_refused_and_the_old_one_stays(rig: Rig) -> None:
    rig.reload("configuration not reloaded", '{\n "providers": {},\n "deploymnts": []}')
    assert f"{rig.file}:3: deploymnts" in rig.log()
    rig.reload("policy.fee_bps: cannot change", json.dumps(rig.settings | {"policy": {"fee_bps": 1_400}}))
    assert rig.ask("shared").status_code == 200
    rig.reload("configuration reloaded")


def test_changed_file_is_noticed_without_a_signal(rig: Rig) -> None:
    rig.settings["aliases"]["noticed"] = "shared"
    before = rig.log().count("configuration reloaded")
    rig.file.write_text(json.dumps(rig.settings))
    wait_for(lambda: rig.log().count("configuration reloaded") > before)
    assert rig.ask("noticed").status_code == 200


def test_bad_rollout_is_rolled_back(rig: Rig) -> None:
    for _ in range(60):
        assert rig.ask("rolled").headers["x-vibes-deployment"] == "old"
        if "rollout of new for model 'rolled' rolled back" in rig.log():
            break
    else:
        pytest.fail("it was not rolled back")
    before = len(rig.bad.calls)
    for _ in range(20):
        assert "x-vibes-attempts" not in rig.ask("rolled").headers
    assert len(rig.bad.calls) == before


async def test_upstream_that_dies_under_load_loses_no_call(rig: Rig) -> None:
    port = rig.bad.url.rsplit(":", 1)[1].split("/")[0]

    def die() -> None:
        rig.bad.stop()
        wait_for(lambda: not answers_at(int(port)))

    answers = await load(rig, "shared", die)
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].headers["x-vibes-deployment"] == "left"
    assert "deployment right is left alone" in rig.log()


def answers_at(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
