"""What networks ask for is counted, by network and in bounded room."""

from __future__ import annotations

import pytest

from router.people import doorstep
from router.people.doorstep import WINDOW_S, Doorstep
from router.people.errors import TooOften

MOST = 5


def test_one_network_cannot_have_it_all() -> None:
    now_s = 50.0
    step = Doorstep(MOST, lambda: now_s)
    for crowd in (["192.0.2.1"], ["2001:db8::1", "2001:db8::ffff:1"]):
        for number in range(MOST):
            assert step.wait_s(crowd[number % len(crowd)]) == 0
        assert [step.wait_s(address) for address in crowd] == [WINDOW_S] * len(crowd)
    assert step.wait_s("::ffff:192.0.2.1") == WINDOW_S
    for other in ("192.0.2.2", "::ffff:192.0.2.3", "2001:db8:0:1::1", "testclient"):
        assert step.wait_s(other) == 0
    now_s += WINDOW_S
    assert step.wait_s("192.0.2.1") == 0


def test_who_has_to_wait_is_told_how_long() -> None:
    now_s = 0.0
    step = Doorstep(1, lambda: now_s)
    step.enter("192.0.2.1")
    now_s = 9.5
    with pytest.raises(TooOften) as told:
        step.enter("192.0.2.1")
    assert told.value.wait_s == WINDOW_S - 9


def test_networks_are_counted_in_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorstep, "MAX_NETWORKS", 3)
    step = Doorstep(1, lambda: 0.0)
    assert [step.wait_s(f"192.0.2.{host}") > 0 for host in (1, 2, 3, 1, 4, 2, 1)] == [
        *(False, False, False),
        *(True, False, False, True),
    ]


def test_what_was_no_waste_is_not_counted() -> None:
    now_s = 0.0
    step = Doorstep(2, lambda: now_s)
    for _ in range(5):
        step.enter("192.0.2.1")
        step.forgive("192.0.2.1")
    assert [step.wait_s("192.0.2.1") > 0 for _ in range(3)] == [False, False, True]
    now_s = WINDOW_S
    step.enter("192.0.2.1")  # which was let in before the window ended
    for _ in range(2):
        step.forgive("192.0.2.1")
    step.forgive("192.0.2.9")
    assert [step.wait_s("192.0.2.1") > 0 for _ in range(3)] == [False, False, True]


def test_who_has_done_too_much_is_found_without_counting() -> None:
    now_s = 0.0
    step = Doorstep(1, lambda: now_s, window_s=100)
    for _ in range(3):
        step.require("192.0.2.1")
    step.enter("192.0.2.1")
    now_s = 60.0
    with pytest.raises(TooOften) as told:
        step.require("192.0.2.1")
    assert told.value.wait_s == 40
    now_s = 100.0
    step.require("192.0.2.1")
