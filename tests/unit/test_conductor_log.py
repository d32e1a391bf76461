"""The conductor's log: written before anything is done, undone by operators, gone over again."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import exc, text
from support.conducting import ACT, facts
from support.routing import Bench, config

import router.cli as cli
from router.conductor.council import Council
from router.conductor.facts import Spending
from router.conductor.keeper import ConductorKeeper
from router.conductor.loop import Conductor
from router.conductor.replay import as_row, gone_over, unknown
from router.config import RouterConfig
from router.config_conductor import ConductorConfig
from router.ledger import conducted
from router.ledger.errors import NothingToUndo
from router.ledger.writer import Ledger


@pytest.fixture
def ledger(ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger that commands find too."""
    monkeypatch.setenv("VIBES_LEDGER_URL", database)
    return ledger


def router_config(mode: str) -> RouterConfig:
    return RouterConfig.model_validate({"providers": {}, "conductor": {"mode": mode}})


class Conducted:
    """A bench with a keeper whose conductor reads the bench's clock."""

    def __init__(self, ledger: Ledger) -> None:
        self.bench = Bench(config("a", "b"))
        self.ledger = ledger
        self.keeper = ConductorKeeper(ledger, self.bench.catalog, router_config("act"))
        self.conductor = self.keeper.conductor = Conductor(self.bench.catalog, ACT, self.bench.clock)

    async def round(self) -> None:
        await self.keeper.round(self.conductor)

    async def fails(self, name: str, times: int = 20) -> None:
        """Its calls fail, and the other's do not; no breaker opens by itself."""
        health, now_s = self.bench.health(name), self.bench.clock()
        await self.round()
        for number in range(times):
            era = health.begin(now_s)
            if number % 3:
                health.succeeded(now_s, era, 0.1, False)
            else:
                health.failed(now_s, era)
        other = self.bench.health("b" if name == "a" else "a")
        other.succeeded(now_s, other.begin(now_s), 0.1, False)
        await self.round()

    def rows(self) -> list[dict[str, Any]]:
        return self.ledger.read(conducted.entries)


async def firsts(world: Conducted) -> set[str]:
    return {(await world.bench.names())[0] for _ in range(60)}


async def test_decision_is_written_with_its_reason_and_done(ledger: Ledger) -> None:
    world = Conducted(ledger)
    await world.fails("a")
    (row,) = world.rows()
    assert (row["action"], row["deployment"], row["acted"]) == ("open", "a", True)
    assert row["reason"] == "7 of 20 tries failed lately"
    assert await firsts(world) == {"b"}


async def test_undone_decision_ends_and_is_not_made_again(ledger: Ledger) -> None:
    world = Conducted(ledger)
    await world.fails("a")
    (row,) = world.rows()
    assert ledger.run(lambda c: conducted.undo(c, row["number"], "alice", "known")) == "a"
    await world.round()
    assert await firsts(world) == {"a", "b"}
    await world.fails("a")
    assert [one["action"] for one in world.rows()] == ["undo", "open"]
    with pytest.raises(NothingToUndo, match="is undone already"):
        ledger.run(lambda c: conducted.undo(c, row["number"], "alice", ""))


async def test_what_an_operator_does_wins(ledger: Ledger) -> None:
    world = Conducted(ledger)
    world.keeper.hands_off("a")
    await world.fails("a")
    assert world.rows() == []


