"""What mirror learning keeps: each outcome counts once, by whoever may tell, in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.books import NOW_S, Books, new_books, reservation

import router.cli as cli
from router.ledger import Reserved, mirror
from router.ledger.mirror import Answered, FeedbackTooLate, Seen, TooMuchFeedback, UnknownCall
from router.mirror.standing import Weighing
from router.mirror.tally import Cell, Kind

DAY_S = 86_400
MODEL, FORM, STEP, EXPLORED = "house-7b", "choice", 2, 0.05
ALIKE = Weighing(DAY_S, 10_000, 0)
USUAL = Weighing(DAY_S, 10, 1_000_000)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        for idx in (1, 2):
            books.fund(idx, 10**9)
        yield books


def called(books: Books, idx: int = 1) -> str:
    """A finished call's id."""
    call = books.reserve(idx, 1000)
    books.post(call.entry_id, 500)
    return call.entry_id


def answered(entry_id: str) -> Answered:
    return Answered(entry_id, MODEL, FORM, STEP, EXPLORED)


def tell(
    books: Books, entry_id: str, value: float, idx: int = 1, now_s: int = NOW_S, weighing: Weighing = ALIKE
) -> None:
    books.ledger.run(lambda found: mirror.give_feedback(found, idx, entry_id, value, now_s, weighing))


def note(
    books: Books,
    *entry_ids: str,
    seen: tuple[Seen, ...] = (),
    now_s: int = NOW_S,
    weighing: Weighing = ALIKE,
) -> None:
    calls = [answered(one) for one in entry_ids]
    books.ledger.run(lambda found: mirror.record(found, calls, seen, now_s, weighing))


def outcome(kind: Kind, value: float, idx: int = 1) -> Seen:
    return Seen(answered("").cell(kind), value, EXPLORED, idx, 1.0)


def counted(books: Books, kind: Kind = Kind.FEEDBACK) -> tuple[float, float]:
    """Weight and goodness of the one cell of a kind; nothing if nothing was counted."""
    found = books.ledger.read(mirror.counts).get(answered("").cell(kind))
    return (found.weight, found.good) if found else (0.0, 0.0)


def test_feedback_counts_whether_it_comes_before_or_after_the_call_is_noted(books: Books) -> None:
    early, late = called(books), called(books)
    tell(books, early, 1.0)
    assert counted(books) == (0.0, 0.0)
    note(books, early, late)
    tell(books, late, 0.25)
    assert counted(books) == pytest.approx((2.0, 1.25), rel=1e-3)


def test_the_last_word_counts_once(books: Books) -> None:
    call = called(books)
    note(books, call)
    for value in (1.0, 0.0, 0.5):
        tell(books, call, value)
    assert counted(books) == (1.0, 0.5)


def test_a_later_word_changes_what_is_left_of_the_first(books: Books) -> None:
    call = called(books)
    note(books, call)
    tell(books, call, 1.0)
    tell(books, call, 0.0, now_s=NOW_S + DAY_S)
    assert counted(books) == pytest.approx((0.5, 0.0))
    assert books.ledger.read(mirror.counts)


def test_nobody_judges_the_calls_of_others(books: Books) -> None:
    call = called(books, 2)
    note(books, call)
    with pytest.raises(UnknownCall):
        tell(books, call, 1.0, idx=1)
    with pytest.raises(UnknownCall):
        tell(books, "0" * 64, 1.0)
    assert counted(books) == (0.0, 0.0)


def test_a_call_is_judged_when_it_has_ended(books: Books) -> None:
    with pytest.raises(UnknownCall):
        tell(books, books.reserve(1, 1000).entry_id, 1.0)


def test_a_call_is_judged_in_time(books: Books) -> None:
    call = called(books)
    tell(books, call, 1.0, now_s=NOW_S + mirror.FEEDBACK_S)
    with pytest.raises(FeedbackTooLate) as refused:
        tell(books, call, 0.0, now_s=NOW_S + mirror.FEEDBACK_S + 1)
    assert refused.value.age_s == mirror.FEEDBACK_S + 1


