"""The breaker against a model of it, and the window and latency that it and balancing rest on."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mini_llm.config_routing import BreakerConfig
from mini_llm.routing.breaker import Breaker, State
from mini_llm.routing.latency import FORGET_AFTER, Latency
from mini_llm.routing.window import Window

SETTINGS = BreakerConfig(
    failures=3, ratio=0.5, window_s=10, open_s=5, max_open_s=12, probes=2, closes_after=2
)


def test_window_forgets_evenly() -> None:
    window = Window(10)
    window.add(100, 4)
    assert window.total(105) == 4
    assert window.total(110) == 4
    assert window.total(115) == 2
    window.add(115)
    assert window.total(115) == 3
    assert window.total(140) == 0


def test_breaker_opens_at_count_and_ratio() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(4):
        breaker.succeeded(0, breaker.begin(0))
    for _ in range(3):
        assert not breaker.failed(0, breaker.begin(0))  # 3 of 7
    assert breaker.failed(0, breaker.begin(0))  # 4 of 8
    assert (breaker.state, breaker.until_s) == (State.OPEN, 5)


def test_row_of_failures_opens_it_whatever_went_well_before() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(1000):
        breaker.succeeded(0, breaker.begin(0))
    for _ in range(9):
        assert not breaker.failed(0, breaker.begin(0))
    breaker.succeeded(0, breaker.begin(0))
    for _ in range(9):
        assert not breaker.failed(0, breaker.begin(0))
    assert breaker.failed(0, breaker.begin(0))


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = Breaker(SETTINGS)
    for now_s in (0, 30, 60, 90):
        assert not breaker.failed(now_s, breaker.begin(now_s))


def trip(breaker: Breaker, now_s: float) -> None:
    while breaker.state is State.CLOSED:
        breaker.failed(now_s, breaker.begin(now_s))


def test_half_open_lets_few_probes_through_and_closes_after_successes() -> None:
    breaker = Breaker(SETTINGS)
    trip(breaker, 0)
    assert not breaker.admits(4.9)
    assert breaker.admits(5)
    first, second = breaker.begin(5), breaker.begin(5)
    assert breaker.state is State.HALF_OPEN
    assert not breaker.admits(5)
    breaker.gave_up(first)
    assert breaker.admits(5)
    breaker.succeeded(6, second)
    breaker.succeeded(6, breaker.begin(6))
    assert breaker.state is State.CLOSED


def test_failed_probe_opens_for_twice_as_long_up_to_the_limit() -> None:
    breaker = Breaker(SETTINGS)
    trip(breaker, 0)
    waits = []
    now_s = breaker.until_s
    for _ in range(3):
        assert breaker.failed(now_s, breaker.begin(now_s))
        waits.append(breaker.until_s - now_s)
        now_s = breaker.until_s
    assert waits == [10, 12, 12]


def test_outcomes_from_before_it_opened_decide_nothing() -> None:
    breaker = Breaker(SETTINGS)
    late = [breaker.begin(0) for _ in range(4)]
    trip(breaker, 0)
    until_s = breaker.until_s
    for era in late[:2]:
        breaker.succeeded(1, era)
    for era in late[2:]:
        assert not breaker.failed(1, era)
    assert (breaker.state, breaker.until_s) == (State.OPEN, until_s)


def test_last_resort_that_answers_closes_it_early() -> None:
    breaker = Breaker(SETTINGS)
    trip(breaker, 0)
    assert not breaker.failed(1, breaker.begin(1))
    for _ in range(2):
        breaker.succeeded(1, breaker.begin(1))
    assert breaker.state is State.CLOSED


def test_probe_that_goes_on_for_ever_does_not_keep_others_away() -> None:
    breaker = Breaker(SETTINGS)
    trip(breaker, 0)
    for _ in range(SETTINGS.probes):
        breaker.begin(5)
    assert not breaker.admits(5 + SETTINGS.max_open_s - 0.1)
    now_s = 5 + SETTINGS.max_open_s
    assert breaker.admits(now_s)
    breaker.begin(now_s)
    assert not breaker.admits(now_s + 1)


class Machine(RuleBasedStateMachine):
    """Calls begin and end in any order while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now_s = Breaker(SETTINGS), 0.0
        self.running: list[tuple[int, bool]] = []
        self.trips = 0
        self.probed_s = 0.0

    @rule(seconds=st.floats(0.01, 15))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def begin_if_admitted(self) -> None:
        if self.breaker.admits(self.now_s):
            shut = self.breaker.state is not State.CLOSED
            if self.breaker.state is State.HALF_OPEN:
                assert self.probing() < SETTINGS.probes or self.overdue()
            era = self.breaker.begin(self.now_s)
            if shut:
                self.probed_s = self.now_s
            self.running.append((era, shut))
            assert self.breaker.state is not State.OPEN

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "gave_up"]))
    def end(self, data: st.DataObject, how: str) -> None:
        era, _ = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before = self.breaker.state
        current = era == self.breaker.era
        if how == "succeeded":
            self.breaker.succeeded(self.now_s, era)
        elif how == "failed":
            opened = self.breaker.failed(self.now_s, era)
            assert opened == (self.breaker.state is State.OPEN and before is not State.OPEN)
        else:
            self.breaker.gave_up(era)
        if not current:
            assert self.breaker.state is before
        if before is State.HALF_OPEN and current and how == "failed":
            assert self.breaker.state is State.OPEN
            assert self.now_s < self.breaker.until_s <= self.now_s + SETTINGS.max_open_s

    def probing(self) -> int:
        return sum(era == self.breaker.era for era, _ in self.running)

    def overdue(self) -> bool:
        return self.now_s - self.probed_s >= SETTINGS.max_open_s

    @invariant()
    def half_open_admits_as_many_probes_as_allowed(self) -> None:
        if self.breaker.state is State.HALF_OPEN:
            free = self.probing() < SETTINGS.probes
            assert self.breaker.admits(self.now_s) == (free or self.overdue())

    @invariant()
    def open_admits_nobody_before_its_time(self) -> None:
        if self.breaker.state is State.OPEN:
            assert self.breaker.admits(self.now_s) == (self.now_s >= self.breaker.until_s)

    @invariant()
    def closed_admits_everybody(self) -> None:
        if self.breaker.state is State.CLOSED:
            assert self.breaker.admits(self.now_s)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_latency_follows_and_forgets() -> None:
    latency = Latency(10)
    assert latency.mean_s(0) is None
    latency.measured(0, 1.0)
    latency.measured(10, 3.0)
    assert latency.mean_s(10) == pytest.approx(1.0 * 0.3679 + 3.0 * 0.6321, abs=1e-3)
    assert latency.mean_s(10 + 10 * FORGET_AFTER + 1) is None
    latency.measured(1000, 7.0)
    assert latency.mean_s(1000) == 7.0


def test_burst_of_calls_moves_the_mean_too() -> None:
    latency = Latency(10)
    latency.measured(0, 1.0)
    for _ in range(640):
        latency.measured(0, 3.0)
    assert latency.mean_s(0) == pytest.approx(3.0, abs=0.01)


def test_percentile_needs_some_calls() -> None:
    latency = Latency(10)
    for number in range(15):
        latency.measured(0, number)
    assert latency.percentile_s(95) is None
    for number in range(15, 200):
        latency.measured(0, number)
    assert latency.percentile_s(50) == 136 + 31  # of the last 64: 136 to 199
