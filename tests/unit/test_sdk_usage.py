"""The usage log: what it keeps, for whom, and that no call ever waits or fails for it."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mini_llm.answer import Billed
from mini_llm.config_sdk import Settings
from mini_llm.costs import Cost, Costs
from mini_llm.deployment import Deployment
from mini_llm.price import Price, Usage
from mini_llm.usage import Call, UsageLog, drop_calls, totals

SERVED = Deployment("p/m", "m", "p", "m", 0, Price(0, 0), 8192, None)
USED = Usage(10, 5, cached_tokens=2)


def cost(deployment: Deployment, usage: Usage | None, billed: Billed | None) -> Cost | None:
    return Cost(billed.charge_base, billed=True) if billed else Cost(7)


def call(model: str = "m", outcome: str = "ok", **more: object) -> Call:
    fields = {"deployment": SERVED, "usage": USED} if outcome == "ok" else {}
    return Call(model, "chat", False, outcome, 1, 20, **fields | more)  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> UsageLog:
    return UsageLog(tmp_path / "home" / "usage.db", cost)


def test_totals_by_model_provider_and_day(log: UsageLog) -> None:
    log.record(call("a"))
    log.record(call("b"))
    log.record(call("b", billed=Billed(100)))
    log.record(call("b", "UpstreamRefused"))
    log.close()
    by_model = totals(log.path, "model")
    assert [(one.key, one.calls, one.failed, one.cost_base) for one in by_model] == [
        ("b", 3, 1, 107),
        ("a", 1, 0, 7),
    ]
    assert [(one.prompt_tokens, one.completion_tokens) for one in by_model] == [(20, 10), (10, 5)]
    assert [one.key for one in totals(log.path, "provider")] == ["p", ""]
    assert [one.key for one in totals(log.path, "day")] == [time.strftime("%Y-%m-%d")]
    assert by_model[0].cost.usd == "0.00000107"


def test_only_calls_since_a_moment_count(log: UsageLog) -> None:
    log.record(call("old", at_s=1000.0))
    log.record(call("new", at_s=2000.0))
    log.close()
    assert [one.key for one in totals(log.path, "model", since_s=1500.0)] == ["new"]
    assert drop_calls(log.path, before_s=1500.0) == 1
    assert [one.key for one in totals(log.path, "model")] == ["new"]


def test_calls_of_unknown_cost_are_told_apart(tmp_path: Path) -> None:
    log = UsageLog(tmp_path / "usage.db", lambda *_: None)
    log.record(call())
    log.close()
    (one,) = totals(log.path)
    assert (one.cost_base, one.unpriced) == (0, 1)


def test_a_charge_beyond_all_numbers_is_dropped_alone(log: UsageLog) -> None:
    log.record(call(billed=Billed(2**64 - 1)))
    log.flush()
    log.record(call("later"))
    log.close()
    assert [one.key for one in totals(log.path, "model")] == ["later"]


def test_only_the_owner_may_read_it(log: UsageLog) -> None:
    before = os.umask(0)
    try:
        log.record(call())
        log.flush()
        files = [log.path.parent, *log.path.parent.iterdir()]
        assert [oct(stat.S_IMODE(file.stat().st_mode)) for file in files] == [
            "0o700",
            *["0o600"] * (len(files) - 1),
        ]
    finally:
        os.umask(before)
        log.close()


def test_nothing_that_was_said_is_kept(log: UsageLog) -> None:
    log.record(call())
    log.close()
    with sqlite3.connect(log.path) as database:
        columns = {row[1] for row in database.execute("PRAGMA table_info(calls)")}
    assert columns == {
        *("id", "at_s", "model", "surface", "stream", "outcome", "provider", "deployment", "asked", "ms"),
        *("prompt_tokens", "completion_tokens", "cached_tokens", "estimated", "cost_base", "billed"),
    }


def test_nothing_is_there_before_the_first_call(log: UsageLog) -> None:
    assert totals(log.path) == []
    assert drop_calls(log.path, 1.0) == 0
    assert not log.path.parent.exists()


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    log = UsageLog(tmp_path / "file" / "usage.db", cost)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            log.record(call())
            log.flush()
    log.close()
    assert [record.message.partition(":")[0] for record in caplog.records] == ["usage is not kept"]


def test_after_a_failure_later_calls_are_kept(log: UsageLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(calls: list[Call]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(log, "_insert", full)
        log.record(call("lost"))
        log.flush()
    log.record(call("kept"))
    log.close()
    assert [one.key for one in totals(log.path, "model")] == ["kept"]


def test_after_a_cost_that_nobody_can_tell_later_calls_are_kept(tmp_path: Path) -> None:
    def broken(deployment: Deployment, usage: Usage | None, billed: Billed | None) -> Cost | None:
        if billed is not None:
            raise LookupError(deployment.id)
        return None

    log = UsageLog(tmp_path / "usage.db", broken)
    log.record(call("lost", billed=Billed(1)))
    log.flush()
    log.record(call("kept"))
    log.close()
    assert [one.key for one in totals(log.path, "model")] == ["kept"]


def test_processes_share_a_file(log: UsageLog) -> None:
    code = (
        "import sys; from pathlib import Path; from mini_llm.usage import Call, UsageLog\n"
        "log = UsageLog(Path(sys.argv[1]), lambda *_: None)\n"
        "for _ in range(200): log.record(Call(sys.argv[2], 'chat', False, 'UnknownModel', 0, 1))"
    )
    command = [sys.executable, "-c", code, str(log.path)]
    running = [subprocess.Popen([*command, f"m{number}"]) for number in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    assert {one.key: one.calls for one in totals(log.path, "model")} == {"m0": 200, "m1": 200, "m2": 200}


def test_a_forked_child_writes_its_own_calls_only(log: UsageLog) -> None:
    log.record(call("parent"))
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        log.record(call("child"))
        log.close()
        os._exit(0)
    os.waitpid(child, 0)
    log.close()
    assert {one.key: one.calls for one in totals(log.path, "model")} == {"parent": 1, "child": 1}


def costs(**fields: object) -> Costs:
    providers = {
        "openai": {"api_key": "k"},
        "far": {"base_url": "http://gpu.example/v1"},
        "here": {"base_url": "http://127.0.0.1:8080/v1"},
        "local": {"type": "local"},
    }
    return Costs(Settings.model_validate({"providers": providers} | fields))


def served(provider: str, model: str) -> Deployment:
    return Deployment(f"{provider}/{model}", model, provider, model, 0, Price(0, 0), 8192, None)


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        ("openai", "gpt-4o-mini", "0.00000435"),
        ("openai", "gpt-unheard-of", None),
        ("far", "llama-unheard-of", None),
        ("here", "llama-unheard-of", "0"),
        ("local", "llama3.2", "0"),
        ("wallet", "gpt-4o-mini", None),
    ],
)
def test_costs_are_known_for_listed_models_and_nothing_for_this_machine(
    provider: str, model: str, usd: str | None
) -> None:
    found = costs().cost(served(provider, model), USED, None)
    assert (found.usd if found else None) == usd


def test_a_count_beyond_every_context_has_a_cost() -> None:
    found = costs().cost(served("openai", "gpt-4o-mini"), Usage(2**31, 0), None)
    assert found is not None
    assert found.usd == "322.1225472"  # at 0.15 USD per million


def test_the_wallets_charge_is_the_cost() -> None:
    assert costs().cost(served("openai", "gpt-4o-mini"), USED, Billed(123)) == Cost(123, billed=True)


def test_a_configured_price_goes_first() -> None:
    listed = {"model": "m", "provider": "far", "prompt_usd_per_mtok": "1", "completion_usd_per_mtok": "2"}
    found = costs(deployments=[listed]).cost(served("far", "m"), USED, None)
    assert found is not None
    assert found.usd == "0.00002"
