"""What operators have switched off is looked up every second, so that one switch counts in all workers.

A switch keeps new calls away; calls that run end as they would.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from mini_llm.routing.catalog import Catalog
from router.beside import beside
from router.config import RouterConfig
from router.errors import StoppedByOperator
from router.ledger import switches
from router.ledger.switches import DEPLOYMENT, EVERYTHING, PROVIDER, ROLLOUT, WHOLE, Switch
from router.ledger.writer import Ledger

LOOK_S: Final = 1.0

log = logging.getLogger(__name__)


class SwitchKeeper:
    """Holds this worker's routing to what is switched.

    Attributes:
        switched: what is, as of the last look.
    """

    def __init__(self, ledger: Ledger, catalog: Catalog) -> None:
        self._ledger, self._catalog = ledger, catalog
        self._stop: Switch | None = None
        self._newest = 0
        self.switched: Sequence[Switch] = ()

    def adopt(self, _: RouterConfig) -> None:
        """Another configuration is in force: what is switched holds for what it brings, too."""
        self.apply()

    def require_open(self) -> None:
        """Lets a new call pass.

        Raises:
            StoppedByOperator: all new calls are stopped.
        """
        if self._stop is not None:
            raise StoppedByOperator(self._stop.reason)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Looks until the block ends; what is switched at its beginning counts from the first call on."""
        await self.look()
        async with beside(self._keep()):
            yield

    async def look(self) -> None:
        """Looks now."""
        newest = await asyncio.to_thread(self._ledger.read, switches.newest)
        if newest != self._newest:
            self.switched = tuple(await asyncio.to_thread(self._ledger.read, switches.switched))
            self._newest = newest
        self.apply()

    def apply(self) -> None:
        """Puts what is switched into force, for deployments and rollouts that are new too."""
        settings = {(one.scope, one.name): one.setting for one in self.switched}
        self._stop = next((one for one in self.switched if one.scope == EVERYTHING), None)
        table = self._catalog.table
        for name, candidate in table.candidates.items():
            provider = (PROVIDER, candidate.deployment.provider)
            candidate.health.stopped = (DEPLOYMENT, name) in settings or provider in settings
        for model, rollout in table.rollouts.items():
            part = settings.get((ROLLOUT, model))
            rollout.held = None if part is None else part * 100 / WHOLE

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception as error:  # what was switched stays so; the next look may go well again
                log.error("switches were not read: %s", type(error).__name__)
