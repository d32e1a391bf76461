"""Who follows what was learned: choices, lots and their chances, the log, and the share that moves."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Connection
from support.books import NOW_S, Books, new_books

from mini_llm.auto.choice import Choice, Option
from mini_llm.auto.predictor import Prediction
from mini_llm.routing.mirroring import BY_LOT, mirrored
from router.config import RouterConfig
from router.following import Follower
from router.ledger import learning_steps, mirror
from router.ledger.learning_steps import DrawnFacts, Share
from router.ledger.mirror import Answered, Seen
from router.mirror.standing import Weighing
from router.mirror.tally import Kind

MODELS = ("cheap", "dear", "poor")
OPTIONS = [Option(0.8, 10), Option(0.9, 100), Option(0.3, 1)]
MOVED = [Option(0.5, 10), Option(0.9, 100), Option(0.3, 1)]
USUAL = Choice(0, (0, 1, 2), 0.75, "usual")
LEARNED = Choice(1, (1, 0, 2), 0.8, "learned")
FOLLOWING = RouterConfig.model_validate(
    {"providers": {}, "deployments": [], "auto": {"learning": {"enabled": True, "follow": True}}}
)
PROVEN_BASE = FOLLOWING.weighing.proven_base


class Fixed:
    """Draws what it is told, and remembers who might have been drawn."""

    active = True

    def __init__(self, at: int) -> None:
        self.at, self.allowed = at, [-1]

    def correct(self, prediction: Prediction, models: Sequence[str]) -> Prediction:
        return prediction

    def draw(
        self, account: str, options: int, shipped: int, learned: int, allowed: Sequence[int]
    ) -> tuple[int, tuple[float, ...]]:
        self.allowed = list(allowed)
        return self.at, (0.5, 0.3, 0.2)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        for idx in range(1, 6):
            books.fund(idx, 10**9)
            books.call(idx, PROVEN_BASE)
        yield books


@pytest.mark.parametrize(
    ("at", "ranked", "why"), [(0, (0, 1, 2), "usual"), (1, (1, 0, 2), "learned"), (2, (2, 0, 1), BY_LOT)]
)
def test_the_drawn_one_goes_first(at: int, ranked: tuple[int, ...], why: str) -> None:
    fixed = Fixed(at)
    choice, options, drawn = mirrored(fixed, "1", True, MODELS, (USUAL, OPTIONS), (LEARNED, MOVED), 4)
    assert choice.ranked == ranked
    assert why in choice.reason
    assert options is (MOVED if at == 1 else OPTIONS)
    assert (drawn.chosen, drawn.shipped, drawn.learned) == (MODELS[at], "cheap", "dear")
    assert (drawn.shipped_chance, drawn.learned_chance) == (0.5, 0.3)
    assert (drawn.shipped_quality, drawn.learned_quality) == (0.5, 0.9)
    assert (drawn.shipped_base, drawn.learned_base) == (10, 100)
    assert fixed.allowed == [0, 1]  # the poor one does not reach the floor


def test_lots_cost_no_more_than_the_plan_and_are_drawn_for_calls_only() -> None:
    fixed = Fixed(0)
    mirrored(fixed, "1", True, MODELS, (USUAL, OPTIONS), (LEARNED, MOVED), 1)  # the dear one is not planned
    assert fixed.allowed == []
    mirrored(fixed, "1", False, MODELS, (USUAL, OPTIONS), (LEARNED, MOVED), 4)
    assert fixed.allowed == []


def test_chances_are_those_with_which_models_are_asked(books: Books) -> None:
    follower = Follower(books.ledger, FOLLOWING, b"secret")
    follower._rng = random.Random(1)
    follower.percent = 25
    asked, calls = [0, 0, 0], 20_000
    for account in range(calls):
        at, chances = follower.draw(str(account), 3, 0, 1, [0, 1])
        asked[at] += 1
    assert chances == pytest.approx((0.74, 0.26, 0.0))
    assert [one / calls for one in asked] == pytest.approx(chances, abs=0.01)
    follower.pause(60.0)
    assert follower.draw("1", 3, 0, 1, [0, 1])[1] == (0.75, 0.25, 0.0)


def facts(entry_id: str, idx: int, served: str) -> DrawnFacts:
    return DrawnFacts(entry_id, idx, served, "old", "new", 0.5, 0.5, 0.5, 0.5, 100, 80)


def play(books: Books, calls: int, good: dict[str, float]) -> None:
    """Judged calls, each by the old or the new model."""
    made_s = int(time.time()) - 10
    lots = [facts(f"{at:064x}", at % 5 + 1, ("old", "new")[at % 7 % 2]) for at in range(calls)]
    judge(books, lots, [good[lot.served] for lot in lots], made_s)


def judge(books: Books, lots: list[DrawnFacts], values: list[float], made_s: int) -> None:
    rows = [
        {"entry_id": lot.entry_id, "account_idx": lot.account_idx, "value": value, "told_s": NOW_S}
        for lot, value in zip(lots, values, strict=True)
    ]

    def write(connection: Connection) -> None:
        learning_steps.log(connection, lots, made_s)
        connection.execute(mirror.CALL_FEEDBACK.insert(), rows)

    books.ledger.run(write)


async def test_the_share_grows_with_a_gain_and_ends_with_a_loss(books: Books) -> None:
    follower = Follower(books.ledger, FOLLOWING, b"secret")
    assert books.ledger.read(learning_steps.in_force) == Share()
    play(books, 250, {"old": 0.2, "new": 0.9})
    await follower._refresh()
    assert follower.percent == 5
    (step,) = books.ledger.read(learning_steps.shares)
    assert (step.percent, step.number) == (5, 1)
    assert "quality changes by" in step.reason
    other = Follower(books.ledger, FOLLOWING, b"secret")
    await other._refresh()  # another worker, or the same one after a restart: nothing new was judged since
    assert other.percent == 5

    def flip(connection: object) -> None:
        table = mirror.CALL_FEEDBACK
        connection.execute(table.update().values(value=1 - table.c.value))  # type: ignore[attr-defined]
        made = learning_steps.DRAWN_CALL
        connection.execute(made.update().values(made_s=step.at_s + 1))  # type: ignore[attr-defined]

    books.ledger.run(flip)
    await other._refresh()
    assert other.percent == 0
    assert "taken back" in books.ledger.read(learning_steps.in_force).reason
    await follower._refresh()
    assert follower.percent == 0


def test_no_account_is_all_that_a_step_rests_on(books: Books) -> None:
    play(books, 1000, {"old": 0.2, "new": 0.9})
    crowd = [facts(f"{number:064x}", 1, "new") for number in range(1000, 1900)]  # the last to say something

    judge(books, crowd, [0.0] * len(crowd), int(time.time()))
    found = books.ledger.read(lambda connection: learning_steps.evidence(connection, PROVEN_BASE))
    assert Counter(row.account_idx for row in found.rows) == dict.fromkeys(range(1, 6), 80)
    books.fund(6, 10**9)
    books.ledger.run(
        lambda c: c.execute(learning_steps.DRAWN_CALL.update().values(account_idx=6))  # who paid nothing
    )
    assert not books.ledger.read(lambda connection: learning_steps.evidence(connection, PROVEN_BASE)).rows


def test_only_one_of_two_workers_takes_a_step(books: Books) -> None:
    def take(percent: int) -> bool:
        return books.ledger.run(lambda found: learning_steps.take(found, Share(), percent, "test", NOW_S))

    assert take(5)
    assert not take(25)
    assert [one.percent for one in books.ledger.read(learning_steps.shares)] == [5]


async def test_beliefs_are_read(books: Books) -> None:
    seen = [Seen(Answered("", "old", "open", 2, 0.05).cell(Kind.FEEDBACK), 0.0, 0.05, 1, 1.0)] * 50
    books.ledger.run(lambda found: mirror.record(found, [], seen, NOW_S, Weighing(3600, 10, 0)))
    follower = Follower(books.ledger, FOLLOWING, b"secret")
    follower.beliefs = follower._looked(NOW_S)[0]
    assert follower.beliefs.of("old", "open").offset < -1
    told = Prediction(0.5, 0.1, (0.7, 0.7), "open", (1.0, 1.0))
    assert follower.correct(told, ["old", "new"]).quality[0] < 0.5
