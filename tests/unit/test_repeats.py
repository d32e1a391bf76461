"""Prompts that are sent again: one outcome of each, none of what a machine repeats, in bounded memory."""

from __future__ import annotations

import pytest

from router.mirror import repeats
from router.mirror.repeats import MOST_SENT, REMEMBERED_S, SETTLED_S, SOON_S, Repeats
from router.mirror.standing import MOST_KEYS, Shares, Weighing

MARK = b"a prompt"


def told(found: Repeats[int], now_s: float) -> list[tuple[int, bool]]:
    return list(found.outcomes(now_s))


def sent(*times_s: float, long_s: float = 1.0) -> Repeats[int]:
    """One prompt that came at these times, and was answered after so long."""
    found: Repeats[int] = Repeats()
    for number, at_s in enumerate(times_s):
        found.sent(MARK, number, at_s, at_s + long_s)
    return found


def test_a_prompt_that_is_sent_once_was_answered_well() -> None:
    found = sent(0)
    assert found.watching
    assert told(found, SETTLED_S) == []
    assert told(found, 1 + SETTLED_S) == [(0, True)]
    assert told(found, 10 * SETTLED_S) == []
    assert not found.watching


@pytest.mark.parametrize("times_s", [(0, 60), (0, SOON_S + 1), (0, 60, 120)])
def test_who_asks_again_soon_was_not(times_s: tuple[float, ...]) -> None:
    assert told(sent(*times_s), 1000) == [(0, False)]


def test_who_asks_again_later_was() -> None:
    assert told(sent(0, SOON_S + 2), 1000) == [(0, True)]


def test_a_prompt_has_one_outcome_in_an_hour() -> None:
    found = sent(0, 60)
    assert told(found, 400) == [(0, False)]
    for at_s in (500, 560, 560 + REMEMBERED_S):  # each within an hour of the one before
        found.sent(MARK, 1, at_s, at_s + 1)
        assert told(found, at_s + 300) == []
    later_s = 10 * REMEMBERED_S
    found.sent(MARK, 2, later_s, later_s + 1)
    assert told(found, later_s + 300) == [(2, True)]


def test_a_probe_says_nothing() -> None:
    found: Repeats[int] = Repeats()
    outcomes = []
    for minute in range(24 * 60):
        found.sent(MARK, minute, 60.0 * minute, 60.0 * minute + 2)
        outcomes += told(found, 60.0 * minute + 2)
    assert outcomes + told(found, 10**6) == []


def test_answers_that_are_asked_for_side_by_side_say_nothing() -> None:
    assert told(sent(0, 1, long_s=5), 1000) == []
    assert told(sent(0, 5, long_s=5), 1000) == [(0, False)]


def test_so_many_and_no_more_are_a_persons() -> None:
    assert told(sent(*range(0, 10 * MOST_SENT, 10)), 1000) == [(0, False)]
    assert told(sent(*range(0, 10 * MOST_SENT + 1, 10)), 1000) == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST_PROMPTS", 3)
    found: Repeats[int] = Repeats()
    for number in range(10):
        found.sent(bytes([number]), number, number, number)
    assert told(found, 10 + SETTLED_S) == [(7, True), (8, True), (9, True)]
    assert len(found._settled) == 3
    assert told(found, 20 + SETTLED_S + REMEMBERED_S) == []
    assert len(found._settled) == 0


def test_shares_of_a_day() -> None:
    weighing, shares = Weighing(3600, 10, 0), Shares()
    had = [shares.take(weighing, 0, 1, "model") for _ in range(1000)]
    assert had[0] == 1.0
    assert had == sorted(had, reverse=True)
    assert sum(had[:10]) == pytest.approx(100 / 19)
    assert 9.9 < sum(had) < 10
    assert shares.take(weighing, 0, 1, "another") == shares.take(weighing, 86_400, 1, "model") == 1.0
    for number in range(MOST_KEYS + 5):
        shares.take(weighing, 0, number)
    assert len(shares._had) == MOST_KEYS
    assert Weighing(3600, 1, 0).share(0) == 1.0
    assert Weighing(3600, 1, 0).share(1) == 0.0


def test_standing_grows_with_what_was_paid() -> None:
    weighing = Weighing(3600, 10, 1000)
    assert [weighing.standing(spent) for spent in (0, 1, 1000, 9000)] == [0.0, 0.000999, 0.5, 0.9]
    assert Weighing(3600, 10, 0).standing(0) == 1.0
