"""The conductor over a table of deployments and exploration: what is seen, decided and steered in a round."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from mini_llm.routing.catalog import Catalog
from router.conductor.council import Council, Decision, Standing
from router.conductor.facts import AWAY, EXPLORATION, Action, Spending
from router.conductor.hand import steer
from router.conductor.watch import Watch
from router.config_conductor import ConductorConfig

LEASES: Final = 4.0
"""What is decided holds for so many rounds without a new one."""


class Exploring(Protocol):
    """Draws models by lot, for money that somebody watches."""

    def spending(self) -> Spending | None:
        """How it stands; None if nothing is known now, or no budget has to be held."""
        ...

    def pause(self, seconds: float) -> None:
        """Draws none for so long from now on; 0 lets it draw again."""
        ...


class Conductor:
    """Looks and decides, then steers; each round does both.

    Attributes:
        council: what stands.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: ConductorConfig,
        clock: Callable[[], float] = time.monotonic,
        exploring: Exploring | None = None,
    ) -> None:
        self.council = Council(settings)
        self._catalog, self._clock, self._exploring = catalog, clock, exploring
        self._watch = Watch()

    def decide(self) -> list[Decision]:
        """What is decided now; nothing has changed yet."""
        now_s, settings = self._clock(), self.council.settings
        spending = None if self._exploring is None else self._exploring.spending()
        return self.council.decide(now_s, self._watch.look(self._catalog.table, now_s, settings), spending)

    def steer(self, decisions: list[Decision]) -> None:
        """Puts into force what was decided, and what stands, for another while."""
        lease_s = LEASES * self.council.settings.every_s
        now_s = self._clock()
        steer(self.council, decisions, self._catalog.table, now_s, lease_s)
        pause = self.council.standing.get(EXPLORATION, Standing()).away
        if self._exploring is not None:
            left_s = 0.0 if pause is None else pause.ends_s(self.council.settings) - now_s
            self._exploring.pause(min(left_s, lease_s))
        for decision in decisions:
            if decision.acted and decision.proposal.action in AWAY:
                self._watch.forget(decision.proposal.deployment)

    def undo(self, deployment: str, alone_s: float) -> None:
        """Takes back what stands for a deployment, which is left alone for so long."""
        stands = self.council.undo(deployment, self._clock() + alone_s)
        if deployment == EXPLORATION and self._exploring is not None:
            self._exploring.pause(0.0)
        candidate = self._catalog.table.candidates.get(deployment)
        if candidate is None or stands is None:
            return
        candidate.health.steering.release()
        if stands.away is not None and stands.away.proposal.action is Action.OPEN:
            candidate.health.breaker.close()

    def release(self) -> None:
        """Takes back all that stands."""
        for deployment in list(self.council.standing):
            self.undo(deployment, 0.0)
