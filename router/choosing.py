"""Calls that leave the model to us: among whom it is chosen for this caller, and what the caller can pay."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from mini_llm.auto.purse import Purse
from mini_llm.deployment import Deployment
from mini_llm.errors import NoneCanServe
from mini_llm.request import Request
from mini_llm.routing.asked import QUALITY_HEADER, with_quality
from mini_llm.routing.plan import Plan
from mini_llm.routing.planning import Bar
from mini_llm.routing.routes import Routes
from router.auth import Doors, Header
from router.metering import quote_call
from router.people.byok import listed_id
from router.people.callers import Principal

NOT_KEYED: Final = "the account's own provider keys serve others"
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
        request, bar = with_quality(request, header(QUALITY_HEADER)), _listed(principal, routes)
    else:
        principal.require_model(request.model)
        bar = partial(_not_for_sale, principal)
    if principal.provider_keys:
        try:
            plan = await routes.plan(request, account, partial(_not_keyed, principal, bar), lots)
        except NoneCanServe as error:
            if error.retry_after_s is not None:
                raise  # a call that waits for an own key does not become one that the account pays
        else:
            return await doors.own_keys(principal, plan)
    plan = await routes.plan(request, account, bar, lots, purse)
    return await doors.own_keys(principal, plan)


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


def _kept(plan: Plan, deployments: list[Deployment], why: str) -> Plan | None:
    ids = {one.id for one in deployments}
    group, *_ = plan.groups
    ready = tuple(one for one in group if one.deployment.id in ids)
    shut = tuple(one for one in plan.shut if one.deployment.id in ids)
    if not ready or plan.decision is None:
        return None
    decision = plan.decision.only({listed_id(one) for one in deployments}, why)
    return replace(plan, groups=(ready,), shut=shut, decision=decision)


def _not_for_sale(principal: Principal, deployment: Deployment) -> str | None:
    """Why a deployment may not be asked at the account's expense, None if it may."""
    return None if deployment.resale or deployment.provider in principal.provider_keys else NOT_FOR_SALE


def _not_keyed(principal: Principal, bar: Bar, deployment: Deployment) -> str | None:
    """The bar, and beside it that the caller has no provider key of its own for the deployment."""
    return bar(deployment) or (None if deployment.provider in principal.provider_keys else NOT_KEYED)


def _listed(principal: Principal, routes: Routes) -> Bar:
    """Who may not be chosen: what may not be sold, and what the caller's key may not call, by the name of the
    model or an alias."""
    sale = partial(_not_for_sale, principal)
    if principal.models is None:
        return sale
    names: dict[str, list[str]] = {}
    for alias, target in routes.catalog.table.config.aliases.items():
        for model in (target,) if isinstance(target, str) else target:
            names.setdefault(model, []).append(alias)

    def bar(deployment: Deployment) -> str | None:
        called = (deployment.model, *names.get(deployment.model, ()))
        return sale(deployment) or (None if any(map(principal.may_call, called)) else NOT_ALLOWED)

    return bar
