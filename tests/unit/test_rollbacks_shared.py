"""A rollback by one worker counts in all of them, also after a restart, until an operator starts it again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mini_llm.config_routing import RolloutConfig
from mini_llm.routing.rollout import Rollout, Stage
from router.ledger import audit, switches
from router.ledger.audit import Act
from router.ledger.writer import Ledger
from router.switching import BY_ITSELF, SwitchKeeper

SETTINGS = RolloutConfig.model_validate(
    {"to": "new", "steps": [{"percent": 10, "for_s": 60}, {"percent": 100}]}
)
REASON = "9 of 20 calls failed"
RESTART = Act("alice", "rollout.restart", "rollout:fine", "request-1")


class Worker:
    """A worker's keeper, and its rollout of the model `fine`."""

    def __init__(self, ledger: Ledger, settings: RolloutConfig = SETTINGS) -> None:
        self.rollout = Rollout("fine", settings, 0.0)
        catalog: Any = SimpleNamespace(table=SimpleNamespace(candidates={}, rollouts={"fine": self.rollout}))
        self.keeper = SwitchKeeper(ledger, catalog)

    async def stage(self) -> Stage:
        await self.keeper.look()
        return self.rollout.stage


async def test_all_workers_roll_back_and_start_again_together(ledger: Ledger) -> None:
    one, other = Worker(ledger), Worker(ledger)
    one.rollout.roll_back(REASON)
    assert [await one.stage(), await other.stage()] == [Stage.ROLLED_BACK] * 2
    assert other.rollout.reason == REASON
    assert await Worker(ledger).stage() is Stage.ROLLED_BACK  # one that starts later
    assert one.keeper.switched == ()  # no operator did it

    await other.keeper.restart(other.rollout, RESTART)
    assert [await other.stage(), await one.stage(), await Worker(ledger).stage()] == [Stage.RAMPING] * 3
    (act,) = ledger.read(audit.acts)
    assert (act["actor"], act["action"]) == ("alice", "rollout.restart")
    assert (act["before"]["stage"], act["after"]["stage"]) == ("rolled_back", "ramping")

    other.rollout.roll_back(REASON)
    assert [await other.stage(), await one.stage()] == [Stage.ROLLED_BACK] * 2


async def test_a_rollback_is_told_once(ledger: Ledger) -> None:
    one, other = Worker(ledger), Worker(ledger)
    one.rollout.roll_back(REASON)
    for _ in range(3):
        await one.stage()
        await other.stage()
    (row,) = ledger.read(switches.history)
    assert (row.actor, row.scope, row.setting, row.reason) == (BY_ITSELF, "rollback", 0, REASON)


async def test_other_settings_are_another_rollout(ledger: Ledger) -> None:
    one = Worker(ledger)
    one.rollout.roll_back(REASON)
    await one.stage()
    careful = SETTINGS.model_copy(update={"min_calls": 500})
    assert await Worker(ledger, careful).stage() is Stage.RAMPING
