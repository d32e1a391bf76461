"""Is the router alive, and may a load balancer send it calls?"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from router.db_trouble import trouble_of
from router.drain import Drain
from router.errors import NotReady
from router.ledger import probe
from router.ledger.writer import Ledger

CHECK_S: Final = 1.0
"""The database is asked at most this often, however often the router is."""
TIMEOUT_S: Final = 2.0

routes = APIRouter()


class Readiness:
    """Whether calls can be served: not stopping, and the ledger takes writes."""

    def __init__(self, drain: Drain, ledger: Ledger) -> None:
        self._drain, self._ledger = drain, ledger
        self._checked_s = float("-inf")
        self._problem: str | None = None
        self._asking = asyncio.Lock()

    async def problem(self) -> str | None:
        """Why the router is not ready, None if it is."""
        if self._drain.begun:
            return "the router is stopping"
        async with self._asking:
            if time.monotonic() - self._checked_s >= CHECK_S:
                self._problem = await self._ask()
                self._checked_s = time.monotonic()
        return self._problem

    async def _ask(self) -> str | None:
        now_s = int(time.time())

        def write(connection: Connection) -> None:
            probe.write(connection, now_s)

        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._ledger.submit(write)
                await self._ledger.submit(probe.Errand())
        except TimeoutError:
            return f"the ledger did not take a write in {TIMEOUT_S:g} s"
        except Exception as error:
            return f"the ledger does not take writes: {trouble_of(error) or type(error).__name__}"
        return None


@routes.get("/healthz", summary="Tell that the router runs", tags=["health"])
async def healthz() -> dict[str, str]:
    """Alive: the process answers. Asks nothing else, so that a slow database gets no router killed."""
    return {"status": "ok"}


@routes.get("/readyz", summary="Tell whether the router takes calls", tags=["health"])
async def readyz(request: Request) -> dict[str, Any]:
    """Ready: configured, not stopping, and the ledger's database takes writes; else 503 with the reason."""
    readiness: Readiness = request.app.state.readiness
    if (problem := await readiness.problem()) is not None:
        raise NotReady(problem)
    return {"status": "ready"}
