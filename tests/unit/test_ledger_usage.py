"""Usage by day and lists of requests say what a recount of the calls in plain Python says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from support.books import NOW_S, SIGNER, TERMS, Books, facts, new_books, reservation

from router.ledger import AttemptFacts, Charge, Reserved, requests
from router.ledger.requests import Asked, Mark
from router.ledger.usage import DAY_S, LONGEST_DAYS, Source, Usage, keep_days, usage

TODAY = NOW_S // DAY_S
MODELS = ("terse-1", "wordy-2", "a model with a long name " * 4)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        for idx in (1, 2):
            books.fund(idx, 10**12)
        yield books


@dataclass(frozen=True)
class Made:
    """A call as the test made it."""

    entry_id: str
    idx: int
    user_idx: int | None
    key_id: str
    model: str
    partner_id: int
    own_key: bool
    prompt_tokens: int
    completion_tokens: int
    charge_base: int
    wholesale_base: int
    time_s: int

    @property
    def day(self) -> int:
        return self.time_s // DAY_S


def make(books: Books, chance: random.Random, time_s: int) -> Made:
    idx = chance.choice((1, 2))
    made = Made(
        entry_id="",
        idx=idx,
        user_idx=chance.choice((None, None, 3 - idx)),
        key_id=chance.choice(("aa" * 8, "bb" * 8)),
        model=chance.choice(MODELS),
        partner_id=chance.choice((0, 1)),
        own_key=chance.random() < 0.2,
        prompt_tokens=chance.randrange(1, 10**6),
        completion_tokens=chance.randrange(10**6),
        charge_base=chance.choice((0, 1, chance.randrange(1, 10**6))),
        wholesale_base=chance.randrange(10**6),
        time_s=time_s,
    )
    asked = replace(
        reservation(idx, 10**6, now_s=time_s - chance.randrange(3)),
        key_id=made.key_id,
        user_idx=made.user_idx,
    )
    held = books.ledger.run(asked)
    assert isinstance(held, Reserved)
    used = facts(made.charge_base, time_s=time_s, model=made.model)._replace(
        deployment=f"acme/m@{idx}" if made.own_key else "acme/m",
        prompt_tokens=made.prompt_tokens,
        completion_tokens=made.completion_tokens,
        wholesale_base=made.wholesale_base,
        attempts=(AttemptFacts("slow/m", "UpstreamTimeout", 1200, 0),),
    )
    books.ledger.run(Charge(held.entry_id, used, replace(TERMS, partner_id=made.partner_id), SIGNER))
    return replace(made, entry_id=held.entry_id)


def history(books: Books, seed: int, calls: int = 60) -> list[Made]:
    """Calls of the last weeks and of long ago, in the order of their times."""
    chance = random.Random(seed)
    ages = [chance.choice((0, 0, 1, 2, 30, LONGEST_DAYS - 1, LONGEST_DAYS, 200)) for _ in range(calls)]
    times = sorted(NOW_S - age * DAY_S - chance.randrange(3 * 3600) for age in ages)
    return [make(books, chance, time_s) for time_s in times]


def recounted(calls: list[Made], idx: int) -> tuple[Usage, ...]:
    """What `usage` must say."""
    groups: dict[tuple[int, str, str, int], list[Made]] = {}
    for one in calls:
        sources = []
        if one.idx == idx:
            sources.append(Source.OWN_KEY if one.own_key else Source.ACCOUNT)
        if one.user_idx == idx:
            sources.append(Source.OTHERS)
        for source in sources:
            groups.setdefault((one.day, source, one.model, one.partner_id), []).append(one)
    return tuple(
        Usage(
            *key,
            calls=len(group),
            prompt_tokens=sum(one.prompt_tokens for one in group),
            completion_tokens=sum(one.completion_tokens for one in group),
            largest_tokens=max(one.prompt_tokens + one.completion_tokens for one in group),
            charge_base=sum(one.charge_base for one in group),
            wholesale_base=sum(one.wholesale_base for one in group),
        )
        for key, group in sorted(groups.items())
        if key[0] > TODAY - LONGEST_DAYS
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_usage_is_what_a_recount_says_kept_or_not(books: Books, seed: int) -> None:
    calls = history(books, seed)
    for idx in (1, 2):
        before = books.ledger.read(lambda c, idx=idx: usage(c, idx, NOW_S))
        assert before.rows == recounted(calls, idx)
        assert books.ledger.run(lambda c, idx=idx, kept=before.unkept: keep_days(c, idx, kept)) > 0
        after = books.ledger.read(lambda c, idx=idx: usage(c, idx, NOW_S))
        assert after.rows == before.rows
        assert after.unkept == ()
    chance = random.Random(seed + 100)
    calls += [make(books, chance, NOW_S + DAY_S) for _ in range(5)]
    tomorrow = books.ledger.read(lambda c: usage(c, 1, NOW_S + DAY_S))
    expected = [one for one in recounted(calls, 1) if one.day > TODAY + 1 - LONGEST_DAYS]
    assert tomorrow.rows == tuple(expected)
    assert {one.day for one in tomorrow.unkept} <= {TODAY}


def test_two_who_keep_the_same_days_keep_them_once(books: Books) -> None:
    history(books, 3, 20)
    found = books.ledger.read(lambda c: usage(c, 1, NOW_S))
    assert books.ledger.run(lambda c: keep_days(c, 1, found.unkept)) == len(found.unkept)
    assert books.ledger.run(lambda c: keep_days(c, 1, found.unkept)) == 0
    assert books.ledger.read(lambda c: usage(c, 1, NOW_S)).rows == found.rows


def test_a_day_is_kept_only_when_its_last_charges_are_surely_committed(books: Books) -> None:
    midnight = TODAY * DAY_S
    make(books, random.Random(1), midnight - 1)
    for idx in (1, 2):
        assert books.ledger.read(lambda c, idx=idx: usage(c, idx, midnight + 3599)).unkept == ()
    kept = [books.ledger.read(lambda c, idx=idx: usage(c, idx, midnight + 3600)).unkept for idx in (1, 2)]
    assert any(kept)


@pytest.mark.parametrize("by_others", [False, True], ids=["paid", "by-others"])
@pytest.mark.parametrize("model", [None, MODELS[1]], ids=["all-models", "one-model"])
@pytest.mark.parametrize("key_id", [None, "aa" * 8], ids=["all-keys", "one-key"])
@pytest.mark.parametrize("looked_through", [4, 10_000])
def test_pages_have_each_request_once_newest_first(
    books: Books,
    monkeypatch: pytest.MonkeyPatch,
    by_others: bool,
    model: str | None,
    key_id: str | None,
    looked_through: int,
) -> None:
    monkeypatch.setattr(requests, "LOOKED_THROUGH", looked_through)
    calls = history(books, 4, 40)
    expected = [
        one.entry_id
        for one in calls
        if (one.user_idx if by_others else one.idx) == 1
        and model in (None, one.model)
        and key_id in (None, one.key_id)
    ]
    asked = Asked(1, by_others, model, key_id)
    found: list[str] = []
    pages = 0
    while True:
        page, mark = books.ledger.read(lambda c, asked=asked: requests.requests(c, asked, 7))
        assert len(page) <= 7
        found += [one.call.entry_id for one in page]
        pages += 1
        if mark is None:
            break
        asked = replace(asked, after=Mark.read(str(mark)))
    assert Counter(found) == Counter(expected)
    if not by_others:  # the others are in the order in which they began
        assert found == expected[::-1]
    assert pages >= len(expected) // 7


def test_a_days_requests_are_that_days(books: Books) -> None:
    calls = history(books, 5, 40)
    for day in {one.day for one in calls}:
        page, _ = books.ledger.read(lambda c, day=day: requests.requests(c, Asked(1, day=day), 100))
        assert {one.call.entry_id for one in page} == {
            one.entry_id for one in calls if one.idx == 1 and one.day == day
        }


def test_a_request_is_told_to_who_paid_and_to_who_made_it(books: Books) -> None:
    made = next(one for one in history(books, 6, 30) if one.user_idx == 2)
    books.fund(3, 10**6)
    for idx in (1, 2):
        found = books.ledger.read(lambda c, idx=idx: requests.detail(c, idx, made.entry_id))
        assert found is not None
        assert (found.call.entry_id, found.key_id, found.user_idx) == (made.entry_id, made.key_id, 2)
        assert [(one.deployment, one.outcome, one.ms) for one in found.attempts] == [
            ("slow/m", "UpstreamTimeout", 1200)
        ]
    assert books.ledger.read(lambda c: requests.detail(c, 3, made.entry_id)) is None
    assert books.ledger.read(lambda c: requests.detail(c, 1, "00" * 32)) is None


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-2-3", "x-1", "1" * 13 + "-1", "1 -1"])
def test_a_mark_that_is_none_is_none(text: str) -> None:
    assert Mark.read(text) is None
    assert Mark.read("12-34") == Mark(12, 34)
