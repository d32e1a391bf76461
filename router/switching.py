"""What operators have switched off is looked up every second, so that one switch counts in all workers.

A switch keeps new calls away; calls that run end as they would. In the same way a rollback by one worker
counts in all, and outlives them: until an operator starts that rollout again, or its settings change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection

from mini_llm.routing.catalog import Catalog
from mini_llm.routing.rollout import Rollout, Stage
from router.beside import beside, every
from router.config import RouterConfig
from router.errors import StoppedByOperator
from router.ledger import audit, switches
from router.ledger.audit import Act
from router.ledger.switches import DEPLOYMENT, EVERYTHING, PROVIDER, ROLLBACK, ROLLOUT, WHOLE, Switch
from router.ledger.writer import Ledger

LOOK_S: Final = 1.0
BY_ITSELF: Final = "the router"
"""Who rolls a rollout back for its error rate."""


class SwitchKeeper:
    """Holds this worker's routing to what is switched.

    Attributes:
        switched: what is by an operator, as of the last look.
    """

    def __init__(self, ledger: Ledger, catalog: Catalog) -> None:
        self._ledger, self._catalog = ledger, catalog
        self._stop: Switch | None = None
        self._newest = 0
        self._turn = asyncio.Lock()  # nobody starts again what is just being told to be rolled back
        self._rolled_back: Mapping[str, str] = {}  # why, by what names a rollout and its settings
        self._agreed: set[str] = set()  # of these, those that were rolled back here too
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
        async with beside(every(LOOK_S, self.look, "switches were not read")):
            yield

    async def look(self) -> None:
        """Looks now."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        newest = await asyncio.to_thread(self._ledger.read, switches.newest)
        if newest != self._newest:
            found = await asyncio.to_thread(self._ledger.read, switches.switched)
            self.switched = tuple(one for one in found if one.scope != ROLLBACK)
            self._rolled_back = {one.name: one.reason for one in found if one.scope == ROLLBACK}
            self._newest = newest
        self.apply()
        for mark, rollout in self._rollouts():
            if rollout.stage is Stage.ROLLED_BACK and mark not in self._rolled_back:
                await self._tell(mark, rollout.reason or "")

    async def restart(self, rollout: Rollout, act: Act) -> None:
        """Starts a rollout from its first step in all workers, with an empty record."""
        mark, first = _mark(rollout), rollout.settings.steps[0].percent
        before = {"stage": rollout.stage.value, "percent": rollout.percent}
        after = {"stage": Stage.RAMPING.value, "percent": first}

        def withdraw(connection: Connection) -> None:
            audit.record(connection, act, before, after)
            switches.put(connection, act.actor, ROLLBACK, mark, None, "started again")

        async with self._turn:
            await self._ledger.submit(withdraw)
            self._agreed.discard(mark)
            rollout.restart(time.monotonic())  # the clock of routing
            await self._look()

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
        for mark, rollout in self._rollouts():
            self._agree(mark, rollout)

    def _rollouts(self) -> list[tuple[str, Rollout]]:
        return [(_mark(one), one) for one in self._catalog.table.rollouts.values()]

    def _agree(self, mark: str, rollout: Rollout) -> None:
        """Rolls back what another worker rolled back, and starts again what was started again elsewhere."""
        reason = self._rolled_back.get(mark)
        if reason is not None:
            self._agreed.add(mark)
            if rollout.stage is not Stage.ROLLED_BACK:
                rollout.roll_back(reason)
        elif mark in self._agreed:
            self._agreed.discard(mark)
            rollout.restart(time.monotonic())

    async def _tell(self, mark: str, reason: str) -> None:
        """Tells the other workers what was rolled back here."""
        await self._ledger.submit(
            lambda connection: switches.put(connection, BY_ITSELF, ROLLBACK, mark, 0, reason)
        )
        self._rolled_back = {**self._rolled_back, mark: reason}
        self._agreed.add(mark)


def _mark(rollout: Rollout) -> str:
    """Names a rollout as it is set: what was rolled back is not what is tried with other settings."""
    settings = rollout.settings.model_dump_json().encode()
    return f"{rollout.model}@{blake2b(settings, digest_size=6).hexdigest()}"
