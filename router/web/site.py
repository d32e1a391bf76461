"""Every page of the public address."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import FastAPI

from router.web import static
from router.web.door import PageCalls
from router.web.pages import (
    explorer,
    missing,
    partners,
    public,
    wallet,
    wallet_keys,
    wallet_money,
    wallet_requests,
    wallet_rewards,
    wallet_team,
    wallet_usage,
)

WALLET: Final = tuple(
    part.routes
    for part in (
        wallet,
        wallet_money,
        wallet_usage,
        wallet_requests,
        wallet_keys,
        wallet_rewards,
        wallet_team,
    )
)
"""What needs a signed-in wallet."""
_OPEN: Final = (static.routes, public.routes, public.calls, explorer.routes, partners.routes)


def install(app: FastAPI) -> None:
    """Adds the pages, what their scripts need, and a page for where nothing is."""
    app.state.download_turns = asyncio.Semaphore(1)
    for pages in (*_OPEN, *WALLET):
        app.include_router(pages)
    app.add_middleware(PageCalls)
    missing.install(app)
