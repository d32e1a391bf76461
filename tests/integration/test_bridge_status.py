"""`vibes status`: what it shows, when it exits 4, that it creates nothing; and the alerts behind it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.leaving import pass_time
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import SERVICE_DEADLINE_S, VIBES, Wallet

from bridge.cli import main
from bridge.errors import StateMismatch
from bridge.pipeline import Pipeline
from bridge.store import open_store
from bridge.watch import check_health, watch
from router.ledger import batches


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    """An account with one settled batch behind it."""
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(wallet, 4 * VIBES)
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
        operator.sign_ceiling(wallet, 3 * VIBES)
    return wallet


def status(operator: Operator, **changes: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner(mix_stderr=False).invoke(
        main, ["status", "--json"], env=operator.environment | changes
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout) if result.stdout else {"error": result.stderr}


def test_a_healthy_bridge(operator: Operator, alice: Wallet) -> None:
    stack = operator.stack
    code, found = status(operator)
    assert (code, found["healthy"], found["problems"]) == (0, True, {})
    assert found["indexed_block"] == found["chain"]["head_block"]
    assert (found["lag_blocks"], found["lag_s"]) == (0, 0)
    assert (found["last_batch"], found["unsettled_base"], found["open_batches"]) == (1, 0, [])
    assert (found["queue_age_s"], found["next_deadline_s"], found["leader"]) == (None, None, None)
    keys = found["chain"]["keys"]
    assert (keys["operator"], keys["guardian"]) == (stack.operator.address, stack.guardian.address)
    assert keys["receipt_signer"] == stack.receipt_signer.address
    manifest = json.loads((operator.circuits_dir / "batch4" / "manifest.json").read_text())
    assert keys["verifiers"] == {"4": {"circuit_hash": manifest["circuit_hash"], "key": "development"}}
    result = CliRunner().invoke(main, ["status"], env=operator.environment)
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert stack.settlement.address in words  # whole, however wide the terminal
    assert found["last_tx"] in words
    assert "charged, not settled 0.000000 VIBES" in words
    assert f"verifier of 4 slots circuit hash {manifest['circuit_hash']}, key development" in words
    assert result.output.splitlines()[-1] == "health: good"


def test_what_waits_and_for_how_long(operator: Operator, alice: Wallet) -> None:
    operator.charge(alice, 12_345)
    operator.stack.request_withdrawal(alice, VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        code, found = status(operator)
        assert found["leader"] == pipeline._leader.name
    assert (code, found["unsettled_base"], found["waiting_requests"]) == (0, 12_345, 1)
    assert found["queue_age_s"] >= 0
    assert SERVICE_DEADLINE_S - 600 < found["next_deadline_s"] <= SERVICE_DEADLINE_S + 600
    code, found = status(operator, VIBES_MIN_DEADLINE_S=str(10 * SERVICE_DEADLINE_S))
    assert (code, list(found["problems"])) == (4, ["deadline_near"])
    with operator.pipeline() as pipeline:
        assert pipeline.settle_once() is not None
    code, found = status(operator)
    assert (code, found["next_deadline_s"], found["queue_age_s"]) == (0, None, None)


def test_each_trouble_exits_4(operator: Operator, alice: Wallet) -> None:
    stack = operator.stack
    code, found = status(operator, VIBES_RPC_URL="http://127.0.0.1:9")
    assert (code, list(found["problems"]), found["chain"]) == (4, ["node_unreachable"], None)
    code, found = status(operator, VIBES_MIN_OPERATOR_GWEI=str(10**13))
    assert (code, list(found["problems"])) == (4, ["low_funds"])
    pass_time(stack, 1_000)
    code, found = status(operator)
    assert (code, list(found["problems"])) == (4, ["lagging"])
    assert (found["lag_blocks"], found["lag_s"] >= 1_000) == (1, True)
    stack.send(stack.guardian, stack.settlement.functions.pause())
    with operator.pipeline() as pipeline:
        pipeline.sync()
    code, found = status(operator)
    assert (code, list(found["problems"])) == (4, ["paused"])


def test_alerts_of_a_running_bridge_open_show_and_clear(operator: Operator, alice: Wallet) -> None:
    stack = operator.stack
    said: list[Any] = []
    with Pipeline(operator.settings, operator.reports.append, said.append) as pipeline:
        check_health(pipeline, {})
        stack.send(stack.guardian, stack.settlement.functions.pause())
        pipeline.sync()
        for _ in range(2):
            check_health(pipeline, {"node_refused": "no"})
        assert [(event["alert"], event["state"]) for event in said] == [
            ("paused", "opened"),
            ("node_refused", "opened"),
        ]
        assert set(said[0]) == {"alert", "state", "detail", "at"}
        code, found = status(operator)
        assert (code, found["problems"]["node_refused"]) == (4, "no")
        stack.send(stack.guardian, stack.settlement.functions.unpause())
        pipeline.sync()
        check_health(pipeline, {})
    assert [(event["alert"], event["state"]) for event in said[2:]] == [
        ("paused", "cleared"),
        ("node_refused", "cleared"),
    ]
    assert open_store(operator.settings.store_url).open_alerts() == []
    assert status(operator)[0] == 0


def published(operator: Operator) -> tuple[int, dict[str, Any]]:
    """When the bridge gave the figures that the router's operator sees, and the document."""
    report = operator.ledger.read(batches.bridge_report)
    assert report is not None
    return report.written_s, dict(report.document)


