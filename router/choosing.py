"""Calls that leave the model to us: among whom it is chosen for this caller, and what the caller can pay."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mini_llm.auto.purse import Purse
from mini_llm.deployment import Deployment
from mini_llm.errors import NoneCanServe
from mini_llm.request import Request
from mini_llm.routing.asked import QUALITY_HEADER, with_quality
from mini_llm.routing.auto import Bar
from mini_llm.routing.plan import Plan
from mini_llm.routing.routes import Routes
from router.auth import Doors, Header
from router.metering import quote_call
from router.people.byok import listed_id
from router.people.callers import Principal

NOT_ALLOWED: Final = "this API key may not call it"
NOT_FOR_SALE: Final = "its provider's terms allow calls on a provider key of your own only"
TOO_DEAR: Final = "it may cost more than the account, a limit or a budget leaves"
DEARER: Final = "it may cost more than the one that was paid for"


async def plan_call(
    doors: Doors,
    routes: Routes,
    principal: Principal,
    request: Request,
    header: Header,
    lots: bool = False,
    purse: Purse | None = None,
) -> Plan:
    """Who may serve a caller's request, with the caller's own keys; `lots` and `purse`: see `Routes.plan`.

    Raises:
        ModelNotAllowed: the key may not call the model that it names.
        BadRequest: it leaves the model to us and asks for a quality that is none.
        MiniLLMError: nobody serves it, or may be asked for somebody without a provider key of their own.
    """
    account = str(principal.account_idx)
    if routes.chooses(request.model):
        asked = with_quality(request, header(QUALITY_HEADER))
        plan = await routes.plan(asked, account, _bar(principal, routes), lots, purse)
    else:
        principal.require_model(request.model)
        plan = await routes.plan(request, account)
    return _for_sale(await doors.own_keys(principal, plan))


def cheaper(plan: Plan, request: Request) -> Plan | None:
    """The plan without those for which most must be reserved, for an account that cannot pay that.

    None if the model was not left to us, or nobody would be left whose quality is what was asked for: money
    does not lower it.
    """
    if plan.decision is None:
        return None
    most_base = {one: quote_call(request, (one,)).quote_base for one in plan.deployments}
    dearest_base = max(most_base.values())
    cut = _kept(plan, [one for one, base in most_base.items() if base < dearest_base], TOO_DEAR)
    if cut is None or cut.decision is None or not cut.decision.ranked[0].meets:
        return None
    return cut


def affordable(plan: Plan, request: Request, available_base: int, rate_bps: int) -> Plan:
    """The plan as it would become for an account with so much to spend, at its price in basis points of the
    retail price."""
    while quote_call(request, plan.deployments).at(rate_bps) > available_base:
        if (fewer := cheaper(plan, request)) is None:
            break
        plan = fewer
    return plan


def no_dearer(plan: Plan, request: Request) -> Plan:
    """The plan without those for which more must be reserved than for the first: for a caller who pays before
    the call, and gets nothing back."""
    if plan.decision is None:
        return plan
    first, *others = plan.deployments
    most_base = quote_call(request, (first,)).quote_base
    kept = [one for one in others if quote_call(request, (one,)).quote_base <= most_base]
    return _kept(plan, [first, *kept], DEARER) or plan


def _for_sale(plan: Plan) -> Plan:
    """The plan without deployments whose calls may not be sold.

    Raises:
        NoneCanServe: nobody would be left.
    """
    if all(_may_be_sold(one.deployment) for one in plan.candidates):
        return plan
    left = [tuple(one for one in group if _may_be_sold(one.deployment)) for group in plan.groups]
    groups = tuple(group for group in left if group)
    shut = tuple(one for one in plan.shut if _may_be_sold(one.deployment))
    if not groups and not shut:
        raise NoneCanServe(plan.model, {one.id: NOT_FOR_SALE for one in plan.deployments})
    return replace(plan, groups=groups or (shut,), shut=shut if groups else ())


def _may_be_sold(deployment: Deployment) -> bool:
    return deployment.resale or deployment.own_key


def _kept(plan: Plan, deployments: list[Deployment], why: str) -> Plan | None:
    ids = {one.id for one in deployments}
    group, *_ = plan.groups
    ready = tuple(one for one in group if one.deployment.id in ids)
    shut = tuple(one for one in plan.shut if one.deployment.id in ids)
    if not ready or plan.decision is None:
        return None
    decision = plan.decision.only({listed_id(one) for one in deployments}, why)
    return replace(plan, groups=(ready,), shut=shut, decision=decision)


def _bar(principal: Principal, routes: Routes) -> Bar | None:
    """Who may not serve the caller: what its key may not call, by the model's name or an alias, and what may
    not be sold to it."""
    table = routes.catalog.table
    if principal.models is None and all(one.deployment.resale for one in table.candidates.values()):
        return None
    names: dict[str, list[str]] = {}
    for alias, target in table.config.aliases.items():
        for model in (target,) if isinstance(target, str) else target:
            names.setdefault(model, []).append(alias)

    def bar(deployment: Deployment) -> str | None:
        if not deployment.resale and deployment.provider not in principal.provider_keys:
            return NOT_FOR_SALE
        called = (deployment.model, *names.get(deployment.model, ()))
        return None if any(map(principal.may_call, called)) else NOT_ALLOWED

    return bar
