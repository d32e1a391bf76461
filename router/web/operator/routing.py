"""Who serves what, and the switches: stop a deployment, a provider or everything; hold a rollout at a part.

A switch is confirmed on a page of its own, with a reason, and counts in all workers within a second or two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from mini_llm.routing.plan import Candidate
from mini_llm.routing.rollout import Stage
from mini_llm.routing.table import Table
from router.api.admin_access import act, look, state_of
from router.api.admin_state import AdminState
from router.errors import NotConfigured
from router.ledger import switches
from router.ledger.switches import DEPLOYMENT, EVERYTHING, PROVIDER, ROLLOUT, WHOLE, Switch
from router.people.errors import BadInput
from router.web.door import see
from router.web.operator.door import operator_of, operator_page, operator_routes, read_form
from router.web.operator.figures import DRAINED, SERVES, STOPPED, TONES, deployment_state

PAGE: Final = "/operator/routing"
MAX_REASON: Final = 200
LET_GO: Final = "let-go"
"""What a form sends to take a switch back."""

routes: Final[APIRouter] = operator_routes()


@dataclass(frozen=True)
class Turn:
    """What a switch is to be turned to.

    Attributes:
        scope, name: see `Switch`.
        setting: see `Switch`.
    """

    scope: str
    name: str
    setting: int | None

    @property
    def percent(self) -> str:
        """The setting as people write it."""
        return "" if self.setting is None else f"{self.setting * 100 / WHOLE:g}"


@routes.get("/routing")
async def routing(request: Request) -> Response:
    """Providers, deployments, aliases and rollouts with their states, and what is switched."""
    operator_of(request)
    state = state_of(request)
    await state.catalog.deployments()  # looks for local servers
    table = state.catalog.table
    history = await look(request, switches.history)
    return operator_page(
        request,
        "routing.html",
        table=table,
        switched={(one.scope, one.name): one for one in state.switching.switched},
        providers=list(_providers(table)),
        state_of=deployment_state,
        tones=TONES | {SERVES: "good"},
        aliases={name: (to,) if isinstance(to, str) else to for name, to in table.config.aliases.items()},
        rollouts=[one.status() for one in table.rollouts.values()],
        rolled_back=Stage.ROLLED_BACK,
        history=history,
        whole=WHOLE,
    )


@routes.get("/routing/switch")
async def confirm(request: Request, scope: str, name: str = "", to: str = "0") -> Response:
    """Says what a switch would do, and asks for a reason."""
    operator_of(request)
    state = state_of(request)
    turn = _turn(state, scope, name, to)
    stopped = {turn.name} if turn.scope == DEPLOYMENT else _at(state.catalog.table, turn)
    return operator_page(
        request,
        "switch.html",
        turn=turn,
        to=to,
        in_flight=sum(state.catalog.table.candidates[one].health.in_flight for one in stopped),
        orphans=_orphans(state.catalog.table, stopped) if turn.setting == 0 else [],
        present=_present(state, turn),
        max_reason=MAX_REASON,
    )


@routes.post("/routing/switch")
async def switch(request: Request) -> Response:
    """Turns it."""
    operator = operator_of(request)
    form = await read_form(request)
    state = state_of(request)
    turn = _turn(state, form.text("scope"), form.text("name", ""), form.text("to"))
    reason = form.text("reason")
    if not 0 < len(reason) <= MAX_REASON:
        raise BadInput("reason", f"is needed, in {MAX_REASON} letters at most")
    action = "switch.let-go" if turn.setting is None else "switch.set"
    what = act(operator, action, f"{turn.scope}:{turn.name}" if turn.name else turn.scope)
    await state.ledger.submit(
        lambda connection: switches.turn(connection, what, turn.scope, turn.name, turn.setting, reason)
    )
    await state.switching.look()
    if turn.scope == DEPLOYMENT:
        state.conducting.hands_off(turn.name)  # what an operator does wins
    return see(f"{PAGE}#switched")


@routes.post("/routing/rollouts/restart")
async def restart(request: Request) -> Response:
    """Starts a rollout again from its first step."""
    operator = operator_of(request)
    model = (await read_form(request)).text("model")
    state = state_of(request)
    rollout = state.catalog.table.rollouts.get(model)
    if rollout is None:
        raise NotConfigured("rollout of model", model, state.catalog.table.rollouts)
    await state.switching.restart(rollout, act(operator, "rollout.restart", f"rollout:{model}"))
    return see(f"{PAGE}#rollouts")


def _turn(state: AdminState, scope: str, name: str, to: str) -> Turn:
    """What a form or link asks for.

    Raises:
        BadInput: there is no such switch, or it cannot be turned to that.
    """
    table = state.catalog.table
    known = {
        EVERYTHING: {""},
        PROVIDER: set(table.config.providers),
        DEPLOYMENT: set(table.candidates),
        ROLLOUT: set(table.rollouts),
    }
    is_switched = any((one.scope, one.name) == (scope, name) for one in state.switching.switched)
    if scope not in known or not (name in known[scope] or is_switched):
        raise BadInput("name", f"there is no {scope[:20]} {name[:200]!r} here")
    if to == LET_GO:
        return Turn(scope, name, None)
    setting = _part(to)
    if scope != ROLLOUT and setting:
        raise BadInput("to", f"is 0 or {LET_GO}")
    return Turn(scope, name, setting)


def _part(percent: str) -> int:
    """A percentage in ten-thousandths."""
    try:
        part = Decimal(percent) * 100
    except ArithmeticError:
        part = Decimal(-1)
    if not (part.is_finite() and 0 <= part <= WHOLE and part == int(part)):
        raise BadInput("percent", "is 0 to 100, with two digits behind the point at most")
    return int(part)


def _providers(table: Table) -> Iterator[dict[str, Any]]:
    for name, config in table.config.providers.items():
        own = [one for one in table.candidates.values() if one.deployment.provider == name]
        yield {
            "name": name,
            "type": config.type,
            "address": str(config.base_url or "its usual address"),
            "deployments": len(own),
            "in_flight": sum(one.health.in_flight for one in own),
            "open": sum(deployment_state(one) != SERVES for one in own),
        }


def _at(table: Table, turn: Turn) -> set[str]:
    """Deployments that a switch keeps calls from."""
    if turn.scope == EVERYTHING:
        return set(table.candidates)
    return {name for name, one in table.candidates.items() if _belongs(one, turn)}


def _belongs(candidate: Candidate, turn: Turn) -> bool:
    return turn.scope == PROVIDER and candidate.deployment.provider == turn.name


def _orphans(table: Table, stopped: set[str]) -> list[str]:
    """Models and aliases that nobody would serve."""
    gone = []
    for name, route in table.routes.items():
        members = {one.deployment.id for group in route.groups for one in group.members}
        members |= {g.rollout.new.deployment.id for g in route.groups if g.rollout and g.rollout.new}
        served = {one for one in members if deployment_state(table.candidates[one]) not in (STOPPED, DRAINED)}
        if served and not served - stopped:
            gone.append(name)
    return gone


def _present(state: AdminState, turn: Turn) -> Switch | None:
    """How it is switched now."""
    place = (turn.scope, turn.name)
    return next((one for one in state.switching.switched if (one.scope, one.name) == place), None)
