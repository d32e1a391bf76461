"""The ASGI application: everything is opened when it starts and closed when it stops."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mini_llm.routing.catalog import build_catalog
from mini_llm.routing.routes import Routes
from router.api import account, chat, errors, models
from router.auth import Doors
from router.billing import Billing
from router.config import Settings
from router.db import open_database
from router.gateway import Gateway
from router.ledger.writer import Ledger
from router.transport import open_transport


def create_app(settings: Settings) -> FastAPI:
    """The router as an ASGI application.

    Raises:
        ConfigError: the providers and deployments do not fit together.
    """

    http = open_transport()
    catalog = build_catalog(settings.config, settings.config.vibes_per_usd, http)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = open_database(settings.ledger_url)
        ledger = Ledger(engine)
        billing = Billing(ledger, settings)
        app.state.settings, app.state.ledger = settings, ledger
        app.state.catalog = catalog
        app.state.gateway = Gateway(Doors(ledger), Routes(catalog), billing)
        app.state.started_s = int(time.time())
        try:
            async with billing.kept():
                yield
        finally:
            await http.aclose()
            ledger.close()
            engine.dispose()

    app = FastAPI(title="VIBES router", lifespan=lifespan, docs_url=None, redoc_url=None)
    errors.install(app)
    for part in (chat, models, account):
        app.include_router(part.routes)

    @app.get("/healthz", summary="Tell that the router runs")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app
