"""The conductor of a running router: a task that decides, writes down and steers."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mini_llm.routing.catalog import Catalog
from router.beside import beside
from router.conductor.loop import Conductor, Exploring
from router.conductor.replay import as_row
from router.config import RouterConfig
from router.ledger import conducted
from router.ledger.writer import Ledger

IDLE_S: Final = 5.0
"""A conductor that is off looks at its configuration so often."""

log = logging.getLogger(__name__)


class ConductorKeeper:
    """Runs the rounds. Each worker conducts its own calls, as each has its own breakers.

    Attributes:
        conductor: None while it is off.
    """

    def __init__(
        self, ledger: Ledger, catalog: Catalog, config: RouterConfig, exploring: Exploring | None = None
    ) -> None:
        self._ledger, self._catalog, self._exploring = ledger, catalog, exploring
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._seen = 0
        self.conductor: Conductor | None = None
        self.adopt(config)

    def adopt(self, config: RouterConfig) -> None:
        """Goes by another configuration from now on; one that has changed begins with a clean slate."""
        settings, running = config.conductor, self.conductor
        if running is not None and running.council.settings == settings:
            return
        if running is not None:
            running.release()
        self._seen = 0
        off = settings.mode == "off"
        self.conductor = None if off else Conductor(self._catalog, settings, exploring=self._exploring)

    def hands_off(self, deployment: str) -> None:
        """An operator has changed a deployment: it is left alone for a while."""
        if self.conductor is not None:
            self.conductor.undo(deployment, self.conductor.council.settings.respect_s)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Conducts until the block ends."""
        async with beside(self._keep()):
            yield

    async def _keep(self) -> None:
        while True:
            conductor = self.conductor
            if conductor is None:
                await asyncio.sleep(IDLE_S)
                continue
            try:
                await self.round(conductor)
            except Exception as error:  # what it steered ends by itself; the next round may go well again
                log.error("the conductor's round failed: %s", type(error).__name__)
            await asyncio.sleep(conductor.council.settings.every_s)

    async def round(self, conductor: Conductor) -> None:
        """One round. What cannot be written down is not done."""
        settings = conductor.council.settings
        since_s = int(time.time() - settings.respect_s)
        last, rows = await asyncio.to_thread(
            self._ledger.read, lambda connection: conducted.undone(connection, self._seen, since_s)
        )
        self._seen = last
        for deployment, at_s in rows:
            conductor.undo(deployment, settings.respect_s - max(time.time() - at_s, 0.0))
        decisions = conductor.decide()
        written = [as_row(one, settings, self._worker) for one in decisions]
        try:
            if written:
                await self._ledger.submit(lambda connection: conducted.record(connection, written))
        except BaseException:
            for one in decisions:
                if one.acted:
                    conductor.undo(one.proposal.deployment, settings.dwell_s)
            raise
        if self.conductor is conductor:  # another configuration may have come meanwhile
            conductor.steer(decisions)
        for one in decisions:
            if one.acted:
                proposal = one.proposal
                log.warning(
                    "conductor: %s %s: %s", proposal.action.value, proposal.deployment, proposal.reason
                )
