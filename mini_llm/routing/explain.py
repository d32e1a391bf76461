"""What routing would do with a request, told without doing it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mini_llm.hops import passed_over
from mini_llm.request import Request
from mini_llm.routing.decision import candidate_fields
from mini_llm.routing.plan import Candidate, Plan
from mini_llm.wallet.limits import BPS


def explain(
    request: Request, plan: Plan, members: Iterable[Candidate], rate_bps: int = BPS
) -> dict[str, Any]:
    """A plan as JSON values: who would serve the request and why, who is there after it, who is left out.

    Args:
        request: the call.
        plan: what routing made of it.
        members: all who serve the model, of a request that names one.
        rate_bps: the caller's price, in basis points of the retail price; costs are told at it.
    """
    order = [one.deployment for one in plan.candidates]
    told = {
        "object": "route",
        "surface": request.surface,
        "model": request.model,
        "chosen": {"model": order[0].model, "deployment": order[0].id, "provider": order[0].provider},
    }
    if plan.decision is not None:
        return told | plan.decision.fields(rate_bps)
    return told | {
        "asked": None,
        "floor": None,
        "reason": "the request names its model",
        "prompt": None,
        "gate": None,
        "budget": None,
        "candidates": [candidate_fields(one.model, [one.id]) for one in order],
        "left_out": [
            {"deployment": hop.deployment, "reason": hop.reason} for hop in passed_over(request, members)
        ],
    }
