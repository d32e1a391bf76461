"""Epochs of rewards in the ledger: what counts, what vests, what refunds take back, and who is told what."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, event
from sqlalchemy.exc import DatabaseError
from support.books import SIGNER, TERMS, Books, facts, new_books, slot
from support.forked import FORKS
from support.rewarding import EPOCH_S, Rewarding, close_and_die, configured

import router.cli as cli
from router.ledger import Charge, UnknownEntry, reverse, rewards, schema
from router.ledger.models import Kind
from router.ledger.reward_epochs import share
from router.ledger.reward_tables import REWARD
from router.ledger.rewards import ReferralRefused, RefundRefused
from router.rewards import close_epoch

RICH_BASE = 10**12


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        for idx in (1, 2, 3):
            books.fund(idx, RICH_BASE)
        yield books


def test_a_settled_call_earns_vests_an_epoch_later_and_is_due(books: Books) -> None:
    play = Rewarding(books)
    play.call(1, 50_000)
    assert play.close() is not None  # nothing is settled yet, so nothing counts
    assert play.view(1).earned_base == 0
    play.settle(1)
    play.call(1, 1_000_000)  # counts once it is settled
    play.close()
    assert (play.view(1).earned_base, play.view(1).vesting_base, play.due()) == (5_000, 5_000, {})
    play.close()
    assert (play.view(1).earned_base, play.view(1).vesting_base, play.due()) == (5_000, 0, {1: 5_000})
    play.settle(1, reward_base=5_000)
    assert (play.view(1).paid_base, play.due()) == (5_000, {})
    assert books.balances()["pool"] == 105_000 - 5_000
    books.check()


def test_an_epochs_calls_are_never_all_in_memory(books: Books) -> None:
    play = Rewarding(books)
    play.call(1, 50_000)
    play.settle(1)
    used: list[type] = []

    def note(_connection: object, cursor: object, statement: str, *_: object) -> None:
        if "FROM call " in statement and "call_score" in statement:
            used.append(type(cursor))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        play.close()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    streaming = psycopg.ServerCursor if books.ledger.engine.dialect.name == "postgresql" else sqlite3.Cursor
    assert used
    assert set(used) == {streaming}


def test_weights_share_the_pool_and_caps_keep_the_rest_in_it(books: Books) -> None:
    play = Rewarding(books)
    for idx, score in ((1, 80), (2, 60), (3, 40)):
        play.call(idx, 100_000, score)
    play.call(3, 100_000, 39)
    play.settle(1, 2, 3)
    closed = play.close()
    assert closed is not None
    assert closed.epoch.pool_base == 40_000
    pool, weights = 40_000, 50 + 25 + 10
    assert closed.epoch.rewards_base == {1: 10_000, 2: 10_000, 3: pool * 10 // weights}


def test_what_earns_nothing_fills_no_pool(books: Books) -> None:
    """The operator's own accounts, a partner that calls itself, and calls on the user's own provider key."""
    books.fund(7, RICH_BASE)
    books.fund(8, RICH_BASE)
    config = configured(
        partners=[{"id": 1, "name": "own", "bps": 3000, "accounts": [2]}, {"id": 2, "name": "x", "bps": 0}],
        promotion={"sponsor": 7},
    )
    play = Rewarding(books, config)
    play.call(7, 10_000)
    play.call(2, 20_000)
    play.call(2, 40_000, terms=replace(TERMS, partner_id=2))
    held = books.reserve(3, 80_000)
    own_key = facts(80_000)._replace(deployment="acme/m@3")
    books.ledger.run(Charge(held.entry_id, own_key, replace(TERMS, partner_id=0), SIGNER))
    play.settle(2, 3, 7)
    closed = play.close()
    assert closed is not None
    assert closed.epoch.fees_base == {2: 40_000}
    assert closed.epoch.rewards_base == {2: 4_000}


def test_calls_from_before_rewards_began_earn_nothing(books: Books) -> None:
    books.call(1, 70_000)
    play = Rewarding(books)
    play.call(1, 30_000)
    play.settle(1)
    closed = play.close()
    assert closed is not None
    assert closed.epoch.fees_base == {1: 30_000}


def test_a_call_without_a_score_weighs_as_the_lowest_band(books: Books) -> None:
    play = Rewarding(books)
    play.call(1, 100_000, None)
    play.call(2, 100_000, 40)
    play.call(3, 100_000, 90)
    play.settle(1, 2, 3)
    closed = play.close()
    assert closed is not None
    assert closed.epoch.rewards_base == {1: 30_000 // 7, 2: 30_000 // 7, 3: 10_000}


def test_near_duplicates_weigh_half_of_the_one_before_whoever_makes_them(books: Books) -> None:
    play = Rewarding(books)
    for idx in (1, 2, 1):
        play.call(idx, 100_000, 100, fingerprint=5)
    play.call(3, 100_000, 100)
    play.settle(1, 2, 3)
    closed = play.close()
    assert closed is not None
    weights = {1: 50 + 12.5, 2: 25, 3: 50}
    expected = {idx: int(40_000 * weight // sum(weights.values())) for idx, weight in weights.items()}
    assert closed.epoch.rewards_base == expected | {3: 10_000}


def test_a_refund_takes_back_what_has_not_vested(books: Books) -> None:
    play = Rewarding(books)
    refunded, partly, kept = (play.call(1, 100_000) for _ in range(3))
    play.settle(1)
    play.close()
    assert play.view(1).vesting_base == 30_000
    assert play.refund(refunded) == (1, 100_000)
    assert play.refund(refunded) == (1, 100_000)  # recorded once
    assert play.refund(partly, 40_000, "part") == (1, 40_000)
    play.close()
    assert (play.view(1).earned_base, play.due()) == (16_000, {1: 16_000})
    with pytest.raises(RefundRefused, match="has vested"):
        play.refund(kept)
    books.check()


def test_a_refund_before_the_epoch_closes_counts_as_no_call(books: Books) -> None:
    play = Rewarding(books)
    refunded = play.call(1, 100_000)
    play.call(2, 100_000, 40)
    play.refund(refunded)
    play.settle(1, 2)
    closed = play.close()
    assert closed is not None
    assert (closed.epoch.pool_base, closed.epoch.rewards_base) == (10_000, {2: 10_000})


@pytest.mark.parametrize(
    ("amount_base", "reference", "problem"),
    [(100_001, "a", "100000 base units"), (99_999, "first", "something else")],
)
def test_refunds_are_refused(books: Books, amount_base: int, reference: str, problem: str) -> None:
    play = Rewarding(books)
    call, other = play.call(1, 100_000), play.call(1, 100_000)
    play.refund(other, 5, "first")
    with pytest.raises(RefundRefused, match=problem):
        play.refund(call, amount_base, reference)
    with pytest.raises(UnknownEntry):
        play.refund("f" * 64, 1, "new")


def test_a_referral_moves_weight_inside_the_referrers_own_bound(books: Books) -> None:
    play = Rewarding(books, configured(rewards={"epoch_s": EPOCH_S, "referral_bps": 2000}))
    assert play.refer(2, 1) == 1
    assert play.refer(2, 1) == 1
    play.call(1, 10_000, 0)
    play.call(2, 100_000, 100)
    play.call(3, 100_000, 100)
    play.settle(1, 2, 3)
    closed = play.close()
    assert closed is not None
    assert closed.epoch.pool_base == 21_000
    assert closed.epoch.rewards_base == {1: 1_000, 2: 21_000 * 40 // 100, 3: 10_000}  # 1 is at its bound
    assert play.view(2).referrer_idx == 1


def test_referrers_are_refused(books: Books) -> None:
    play = Rewarding(books)
    play.refer(2, 1)
    for idx, code, problem in (
        (2, rewards.referral_code(3), "another referrer"),
        (1, rewards.referral_code(1), "does not refer itself"),
        (1, rewards.referral_code(99), "no account"),
        (1, "3-000000", "no account"),
        (1, "x" * 40, "no account"),
    ):
        with pytest.raises(ReferralRefused, match=problem):
            books.ledger.run(lambda c, idx=idx, code=code: rewards.name_referrer(c, idx, code, 0))
    play.call(3, 10)
    with pytest.raises(ReferralRefused, match="first paid call"):
        play.refer(3, 1)


def test_a_referrer_without_calls_of_its_own_has_no_bound_to_fill(books: Books) -> None:
    play = Rewarding(books)
    play.refer(2, 1)
    play.call(1, 100_000)
    play.settle(1)
    play.close()
    play.call(2, 100_000)
    play.settle(2)
    closed = play.close()
    assert closed is not None
    assert closed.epoch.rewards_base == {2: 9_000}  # account 1 got all that its fees put in before
    play.close()
    assert play.due() == {1: 10_000, 2: 9_000}


def test_the_database_keeps_what_has_vested(books: Books) -> None:
    play = Rewarding(books)
    play.call(1, 100_000)
    play.settle(1)
    play.close(), play.close()
    for statement in (REWARD.update().values(vested_base=0), REWARD.delete()):
        with pytest.raises(DatabaseError):
            books.ledger.run(lambda c, statement=statement: c.execute(statement))


def test_a_dropped_batch_takes_its_rewards_back_and_pays_them_again(books: Books) -> None:
    play = Rewarding(books)
    play.call(1, 100_000)
    play.settle(1)
    play.close(), play.close()
    play.settle(1, reward_base=10_000)
    assert play.due() == {}
    assert books.ledger.run(lambda c: reverse(c, [(Kind.BATCH, "batch-2")])) == 1
    assert play.due() == {1: 10_000}
    books.check()


def test_no_downgrade_loses_rewards(books: Books, database: str) -> None:
    play = Rewarding(books)
    play.call(1, 100_000)
    play.settle(1)
    play.close()
    with pytest.raises(schema.WouldLoseMoney, match="rewards"):
        schema.downgrade(database, "0008")


def test_no_downgrade_forgets_refunds(books: Books, database: str) -> None:
    """A refund that is forgotten is recorded, and paid, a second time."""
    play = Rewarding(books)
    play.refund(play.call(1, 100_000))
    with pytest.raises(schema.WouldLoseMoney, match="1 refunds"):
        schema.downgrade(database, "0008")


def test_no_downgrade_forgets_referrers(books: Books, database: str) -> None:
    Rewarding(books).refer(2, 1)
    with pytest.raises(schema.WouldLoseMoney, match="1 referrals"):
        schema.downgrade(database, "0008")


@pytest.mark.parametrize("step", ["end", "reckon", "share"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_kill_9_between_any_steps_neither_loses_nor_doubles(books: Books, step: str, where: str) -> None:
    play = Rewarding(books)
    play.call(1, 100_000), play.call(2, 50_000, 60)
    play.settle(1, 2)
    play.close()
    play.call(2, 30_000, 90)
    play.settle(2)
    url = books.ledger.engine.url.render_as_string(hide_password=False)
    process = FORKS.Process(target=close_and_die, args=(url, play.now_s, step, where))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    books.check()
    closed = play.close()
    assert closed is not None
    assert closed.number == 2
    assert play.close() is not None
    views = [play.view(idx) for idx in (1, 2)]
    assert [(view.earned_base, view.vesting_base) for view in views] == [(10_000, 0), (6_000, 0)]


def test_two_that_close_at_once_share_out_once(books: Books) -> None:
    play = Rewarding(books)
    play.call(1, 100_000)
    play.settle(1)
    first = play.close()
    play.now_s -= EPOCH_S
    assert first is not None
    assert play.close() is None
    assert books.ledger.run(lambda c: share(c, first, 0)) is True
    assert play.view(1).earned_base == 10_000


def test_a_clock_that_was_ahead_keeps_nobody_from_closing_by_hand(books: Books) -> None:
    play = Rewarding(books)
    play.call(1, 100_000)
    play.settle(1)
    play.now_s += 10**9  # the clock jumps ahead,
    assert play.close() is not None
    play.now_s -= 10**9  # and is set right
    assert play.close() is None
    closed = close_epoch(books.ledger, play.config, play.now_s, early=True)
    assert closed is not None
    assert closed.number == 2
    assert play.due() == {1: 10_000}
    play.now_s += EPOCH_S
    assert play.close() is not None


def test_the_commands(books: Books, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "router.json"
    config.write_text(json.dumps({"providers": {}, "deployments": []}))
    monkeypatch.setenv("VIBES_LEDGER_URL", database)
    monkeypatch.setenv("VIBES_CONFIG", str(config))

    def run(*command: str) -> str:
        result = CliRunner().invoke(cli.main, ["rewards", *command])
        assert result.exit_code == 0, result.output
        return result.output

    assert run("close-epoch") == "no epoch has ended\n"
    play = Rewarding.__new__(Rewarding)
    play.books = books
    entry_id = play.call(1, 100_000)
    books.settle(1, slot(1, charge=100_000))
    assert run("close-epoch") == "no epoch has ended\n"
    assert run("close-epoch", "--now").startswith("epoch 1: 1 accounts earned 10000 of 10000 base units")
    epoch = json.loads(run("show"))
    assert (epoch["number"], epoch["earned_base"], epoch["vested_base"]) == (1, 10_000, None)
    told = run("refund", entry_id, "--amount-base", "50000", "--reference", "t1")
    assert told == "recorded: send 50000 base units with depositFor(1, 50000)\n"
    run("close-epoch", "--now")
    shown = json.loads(run("show", "--account", "1"))
    assert shown == {
        "earned_base": 5_000,
        "vesting_base": 0,
        "paid_base": 0,
        "referrer_idx": None,
        "referral_code": rewards.referral_code(1),
    }
