"""The watching loop: what it waits out, what ends it, which alerts it raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from support.anvil import ROOT

from bridge.alerts import ADVICE, Alerts
from bridge.config import HealthLimits
from bridge.errors import (
    BatchTaken,
    BridgeError,
    ContractReverted,
    LeadershipLost,
    RpcRefused,
    RpcUnavailable,
    SettlementFailed,
    StateMismatch,
)
from bridge.health import CODES, problems
from bridge.pipeline import Pipeline
from bridge.prover import ProverFailed
from bridge.status import ChainFacts, Keys, OpenBatch, Status
from bridge.store import Store, open_store
from bridge.tables import BatchStep
from bridge.watch import STOPPED, WAITED_OUT, watch

GOOD = Status(
    settlement="0x",
    chain=ChainFacts(31337, 0, 100, 1_000, 1_000, 10**18, Keys("0xop", "0xsig", "0xgu", {})),
    indexed_block=100,
    lag_blocks=0,
    lag_s=0,
    accounts=1,
    frozen_accounts=0,
    paused=False,
    batches=1,
    last_batch=1,
    last_tx="0x",
    open_batches=(),
    unsettled_base=0,
    unsettleable_base=0,
    queue_age_s=None,
    next_deadline_s=None,
    waiting_requests=0,
    unmirrored_events=0,
    deficits={},
    leader=None,
    alerts=(),
)  # fmt: skip


class Stopped(Exception):
    """The script is over."""


class Scripted:
    """A pipeline whose turns are told beforehand."""

    settings = type("Settings", (), {"health": HealthLimits()})()

    def __init__(self, store: Store, events: list[Mapping[str, object]], turns: list[Any]) -> None:
        self.alerts, self._turns = Alerts(store, events.append), turns
        self.ended_with: list[str] | None = None
        self._store = store

    def warm_up(self) -> None:
        """Nothing to load."""

    def steps(self) -> dict[int, BatchStep]:
        return {}

    def status(self) -> Status:
        return GOOD

    def publish(self, status: Status) -> None:
        """Nobody reads it."""

    def publish_end(self) -> None:
        self.ended_with = [alert.detail for alert in self._store.open_alerts()]

    def turn(self) -> None:
        if not self._turns:
            raise KeyboardInterrupt
        outcome = self._turns.pop(0)
        if outcome is not None:
            raise outcome


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[Any], Store, list[str]]]:
    monkeypatch.setattr("bridge.watch.time.sleep", lambda _seconds: None)

    def watching(*turns: BridgeError | None) -> tuple[list[Any], Store, list[str]]:
        store, events, reports = open_store(f"sqlite:///{tmp_path}/bridge.db"), [], []
        with pytest.raises((KeyboardInterrupt, BridgeError)):
            watch(cast(Pipeline, Scripted(store, events, list(turns))), 1, reports.append)
        return events, store, reports

    return watching


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BatchTaken(3), "batch_taken"),
        (RpcUnavailable("eth_call", "Timeout"), "node_unreachable"),
        (RpcRefused("eth_call", -1, "no"), "node_refused"),
        (ContractReverted("settleBatch", "NotOperator"), "settlement_refused"),
        (SettlementFailed(1, "0x"), "settlement_refused"),
        (ProverFailed("batch4", "died"), "prover_failed"),
    ],
)
def test_what_may_be_over_soon_is_waited_out_with_an_alert(run: Any, error: BridgeError, code: str) -> None:
    events, store, reports = run(error, error, None)
    assert [(event["alert"], event["state"]) for event in events] == [(code, "opened"), (code, "cleared")]
    assert events[0]["detail"] == str(error)
    assert store.open_alerts() == []
    assert [alert.code for alert in store.alerts()] == [code]
    assert reports == [f"{error}; trying again in 1 s"] * 2


def test_an_error_that_shows_a_wrong_node_or_store_ends_it_and_stays_open(run: Any) -> None:
    events, store, _ = run(None, StateMismatch(1, 2, 3), None)
    assert [event["alert"] for event in events] == ["stopped"]
    (alert,) = store.open_alerts()
    assert alert.detail.startswith("StateMismatch: batch 1")
    events, store, _ = run(None)  # the next process gets through a turn
    assert [(event["alert"], event["state"]) for event in events] == [("stopped", "cleared")]


def ending(tmp_path: Path, error: Exception, reports: list[str]) -> Scripted:
    """What a bridge that is ended by an error leaves behind."""
    ended = Scripted(open_store(f"sqlite:///{tmp_path}/bridge.db"), [], [error])
    with pytest.raises(type(error)):
        watch(cast(Pipeline, ended), 1, reports.append)
    return ended


def test_the_last_word_names_the_error_that_ended_it_and_not_an_earlier_one(tmp_path: Path) -> None:
    assert ending(tmp_path, StateMismatch(1, 2, 3), []).ended_with == [
        f"StateMismatch: {StateMismatch(1, 2, 3)}"
    ]
    assert ending(tmp_path, KeyError("idx"), []).ended_with == ["KeyError: 'idx'"]


def test_a_bridge_that_does_not_lead_any_more_publishes_nothing(tmp_path: Path) -> None:
    assert ending(tmp_path, LeadershipLost("here:1"), []).ended_with is None


def test_a_last_word_that_cannot_be_left_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_pipeline: Scripted) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Scripted, "publish_end", fail)
    reports: list[str] = []
    ending(tmp_path, StateMismatch(1, 2, 3), reports)
    assert reports == ["no alert of it could be left: OSError: disk full"]


def test_every_alert_says_what_to_do() -> None:
    codes = {*CODES, *WAITED_OUT.values(), STOPPED, "fee_limit"}
    assert set(ADVICE) == codes
    table = (ROOT / "docs" / "operations.md").read_text().partition("### Alerts")[2]
    assert [code for code in codes if f"`{code}`" not in table] == []


def changed(**fields: Any) -> Status:
    return replace(GOOD, **fields)


def chain(**fields: Any) -> ChainFacts:
    assert GOOD.chain is not None
    return replace(GOOD.chain, **fields)


LIMITS = HealthLimits(lag_s=10, queue_age_s=20, deadline_s=30, batch_age_s=40, operator_gwei=50)


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        (GOOD, []),
        (changed(chain=None, lag_blocks=None, lag_s=None), ["node_unreachable"]),
        (changed(lag_blocks=1, lag_s=11), ["lagging"]),
        (changed(lag_blocks=1, lag_s=10), []),
        (changed(lag_blocks=0, lag_s=11), []),
        (changed(queue_age_s=21), ["queue_old"]),
        (changed(queue_age_s=20), []),
        (changed(next_deadline_s=29), ["deadline_near"]),
        (changed(next_deadline_s=-5), ["deadline_near"]),
        (changed(next_deadline_s=30), []),
        (changed(open_batches=(OpenBatch(1, "sealed", 1, 1, 41, 0, None),)), ["batch_stuck"]),
        (changed(open_batches=(OpenBatch(1, "sealed", 1, 1, 40, 0, None),)), []),
        (changed(deficits={1: 5}), ["deficit"]),
        (changed(paused=True), ["paused"]),
        (changed(chain=chain(operator_wei=50 * 10**9 - 1)), ["low_funds"]),
        (changed(chain=chain(operator_wei=50 * 10**9)), []),
        (changed(chain=chain(keys=Keys("0xother", "", "", {}))), ["wrong_key"]),
        (
            changed(chain=chain(keys=Keys("0xop", "", "", {4: {"key": "another circuit is built here"}}))),
            ["wrong_key"],
        ),
    ],
)
def test_health_rules(status: Status, codes: list[str]) -> None:
    assert list(problems(status, LIMITS, "0xop")) == codes


def test_times_of_alerts_have_units() -> None:
    late = changed(
        lag_blocks=9,
        lag_s=3_700,
        queue_age_s=2_618_239,
        next_deadline_s=25,
        open_batches=(OpenBatch(1, "sealed", 1, 1, 90, 0, None),),
    )
    found = problems(late, LIMITS, "0xop")
    assert found["lagging"] == "9 blocks and 1 h 1 min behind the chain"
    assert found["queue_old"] == "the oldest charge or request waits for 30 d 7 h"
    assert found["deadline_near"] == "25 s until a request may be answered by a freeze"
    assert found["batch_stuck"] == "batch 1 is sealed after 1 min 30 s"
