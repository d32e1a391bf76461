"""What the operator's API reaches of the running router."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import State as AppState

from mini_llm.routing.breaker import State
from mini_llm.routing.catalog import Catalog
from router.api.health import Readiness
from router.conductor.keeper import ConductorKeeper
from router.config import Settings
from router.drain import Drain
from router.ledger.writer import Ledger
from router.observe.gauges import Gauges
from router.observe.observer import Observer
from router.observe.pulse import PulseKeeper
from router.reload import Reload
from router.switching import SwitchKeeper

BREAKERS: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
"""A breaker's state as a number."""


@dataclass(frozen=True)
class AdminState:
    """The parts of a router that has started.

    Attributes:
        opened: the application's state.
        observer: has the counters.
    """

    opened: AppState
    observer: Observer

    @property
    def ledger(self) -> Ledger:
        """The ledger's writer."""
        ledger: Ledger = self.opened.ledger
        return ledger

    @property
    def catalog(self) -> Catalog:
        """What is on offer."""
        catalog: Catalog = self.opened.catalog
        return catalog

    @property
    def reload(self) -> Reload:
        """Reads the configuration file again."""
        reload: Reload = self.opened.reload
        return reload

    @property
    def switching(self) -> SwitchKeeper:
        """What operators have switched off."""
        switching: SwitchKeeper = self.opened.switching
        return switching

    @property
    def pulse(self) -> PulseKeeper:
        """What happened within the last minute."""
        pulse: PulseKeeper = self.opened.pulse
        return pulse

    @property
    def settings(self) -> Settings:
        """What the router was told at its start."""
        settings: Settings = self.opened.settings
        return settings

    @property
    def drain(self) -> Drain:
        """Whether the router stops."""
        drain: Drain = self.opened.drain
        return drain

    @property
    def readiness(self) -> Readiness:
        """Whether the router takes calls."""
        readiness: Readiness = self.opened.readiness
        return readiness

    @property
    def conducting(self) -> ConductorKeeper:
        """The conductor."""
        conducting: ConductorKeeper = self.opened.conducting
        return conducting

    async def gauges(self) -> Gauges:
        """What is read at this moment."""
        problem = await self.readiness.problem()
        candidates, now_s = self.catalog.table.candidates, time.monotonic()
        breakers = {name: BREAKERS[one.health.breaker.state] for name, one in candidates.items()}
        pauses = {name: one.health.paused_s(now_s) for name, one in candidates.items()}
        rollouts = {
            (model, one.settings.to): one.percent for model, one in self.catalog.table.rollouts.items()
        }
        found = {"scores": self.opened.scorer, "outcomes": self.opened.mirror}
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
