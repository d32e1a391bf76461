"""Workers tell one another, through the database, how much of each limited key they served."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from router.beside import beside, every
from router.ledger.writer import Ledger
from router.people.limits import WINDOW_S, Limiter, Use
from router.people.models import RATE_USE

EXCHANGE_S: Final = 1.0
GONE_S: Final = 10
"""A worker that told nothing for this long runs no calls any more."""


class Exchange:
    """One worker's part: it writes its own rows and reads those of the others, once a second."""

    def __init__(self, ledger: Ledger, limiter: Limiter) -> None:
        self._ledger, self._limiter = ledger, limiter
        self._worker = secrets.token_hex(8)
        self._told = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Exchanges until the block ends; where that fails, limits hold per worker until it works again."""
        async with beside(every(EXCHANGE_S, self.once, "rate limits were not exchanged")):
            yield

    async def once(self) -> None:
        """Tells and asks; a worker without limited keys writes nothing."""
        uses = self._limiter.uses()
        now_s = int(time.time())
        if uses or self._told:
            await self._ledger.submit(lambda connection: tell(connection, self._worker, uses, now_s))
            self._told = bool(uses)
        self._limiter.others(
            await asyncio.to_thread(
                self._ledger.read, lambda connection: ask(connection, self._worker, now_s)
            )
        )


def tell(connection: Connection, worker: str, uses: Sequence[Use], now_s: int) -> None:
    """Replaces a worker's rows, and sweeps those of workers that are long gone."""
    connection.execute(
        delete(RATE_USE).where((RATE_USE.c.worker == worker) | (RATE_USE.c.seen_s < now_s - WINDOW_S))
    )
    rows = [
        {
            "key_id": use.key_id,
            "worker": worker,
            "requests": use.requests,
            "tokens": use.tokens,
            "running": use.running,
            "seen_s": now_s,
        }
        for use in uses
    ]
    if rows:
        connection.execute(insert(RATE_USE), rows)


def ask(connection: Connection, worker: str, now_s: int) -> list[Use]:
    """What the other workers told."""
    query = select(RATE_USE).where(RATE_USE.c.worker != worker, RATE_USE.c.seen_s >= now_s - WINDOW_S)
    return [
        Use(row.key_id, row.requests, row.tokens, row.running if row.seen_s >= now_s - GONE_S else 0)
        for row in connection.execute(query)
    ]
