"""What the operator's API reaches of the running router."""

from __future__ import annotations

import time
from typing import Any, Final

from starlette.datastructures import State as AppState

from mini_llm.routing.breaker import State
from mini_llm.routing.catalog import Catalog
from router.api.health import Readiness
from router.conductor.keeper import ConductorKeeper
from router.config import Settings
from router.drain import Drain
from router.learning import Mirror
from router.ledger.writer import Ledger
from router.observe.gauges import Gauges
from router.observe.observer import Observer
from router.observe.pulse import PulseKeeper
from router.reload import Reload
from router.scoring.scorer import Scorer
from router.switching import SwitchKeeper

BREAKERS: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
"""A breaker's state as a number."""


class AdminState:
    """The parts of a router that has started, as its application's state has them.

    Attributes:
        observer: has the counters.
        ledger: its writer.
        catalog: what is on offer.
        reload: reads the configuration file again.
        switching: what operators have switched off.
        pulse: what happened within the last minute.
        settings: what the router was told at its start.
        drain: whether the router stops.
        readiness: whether the router takes calls.
        conducting: the conductor.
        mirror, scorer: what looks at calls, the second if it does.
    """

    ledger: Ledger
    catalog: Catalog
    reload: Reload
    switching: SwitchKeeper
    pulse: PulseKeeper
    settings: Settings
    drain: Drain
    readiness: Readiness
    conducting: ConductorKeeper
    mirror: Mirror
    scorer: Scorer | None

    def __init__(self, opened: AppState, observer: Observer) -> None:
        self._opened, self.observer = opened, observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    async def gauges(self) -> Gauges:
        """What is read at this moment."""
        problem = await self.readiness.problem()
        candidates, now_s = self.catalog.table.candidates, time.monotonic()
        breakers = {name: BREAKERS[one.health.breaker.state] for name, one in candidates.items()}
        pauses = {name: one.health.paused_s(now_s) for name, one in candidates.items()}
        rollouts = {
            (model, one.settings.to): one.percent for model, one in self.catalog.table.rollouts.items()
        }
        found = {"scores": self.scorer, "outcomes": self.mirror}
        dropped = {wanted: one.dropped for wanted, one in found.items() if one is not None}
        return Gauges(
            ready=problem is None,
            queue_depth=self.ledger.waiting,
            config_refused=self.reload.refused is not None,
            dropped=dropped,
            breakers=breakers,
            rollouts=rollouts,
            pauses=pauses,
        )
