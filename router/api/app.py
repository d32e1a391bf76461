"""The ASGI application: everything is opened when it starts and closed when it stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import ASGIApp

from mini_llm.http_transport import HttpTransport
from mini_llm.routing.catalog import build_catalog
from mini_llm.routing.routes import Routes
from router.answers import KeptAnswers
from router.api import (
    account,
    byok,
    deposits,
    device,
    document,
    errors,
    feedback,
    health,
    keys,
    looks,
    models,
    signin,
    teams,
)
from router.api.admin import create_admin
from router.api.admin_door import AdminDoor, KeysFile
from router.api.admin_state import AdminState
from router.api.calls import Calls, call_routes
from router.api.cors import with_cors
from router.api.front import Front
from router.api.health import Readiness
from router.auth import Doors
from router.billing import Billing
from router.conductor.keeper import ConductorKeeper
from router.config import Settings
from router.db import open_database
from router.drain import Drain
from router.exploration import Exploration
from router.following import Follower
from router.gateway import Gateway
from router.learning import learning
from router.ledger.link import Link
from router.ledger.writer import Ledger
from router.looks import Looks
from router.observe.observer import Observer
from router.observe.outgoing import TellingTransport
from router.observe.pulse import PulseKeeper
from router.observe.routing import RouteListener
from router.operating import Operating
from router.people.byok import OwnKeyTerms
from router.people.desk import open_desk
from router.people.screening import open_screening
from router.people.vault import open_vault
from router.relay import relay_deposits, relaying
from router.reload import Reload
from router.rewards import EpochKeeper
from router.scoring.scorer import scoring
from router.switching import SwitchKeeper
from router.web import site
from router.web.operator.door import Entrance
from router.web.operator.seal import Seals
from router.x402 import take_payments


@dataclass(frozen=True)
class Apps:
    """The router's two ASGI applications; the first one's lifespan opens what both use.

    Attributes:
        public: for clients.
        admin: for the operator: `/operator…`, `/admin/v1/…` and `/metrics`.
    """

    public: ASGIApp
    admin: ASGIApp


def create_apps(settings: Settings, observer: Observer, drain: Drain, link: Link | None = None) -> Apps:
    """Makes both applications.

    Args:
        settings: all that the router is told.
        observer: is told of requests.
        drain: says when to stop.
        link: of a worker, to the process that commits calls for all.

    Raises:
        ConfigError: the providers and deployments do not fit together, or the ledger, the master key or the
            operators' keys are unusable.
    """
    operating = settings.operating
    api = create_api(settings, observer, drain, link)
    keys = operating.admin_keys
    door = AdminDoor(KeysFile(keys)) if keys is not None else None
    seals = None if door is None else Seals(door, settings.receipt_key)
    entrance = Entrance(seals, operating.admin_hosts)
    admin = create_admin(AdminState(api.state, observer), door, entrance)
    return Apps(
        public=with_cors(Front(Calls(api, api.state), observer, drain, operating), operating),
        # of its own: an operator's looks are neither counted as traffic nor refused while the router drains
        admin=Front(admin, Observer(), Drain(0), Operating()),
    )


def create_api(settings: Settings, observer: Observer, drain: Drain, link: Link | None) -> FastAPI:
    """What answers behind the front; its `state` holds the open parts while it runs."""
    http = TellingTransport(HttpTransport())
    catalog = build_catalog(settings.config, settings.config.vibes_per_usd, http, settings.environ)
    # what an operator can get wrong is opened here, before the server, which would tell it as a fault
    vault = open_vault(settings.people.master_key)
    answers = KeptAnswers(vault, settings.answers_s)
    screening = open_screening(settings.people.screening)
    engine = open_database(settings.ledger_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ledger = Ledger(engine, link)
        ledger.committed = observer.metrics.committed

        def terms() -> OwnKeyTerms:
            return OwnKeyTerms(reload.config.providers, reload.config.policy.byok_fee_bps)

        app.state.settings, app.state.ledger, app.state.catalog = settings, ledger, catalog
        app.state.reload = reload = Reload(settings, catalog)
        app.state.readiness, app.state.started_s = Readiness(drain, ledger), int(time.time())
        app.state.drain, app.state.pulse = drain, PulseKeeper(observer.metrics)
        try:
            async with open_desk(
                settings.people, settings.domain, settings.receipt_key, ledger, vault, screening, http, terms
            ) as desk:
                billing = Billing(ledger, settings, desk.custodian, answers)
                epochs = EpochKeeper(ledger, settings.config)
                reload.adopters += [billing.adopt, epochs.adopt, observer.adopt]
                follower = Follower(ledger, settings.config, settings.receipt_key)
                app.state.switching = switching = SwitchKeeper(ledger, catalog)
                exploration = Exploration(follower, billing.pacing)
                conducting = ConductorKeeper(ledger, catalog, settings.config, exploration)
                app.state.conducting = conducting
                reload.adopters += [switching.adopt, conducting.adopt, follower.adopt]
                doors = Doors(ledger, desk.limiter, desk.own_keys)
                app.state.desk, app.state.doors = desk, doors
                async with (
                    observer.running(),
                    app.state.pulse.kept(),
                    billing.kept(),
                    epochs.kept(),
                    follower.kept(),
                    switching.kept(),
                    conducting.kept(),
                    reload.watching(),
                    relaying(ledger, settings) as settler,
                    scoring(ledger, settings) as scorer,
                    learning(ledger, settings) as mirror,
                ):
                    calling = Routes(catalog, listener=RouteListener(observer.metrics), mirroring=follower)
                    await asyncio.to_thread(calling.prepare)
                    reload.adopters.append(mirror.adopt)
                    app.state.mirror, app.state.scorer = mirror, scorer
                    app.state.deposits = relay_deposits(ledger, settings, settler)
                    till = take_payments(ledger, billing, settings, settler, screening)
                    app.state.gateway = Gateway(doors, calling, billing, till, scorer, mirror)
                    app.state.looks, app.state.offers = Looks(doors, calling, billing), billing.offers
                    yield
                    await drain.cut()  # nothing may run when the ledger closes
        finally:
            await http.aclose()
            ledger.close()
            engine.dispose()

    app = FastAPI(
        title="VIBES router", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    _install(app)
    return app


def _install(app: FastAPI) -> None:
    """Everything that answers."""
    errors.install(app)
    app.include_router(call_routes())
    for part in (models, looks, account, deposits, health, signin, device, keys, teams, byok, feedback):
        app.include_router(part.routes)
    site.install(app)
    document.describe(app)