def test_an_account_has_so_many_verdicts_a_day(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MOST_A_DAY", 2)
    calls = [called(books) for _ in range(3)]
    tell(books, calls[0], 1.0)
    tell(books, calls[1], 1.0, now_s=NOW_S + 10)
    tell(books, calls[1], 0.0, now_s=NOW_S + 20)  # another word on the same call
    with pytest.raises(TooMuchFeedback) as refused:
        tell(books, calls[2], 1.0, now_s=NOW_S + 20)
    assert refused.value.wait_s == DAY_S - 20
    tell(books, calls[2], 1.0, now_s=NOW_S + DAY_S)
    tell(books, called(books, 2), 1.0, idx=2, now_s=NOW_S + 20)


def test_checks_count_by_kind_and_old_calls_go(books: Books) -> None:
    call = called(books)
    seen = tuple(outcome(Kind.FORMAT, value) for value in (1.0, 0.0, 1.0))
    note(books, call, seen=seen)
    assert counted(books, Kind.FORMAT) == (1.5, 1.0)
    note(books, now_s=NOW_S + mirror.FEEDBACK_S + 2 * DAY_S)
    tell(books, call, 1.0)  # is kept, but of whom it speaks is forgotten
    assert counted(books) == (0.0, 0.0)


def test_what_was_learned_can_be_dropped(books: Books) -> None:
    note(books, seen=(outcome(Kind.RETRY, 0.0),))
    assert books.ledger.run(lambda found: mirror.forget(found, "another")) == 0
    assert books.ledger.run(lambda found: mirror.forget(found, MODEL)) == 1
    assert books.ledger.run(lambda found: mirror.forget(found, None)) == 0
    assert books.ledger.read(mirror.counts) == {}


def test_commands(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_books(database) as books:
        books.fund(1, 10**9)
        called(books)
        note(books, seen=(outcome(Kind.FEEDBACK, 0.0),), now_s=int(time.time()))
    (tmp_path / "router.json").write_text('{"providers": {}, "deployments": []}')
    monkeypatch.setenv("VIBES_LEDGER_URL", database)
    monkeypatch.setenv("VIBES_CONFIG", str(tmp_path / "router.json"))

    def run(*args: str) -> str:
        ended = CliRunner().invoke(cli.main, ["learning", *args])
        assert ended.exit_code == 0, ended.output
        return ended.output

    (line,) = run("show").splitlines()
    told = json.loads(line)
    assert (told["model"], told["form"], told["weight"]) == (MODEL, FORM, 1.0)
    assert told["offset"] < 0
    assert json.loads(run("steps")) == {"percent": 0, "quality_changes_by": {"judged": 0, "saved": 0.0}}
    assert "25 % of accounts follow what was learned once auto.learning in " in run("follow", "25")
    following = {"auto": {"learning": {"enabled": True, "follow": True}}}
    (tmp_path / "router.json").write_text(json.dumps({"providers": {}, "deployments": []} | following))
    assert run("follow", "0") == "0 % of accounts follow what was learned\n"
    told = [json.loads(line) for line in run("steps").splitlines()]
    assert [one["percent"] for one in told] == [0, 0, 25]
    assert run("forget", "--model", "another") == "0 counts dropped\n"
    assert run("forget") == "1 counts dropped\n"
    assert run("show") == ""


def test_many_verdicts_of_one_account_count_as_few_of_others(books: Books) -> None:
    for idx in (3, 4):
        books.fund(idx, 10**9)
    weighing = Weighing(DAY_S, 10, 0)
    for idx, verdicts in ((1, 1), (3, 10), (4, 60)):
        calls = [called(books, idx) for _ in range(verdicts)]
        note(books, *calls)
        before = counted(books)[0]
        for call in calls:
            tell(books, call, 0.0, idx, weighing=weighing)
        weight = counted(books)[0] - before
        assert weight == pytest.approx(verdicts * 10 / (verdicts + 9))
    later = NOW_S + DAY_S
    late = called(books, 4)
    note(books, late, now_s=later)
    before = counted(books)[0]
    tell(books, late, 0.0, 4, later, weighing)  # another day
    assert counted(books)[0] == pytest.approx(before / 2 + 1.0)


def test_verdicts_that_come_before_their_calls_are_noted_count_as_others(books: Books) -> None:
    calls = [called(books) for _ in range(20)]
    for call in calls:
        tell(books, call, 0.0)
    weighing = Weighing(DAY_S, 10, 0)
    note(books, *calls[:15], weighing=weighing)
    assert counted(books)[0] == pytest.approx(150 / 24)
    note(books, *calls[15:], weighing=weighing)
    assert counted(books)[0] == pytest.approx(200 / 29)


def test_verdicts_on_another_model_count_by_themselves(books: Books) -> None:
    calls = [called(books) for _ in range(20)]
    others = [Answered(one, "another", FORM, STEP, EXPLORED) for one in calls]
    books.ledger.run(lambda found: mirror.record(found, others, [], NOW_S, ALIKE))
    for call in calls:
        tell(books, call, 0.0, weighing=Weighing(DAY_S, 10, 0))
    mine = called(books)
    note(books, mine)
    tell(books, mine, 0.0, weighing=Weighing(DAY_S, 10, 0))
    assert counted(books) == (1.0, 0.0)
    other = Cell("another", FORM, Kind.FEEDBACK, STEP)
    assert books.ledger.read(mirror.counts)[other].weight == pytest.approx(200 / 29)


def test_the_last_word_takes_back_no_more_than_was_said(books: Books) -> None:
    calls = [called(books) for _ in range(30)]
    note(books, *calls)
    weighing = Weighing(DAY_S, 10, 0)
    for at, call in enumerate(calls):
        tell(books, call, 1.0, now_s=NOW_S + at, weighing=weighing)
    for call in calls:
        tell(books, call, 0.0, now_s=NOW_S + 60, weighing=weighing)
    weight, good = counted(books)
    assert weight == pytest.approx(300 / 39, rel=0.01)
    assert good == pytest.approx(0.0, abs=0.01)


def test_who_has_paid_little_counts_little(books: Books) -> None:
    cheap = books.reserve(1, 1000).entry_id
    books.post(cheap, 1)
    note(books, cheap)
    tell(books, cheap, 0.0, weighing=USUAL)
    assert counted(books)[0] <= 1e-6
    books.call(2, 1_000_000)  # with what the next one costs a little more than half is believed
    paid = called(books, 2)
    note(books, paid)
    tell(books, paid, 0.0, 2, weighing=USUAL)
    assert counted(books)[0] == pytest.approx(0.5, abs=0.001)
    note(books, seen=(outcome(Kind.FORMAT, 1.0), outcome(Kind.FORMAT, 0.0, 2)), weighing=USUAL)
    assert counted(books, Kind.FORMAT) == pytest.approx((0.25, 0.0), abs=0.001)


def test_who_calls_on_credit_judges_too(books: Books) -> None:
    books.fund(3, 10**9)
    held = books.ledger.run(replace(reservation(2, 1000), user_idx=3))
    assert isinstance(held, Reserved)
    books.post(held.entry_id, 500)
    note(books, held.entry_id)
    tell(books, held.entry_id, 1.0, idx=3)
    assert counted(books) == (1.0, 1.0)
    with pytest.raises(UnknownCall):
        tell(books, held.entry_id, 0.0, idx=1)