def test_a_bridge_that_ends_with_an_error_says_which_in_status_and_report(
    operator: Operator, alice: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with operator.pipeline() as pipeline:
        check_health(pipeline, {})
        before = published(operator)

        def disagree() -> None:
            raise StateMismatch(2, 3, 4)

        monkeypatch.setattr(pipeline, "turn", disagree)
        with pytest.raises(StateMismatch):
            watch(pipeline, 1, operator.reports.append)
    told = f"StateMismatch: {StateMismatch(2, 3, 4)}"
    at_s, document = published(operator)
    assert [(alert["code"], alert["detail"]) for alert in document["alerts"]] == [("stopped", told)]
    assert "docs/operations.md" in document["alerts"][0]["advice"]
    assert (at_s, document | {"alerts": [], "leader": None}) == (before[0], before[1] | {"leader": None})
    assert document["leader"] is None
    code, found = status(operator)
    assert (code, found["problems"]) == (4, {"stopped": told})
    assert CliRunner().invoke(main, ["settle", "--once"], env=operator.environment).exit_code == 0
    assert (published(operator)[1]["alerts"], status(operator)[0]) == ([], 0)


def test_settling_once_leaves_word_of_its_failure_too(operator: Operator, alice: Wallet) -> None:
    operator.stack.deposit(alice, VIBES)
    stuck = operator.environment | {"VIBES_MINING_TIMEOUT_S": "1"}
    operator.stack.anvil.rpc("evm_setAutomine", False)
    assert CliRunner().invoke(main, ["settle", "--once"], env=stuck).exit_code == 1
    (alert,) = published(operator)[1]["alerts"]
    assert alert["code"] == "stopped"
    assert alert["detail"].startswith("SettlementTimeout: batch 2 ")
    operator.stack.anvil.rpc("evm_setAutomine", True)
    operator.stack.anvil.rpc("evm_mine")
    operator.stack.send(operator.stack.guardian, operator.stack.settlement.functions.pause())
    assert CliRunner().invoke(main, ["settle", "--once"], env=stuck).exit_code == 6
    codes = [alert["code"] for alert in published(operator)[1]["alerts"]]
    assert codes == ["stopped", "paused"]
    operator.stack.send(operator.stack.guardian, operator.stack.settlement.functions.unpause())
    assert CliRunner().invoke(main, ["settle", "--once"], env=stuck).exit_code == 0
    assert published(operator)[1]["alerts"] == []


def test_the_next_bridge_adds_an_index_and_who_only_looks_does_not(operator: Operator, alice: Wallet) -> None:
    def indexes() -> set[str]:
        with sqlite3.connect(operator.folder / "bridge.db") as store:
            return {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}

    with sqlite3.connect(operator.folder / "bridge.db") as store:
        store.execute("DROP INDEX event_name")
    assert status(operator)[0] == 0
    assert "event_name" not in indexes()
    with operator.pipeline():
        assert "event_name" in indexes()


def test_a_wrong_path_is_said_and_nothing_is_created(
    operator: Operator, alice: Wallet, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    for name in ("VIBES_BRIDGE_URL", "VIBES_LEDGER_URL"):
        code, found = status(operator, **{name: f"sqlite:///{other}"})
        assert (code, other.exists()) == (2, False)
        assert found["error"] == f"vibes: {name}: names {other}, which does not exist\n"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE recipe (name)")
    before = other.read_bytes()
    for name in ("VIBES_BRIDGE_URL", "VIBES_LEDGER_URL"):
        code, found = status(operator, **{name: f"sqlite:///{other}"})
        assert (code, name in found["error"], other.read_bytes() == before) == (2, True, True)
    other.write_text("this is no database at all, but long enough to look like one" * 20)
    assert status(operator, VIBES_BRIDGE_URL=f"sqlite:///{other}")[0] == 2
    assert not list(tmp_path.glob("other.db-*"))