async def test_what_cannot_be_written_is_not_done(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Conducted(ledger)

    def full(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(conducted, "record", full)
        with pytest.raises(OSError, match="full"):
            await world.fails("a")
    assert await firsts(world) == {"a", "b"}
    assert world.rows() == []
    world.bench.clock.now_s += ACT.dwell_s
    await world.round()  # nobody has undone it, so it is decided again
    assert [row["action"] for row in world.rows()] == ["open"]
    assert await firsts(world) == {"b"}


async def test_turning_it_off_ends_what_stands(ledger: Ledger) -> None:
    world = Conducted(ledger)
    await world.fails("a")
    world.keeper.adopt(router_config("off"))
    assert world.keeper.conductor is None
    assert await firsts(world) == {"a", "b"}


async def test_advice_is_written_and_not_done(ledger: Ledger) -> None:
    world = Conducted(ledger)
    advise = ConductorConfig(mode="advise")
    world.conductor = world.keeper.conductor = Conductor(world.bench.catalog, advise, world.bench.clock)
    await world.fails("a")
    (row,) = world.rows()
    assert row["acted"] is False
    assert await firsts(world) == {"a", "b"}
    with pytest.raises(NothingToUndo, match="carried out"):
        ledger.run(lambda c: conducted.undo(c, row["number"], "alice", ""))


@pytest.mark.parametrize("statement", ["UPDATE conduct SET acted = 0", "DELETE FROM conduct"])
async def test_nobody_changes_the_log(ledger: Ledger, statement: str) -> None:
    world = Conducted(ledger)
    await world.fails("a")
    with pytest.raises(exc.DatabaseError, match="log of decisions"), ledger.engine.begin() as connection:
        connection.execute(text(statement))


async def test_commands(ledger: Ledger) -> None:
    world = Conducted(ledger)
    await world.fails("a")
    number = world.rows()[0]["number"]

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.main, ["conductor", *words])
        return result.exit_code, result.output

    assert run("log")[1].startswith(f"{number}  health: open 60 a, 7 of 20 tries failed lately")
    assert run("replay") == (0, "1 decisions, 0 would come out differently\n")
    assert "left alone" in run("undo", str(number), "--reason", "maintenance")[1]
    assert "is undone already" in run("undo", str(number))[1]
    assert f"undid {number} (a) maintenance" in run("log")[1]
    assert '"against"' in run("log", "--json")[1]


def test_replay_tells_what_would_come_out_differently() -> None:
    council = Council(ACT)
    (decision,) = council.decide(0.0, [(facts("a", failures=30.0), facts("b", price_base=2000))])
    row = as_row(decision, ACT, "here")
    assert gone_over(row | {"acted": True}) is None
    assert gone_over(row | {"acted": False}) == "it would be carried out"
    assert gone_over(row | {"reason": "a whim"}) == "health would not propose it"
    other = row["detail"] | {"against": {"cost": None}}
    assert "the votes would be" in str(gone_over(row | {"detail": other}))


async def test_replay_reads_what_other_releases_wrote(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducted, "MAX_PAGE", 2)
    (decision,) = Council(ACT).decide(0.0, [(facts("a", failures=30.0), facts("b", price_base=2000))])
    now = as_row(decision, ACT, "here") | {"acted": 1}

    def written(settings: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
        detail: dict[str, Any] = now["detail"]
        group = [one | figures for one in detail["group"]]
        return now | {"detail": detail | {"settings": detail["settings"] | settings, "group": group}}

    old, fewer = written({"gone": 3}, {"mood": 1.0}), written({}, {})
    del fewer["detail"]["settings"]["pause_s"], fewer["detail"]["group"][0]["spare"]
    assert (gone_over(old), unknown(old)) == (None, {"gone", "mood"})
    assert (gone_over(fewer), unknown(fewer)) == (None, set())
    unread = [written({"every_s": -1}, {}), now | {"role": "weather"}, now | {"action": "explode"}]
    del fewer["detail"]["group"][0]["model"]
    assert {gone_over(one) for one in [*unread, fewer]} == {"this release cannot read it"}
    ledger.run(lambda connection: conducted.record(connection, [old, now, old, now, old, *unread]))
    result = CliRunner().invoke(cli.main, ["conductor", "replay"])
    assert result.exit_code == 1
    assert result.output.splitlines()[-3:] == [
        "gone: in 3 decisions, unknown to this release and left out",
        "mood: in 3 decisions, unknown to this release and left out",
        "8 decisions, 3 would come out differently",
    ]


class Lots:
    """Draws lots for money that runs short, and notes for how long it is told to pause."""

    def __init__(self) -> None:
        self.left, self.paused_s = 0.5, 0.0

    def spending(self) -> Spending:
        return Spending(self.left, 0.02)

    def pause(self, seconds: float) -> None:
        self.paused_s = seconds


async def test_a_pause_of_exploration_is_written_replayed_and_undone(ledger: Ledger) -> None:
    world, lots = Conducted(ledger), Lots()
    world.conductor = world.keeper.conductor = Conductor(world.bench.catalog, ACT, world.bench.clock, lots)
    await world.round()
    assert lots.paused_s == 4 * ACT.every_s  # and again in each round, as long as it stands
    (row,) = world.rows()
    assert (row["role"], row["action"], row["deployment"]) == ("cost", "pause", "auto:exploration")
    assert gone_over(row) is None
    changed = row | {"detail": row["detail"] | {"group": [row["detail"]["group"][0] | {"left": 0.95}]}}
    assert gone_over(changed) == "cost would not propose it"
    await world.round()
    assert len(world.rows()) == 1
    assert CliRunner().invoke(cli.main, ["conductor", "replay"]).exit_code == 0
    undone = CliRunner().invoke(cli.main, ["conductor", "undo", str(row["number"])])
    assert "auto:exploration is back to its configuration" in undone.output
    await world.round()
    assert lots.paused_s == 0
    await world.round()
    assert [one["action"] for one in world.rows()] == [
        "undo",
        "pause",
    ]  # the operator's word holds
