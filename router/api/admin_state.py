"""What the operator's API reaches of the running router."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import State

from mini_llm.routing.catalog import Catalog
from router.api.health import Readiness
from router.ledger.writer import Ledger
from router.observe.gauges import Gauges
from router.observe.observer import Observer


@dataclass(frozen=True)
class AdminState:
    """The parts of a router that has started.

    Attributes:
        opened: the application's state.
        observer: has the counters.
    """

    opened: State
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

    async def gauges(self) -> Gauges:
        """What is read at this moment."""
        readiness: Readiness = self.opened.readiness
        problem = await readiness.problem()
        return Gauges(ready=problem is None, queue_depth=self.ledger.waiting)
