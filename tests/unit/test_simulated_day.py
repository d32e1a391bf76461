"""The simulated day: the same seed gives the same day, and the conductor helps where it should."""

from __future__ import annotations

import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from router.config_conductor import ConductorConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from simulated_day import Day, JumpingLoop, Result
from simulated_traffic import Fault, drawn_calls

ACT = ConductorConfig(mode="act")
TWO_HOURS = (1.0, 1.0, *[0.0] * 22)
HANGS = [Fault("hangs", "north", 1800.0, 5400.0, 1.0)]


def _lived(settings: ConductorConfig | None) -> Result:
    async def live() -> Result:
        calls = drawn_calls(2000, TWO_HOURS, random.Random(5))
        return await Day(calls, HANGS, "weighted", settings, 5).run()

    loop = JumpingLoop()
    try:
        return loop.run_until_complete(live())
    finally:
        loop.close()


@pytest.fixture(scope="module")
def conducted() -> Result:
    return _lived(ACT)


def test_same_seed_gives_the_same_day(conducted: Result) -> None:
    again = _lived(ACT)
    assert again.fates == conducted.fates
    assert again.decisions == conducted.decisions


def test_conductor_serves_more_of_a_day_on_which_a_provider_hangs(conducted: Result) -> None:
    without = _lived(None)
    assert without.fates.count("late") > 2 * conducted.fates.count("late")
    assert conducted.decisions["health: rest"] > 0


def test_day_without_faults_needs_nobody_away() -> None:
    async def live() -> Result:
        calls = drawn_calls(1000, TWO_HOURS, random.Random(6))
        return await Day(calls, [], "weighted", ACT, 6).run()

    loop = JumpingLoop()
    result = loop.run_until_complete(live())
    loop.close()
    assert result.served > 0.99
    assert not any("rest" in kind or "open" in kind for kind in result.decisions)


def explored(budget_base: int, settings: ConductorConfig = ACT) -> Result:
    """A day whose calls come in its first half, faster than a budget of so much was meant for or not."""

    async def live() -> Result:
        calls = drawn_calls(1500, (1.0,) * 12 + (0.05,) * 12, random.Random(6))
        return await Day(calls, [], "weighted", settings, 6, budget_base).run()

    loop = JumpingLoop()
    try:
        return loop.run_until_complete(live())
    finally:
        loop.close()


def test_exploration_pauses_while_spending_runs_ahead() -> None:
    rich, short = explored(10**12), explored(200_000_000)
    assert rich.pauses == []
    assert rich.lots_at_s
    assert short.pauses[0][1] == "pause"
    assert short.pauses[-1][1] == "resume"  # the second half of the day was quiet
    assert short.decisions["cost: pause"] > 0
    assert short.decisions["quality: resume"] > 0
    paused = [
        (from_s, to_s)
        for (from_s, what), (to_s, _) in pairwise([*short.pauses, (86_400.0, "end")])
        if what == "pause"
    ]
    assert not [at_s for at_s in short.lots_at_s if any(a + 1 < at_s < min(b, a + 3600) for a, b in paused)]
    assert len(short.lots_at_s) < len(rich.lots_at_s)


def test_who_only_advises_pauses_nothing() -> None:
    advised = explored(40_000_000, ConductorConfig(mode="advise"))
    assert advised.pauses == []
    assert advised.refused > 0
    assert advised.lots_at_s
