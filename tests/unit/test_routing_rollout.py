"""A new deployment gets the part that its step names, and nothing once it is worse than the others."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import SecretStr
from support.routing import Bench, config

from mini_llm.config_routing import RolloutConfig
from mini_llm.errors import UpstreamRefused
from mini_llm.routing.rollout import Stage, tail, upper_bound


def bench(steps: list[dict[str, Any]] | None = None, seed: int = 1, **more: Any) -> Bench:
    rollout = {"to": "new", "steps": steps or [{"percent": 10}]} | more
    return Bench(config("old", "new", rollouts={"m": rollout}, retry={"retries": 0}), seed)


def status(made: Bench) -> Any:
    return made.catalog.table.rollouts["m"].status()


async def firsts(made: Bench, calls: int) -> int:
    return sum([(await made.names())[0] == "new" for _ in range(calls)])


async def test_new_one_gets_its_percentage_and_the_others_stand_behind_it() -> None:
    made = bench()
    assert abs(await firsts(made, 4000) - 400) < 80
    orders = {tuple(await made.names()) for _ in range(200)}
    assert orders == {("old",), ("new", "old")}


async def test_sticky_sends_an_account_one_way_and_keeps_it_while_the_part_grows() -> None:
    small = bench([{"percent": 10}], sticky=True)
    large = bench([{"percent": 40}], sticky=True, seed=2)

    async def chosen(made: Bench) -> set[str]:
        accounts = [str(number) for number in range(500)]
        plans = {account: [await made.plan(account) for _ in range(3)] for account in accounts}
        ways = {who: {plan.candidates[0].deployment.id for plan in some} for who, some in plans.items()}
        assert all(len(way) == 1 for way in ways.values())
        return {who for who, way in ways.items() if way == {"new"}}

    few, many = await chosen(small), await chosen(large)
    assert 25 <= len(few) <= 80
    assert 150 <= len(many) <= 250
    assert few < many


async def test_bad_one_is_rolled_back_and_no_call_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    made = bench([{"percent": 50}])
    made.answers["new"] = [UpstreamRefused("p", 404)]
    with caplog.at_level(logging.ERROR):
        for _ in range(200):
            assert (await made.attempt()).result == "old"
    assert status(made).stage is Stage.ROLLED_BACK
    assert "calls failed" in status(made).reason
    assert made.asked.count("new") < 40
    assert await firsts(made, 100) == 0
    assert "rollout of new for model 'm' rolled back" in caplog.text


async def test_good_one_stays_through_a_few_failures() -> None:
    made = bench([{"percent": 50}])
    failure = UpstreamRefused("p", 404)
    made.answers["new"] = ([None] * 49 + [failure]) * 10 + [None]
    made.answers["old"] = ([None] * 49 + [failure]) * 10 + [None]
    for _ in range(600):
        try:
            await made.attempt()
        except UpstreamRefused:
            continue
    assert status(made).stage is Stage.RAMPING


async def test_steps_need_their_time_and_their_calls() -> None:
    made = bench([{"percent": 50, "for_s": 60, "min_calls": 10}, {"percent": 100, "for_s": 60}])
    made.clock.now_s += 61
    await made.plan()
    assert status(made).percent == 50  # no calls yet
    while status(made).calls < 10:
        await made.attempt()
    await made.plan()
    assert (status(made).percent, status(made).stage) == (100, Stage.RAMPING)
    assert await firsts(made, 20) == 20
    made.clock.now_s += 61
    for _ in range(60):
        await made.attempt()
    assert status(made).stage is Stage.DONE


async def test_reload_keeps_a_rollout_that_has_not_changed_and_restarts_one_that_has() -> None:
    made = bench()
    rollout = made.catalog.table.rollouts["m"]
    rollout.roll_back("by hand")
    made.catalog.adopt(made.catalog.table.config)
    assert made.catalog.table.rollouts["m"] is rollout
    assert status(made).stage is Stage.ROLLED_BACK
    changed = config("old", "new", rollouts={"m": {"to": "new", "steps": [{"percent": 20}]}})
    made.catalog.adopt(changed)
    assert status(made).stage is Stage.RAMPING
    assert status(made).percent == 20


def rotated(made: Bench, key: str) -> None:
    """Each provider gets another key, with which everything that is known of its deployments is forgotten."""
    table = made.catalog.table.config
    providers = {"p": table.providers["p"].model_copy(update={"api_key": SecretStr(key)})}
    made.catalog.adopt(table.model_copy(update={"providers": providers}))


async def test_counts_go_on_when_a_reload_changes_the_provider() -> None:
    plain = config("old", "new", routes={"m": {"groups": [["old"]]}}, retry={"retries": 0})
    made = Bench(plain)
    for _ in range(300):
        await made.attempt()
    steps = [{"percent": 50, "for_s": 60, "min_calls": 200}, {"percent": 60}]
    ramped = plain.model_copy(update={"rollouts": {"m": RolloutConfig(to="new", steps=steps)}})
    made.catalog.adopt(ramped)
    for _ in range(200):
        await made.attempt()
    before = status(made)
    assert (before.calls + before.stable_calls, before.stable_failures) == (200, 0)
    rotated(made, "first")
    rotated(made, "second")
    assert status(made) == before
    while status(made).calls < 200:
        await made.attempt()
    made.clock.now_s += 61
    await made.plan()
    assert status(made).percent == 60


async def test_bad_one_is_rolled_back_after_a_reload_that_changed_the_provider() -> None:
    made = bench([{"percent": 50}])
    for _ in range(100):
        await made.attempt()
    made.answers["new"] = [UpstreamRefused("p", 404)]
    for number in range(100):
        if number % 10 == 5:  # so often that it never fails often enough under one key
            rotated(made, str(number))
        assert (await made.attempt()).result == "old"
    assert status(made).stage is Stage.ROLLED_BACK


async def test_calls_from_before_a_rollout_do_not_upset_its_counts() -> None:
    plain = config("old", "new")
    made = Bench(plain)
    old, new = made.health("old"), made.health("new")
    running = [old.begin(0.0) for _ in range(5)]
    early = new.begin(0.0)
    new.succeeded(0.0, early, 0.1, True)
    ramped = plain.model_copy(update={"rollouts": {"m": RolloutConfig(to="new", steps=[{"percent": 50}])}})
    made.catalog.adopt(ramped)
    for era in running:
        old.gave_up(era)
    new.broke_off(0.0, early)
    assert made.catalog.table.rollouts["m"].counts() == (0, 0, 0, 0)
    for _ in range(30):
        assert (await made.attempt()).result in ("old", "new")


async def test_restart_begins_with_a_clean_record() -> None:
    made = bench([{"percent": 100}])
    made.answers["new"] = [UpstreamRefused("p", 404)]
    for _ in range(60):
        await made.attempt()
    rollout = made.catalog.table.rollouts["m"]
    assert rollout.stage is Stage.ROLLED_BACK
    made.answers["new"] = [None]
    made.health("new").reset()
    rollout.restart(made.clock())
    assert status(made).calls == 0
    for _ in range(60):
        assert (await made.attempt()).result == "new"
    assert status(made).stage is Stage.RAMPING


@pytest.mark.parametrize(
    ("failures", "calls", "rate", "chance"),
    [(1, 10, 0.1, 0.6513), (3, 20, 0.01, 0.001004), (5, 5, 0.5, 0.03125), (0, 9, 0.5, 1.0), (2, 9, 1.0, 1.0)],
)
def test_tail_is_the_binomials(failures: int, calls: int, rate: float, chance: float) -> None:
    assert tail(failures, calls, rate) == pytest.approx(chance, rel=1e-3)


def test_bound_shrinks_with_evidence() -> None:
    assert upper_bound(0, 0) == 1.0
    assert upper_bound(0, 100) == pytest.approx(0.0515, abs=1e-3)
    assert 0.01 < upper_bound(10, 1000) < 0.022


async def test_a_held_rollout_takes_no_steps_and_is_rolled_back_all_the_same() -> None:
    made = bench([{"percent": 0, "for_s": 10, "min_calls": 1}, {"percent": 100}])
    rollout = made.catalog.table.rollouts["m"]
    rollout.held = 100.0
    made.clock.now_s += 1_000
    assert (await made.attempt()).result == "new"
    rollout.held = None
    assert status(made).percent == 0
    rollout.held = 100.0
    made.answers["new"] = [UpstreamRefused("p", 404)]
    for _ in range(60):
        await made.attempt()
    assert status(made).stage is Stage.ROLLED_BACK
    assert status(made).percent == 0
