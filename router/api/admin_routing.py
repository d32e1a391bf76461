"""The operator's hand on routing: deployments are shown, drained, undrained and reset; rollouts are shown,
restarted and rolled back; the file is reloaded.

A drain lasts until it is undone or the process ends; with several workers each is told by itself.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from mini_llm.routing.plan import Candidate
from mini_llm.routing.rollout import Rollout, Stage
from router.api.admin_access import Operator, act, state_of
from router.errors import NeedsRestart, NotConfigured
from router.ledger import audit

routes = APIRouter(prefix="/admin/v1")


class Named(BaseModel):
    """A deployment by its id, as the list shows it."""

    model_config = ConfigDict(extra="forbid")
    id: Annotated[str, Field(min_length=1, max_length=500)]


@routes.get("/deployments", summary="List deployments and how they do")
async def deployments(request: Request, _: Operator) -> dict[str, Any]:
    """All that is on offer, configured or found on this machine."""
    catalog = state_of(request).catalog
    await catalog.deployments()  # looks for local servers
    return {"deployments": [_shown(one) for one in catalog.table.candidates.values()]}


@routes.post("/deployments/{action}", summary="Drain, undrain or reset a deployment")
async def operate(
    request: Request, operator: Operator, action: Literal["drain", "undrain", "reset"], named: Named
) -> dict[str, Any]:
    """drain: it gets no new calls; undrain: it does again; reset: its failures and pauses are forgotten."""
    state = state_of(request)
    candidates = state.catalog.table.candidates
    candidate = candidates.get(named.id)
    if candidate is None:
        raise NotConfigured("deployment", named.id, candidates)
    health, before = candidate.health, _state(candidate)
    change = {"breaker": "closed"} if action == "reset" else {"drained": action == "drain"}
    after = before | change
    what = act(operator, f"deployment.{action}", f"deployment:{named.id}")
    await state.ledger.submit(lambda connection: audit.record(connection, what, before, after))
    state.conducting.hands_off(named.id)  # what an operator does wins
    if action == "reset":
        health.reset()
    else:
        health.drained = action == "drain"
    return _shown(candidate)


class Rolling(BaseModel):
    """A rollout by its model, as the list shows it."""

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str, Field(min_length=1, max_length=500)]


@routes.get("/rollouts", summary="List rollouts and how they do")
async def rollouts(request: Request, _: Operator) -> dict[str, Any]:
    """Each with its stage, its part of the traffic, and calls and failures of both sides since it began."""
    return {"rollouts": [_standing(one) for one in state_of(request).catalog.table.rollouts.values()]}


@routes.post("/rollouts/{action}", summary="Restart a rollout or roll it back")
async def steer(
    request: Request, operator: Operator, action: Literal["restart", "roll-back"], named: Rolling
) -> dict[str, Any]:
    """restart: from its first step, with an empty record; roll-back: the new deployment gets no calls.

    Both count in all workers.
    """
    state = state_of(request)
    rollout = state.catalog.table.rollouts.get(named.model)
    if rollout is None:
        raise NotConfigured("rollout of model", named.model, state.catalog.table.rollouts)
    what = act(operator, f"rollout.{action}", f"rollout:{named.model}")
    if action == "restart":
        await state.switching.restart(rollout, what)
        return _standing(rollout)
    before, after = _stage(rollout.stage, rollout.percent), _stage(Stage.ROLLED_BACK, 0.0)
    await state.ledger.submit(lambda connection: audit.record(connection, what, before, after))
    rollout.roll_back(f"by operator {operator}")
    await state.switching.look()  # which tells the other workers
    return _standing(rollout)


@routes.post("/config/reload", summary="Read the configuration file again")
async def reload(request: Request, operator: Operator) -> dict[str, Any]:
    """As SIGHUP: the file is put into force as a whole, or refused.

    `refused` says why, `needs_restart` which settings cannot change while the router runs.
    """
    state = state_of(request)
    what = act(operator, "config.reload", "config")
    await state.ledger.submit(lambda connection: audit.record(connection, what, None, None))
    await state.reload.now()
    refused = state.reload.refused
    return {
        "reloaded": refused is None,
        "refused": [] if refused is None else str(refused).splitlines(),
        "needs_restart": refused.names if isinstance(refused, NeedsRestart) else [],
    }


def _shown(candidate: Candidate) -> dict[str, Any]:
    deployment, health = candidate.deployment, candidate.health
    return {
        "id": deployment.id,
        "model": deployment.model,
        "provider": deployment.provider,
        "upstream_model": deployment.upstream_model,
        "partner": deployment.partner_id,
        **_state(candidate),
        "in_flight": health.in_flight,
        "calls": health.calls,
        "failures": health.failures,
        "paused_s": round(health.paused_s(time.monotonic()), 1),
    }


def _standing(rollout: Rollout) -> dict[str, Any]:
    status = rollout.status()
    return asdict(status) | _stage(status.stage, status.percent)


def _stage(stage: Stage, percent: float) -> dict[str, Any]:
    return {"stage": stage.value, "percent": percent}


def _state(candidate: Candidate) -> dict[str, Any]:
    return {"breaker": candidate.health.breaker.state.value, "drained": candidate.health.drained}
