"""Decisions as rows of the log, and gone over again from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from router.conductor import exploring
from router.conductor.council import Decision
from router.conductor.facts import EXPLORATION, Action, Facts, Proposal, Spending
from router.conductor.roles import ROLES, carried, safe, votes
from router.config_conductor import ConductorConfig


def as_row(decision: Decision, settings: ConductorConfig, actor: str) -> dict[str, Any]:
    """A decision for `router.ledger.conducted.record`, with all that it rests on."""
    proposal = decision.proposal
    return {
        "actor": actor,
        "role": proposal.role,
        "action": proposal.action.value,
        "deployment": proposal.deployment,
        "acted": int(decision.acted),
        "reason": proposal.reason,
        "undoes": None,
        "detail": {
            "amount": proposal.amount,
            "chair": decision.chair,
            "against": dict(decision.against),
            "follows": decision.follows,
            "group": [asdict(one) for one in decision.group],
            "settings": settings.model_dump(mode="json"),
        },
    }


def gone_over(row: Mapping[str, Any]) -> str | None:
    """Decides again on what a row of the log says was known.

    Returns: what comes out differently, in words; None if nothing does.
    """
    detail = row["detail"]
    settings = ConductorConfig.model_validate(detail["settings"])
    proposal = Proposal(
        row["role"], Action(row["action"]), row["deployment"], detail["amount"], row["reason"]
    )
    if detail["follows"]:  # the end of a rest, whose decision has a row of its own
        return None
    if proposal.deployment == EXPLORATION:
        spending = Spending(**detail["group"][0])
        proposed = list(exploring.proposals(spending, settings))
        against, allowed = exploring.votes(proposal, spending, settings), True
    else:
        group = tuple(Facts(**one) for one in detail["group"])
        role = next(one for one in ROLES if one.name == row["role"])
        proposed = list(role.propose(group, settings))
        against, allowed = votes(proposal, group, settings), safe(proposal, group)
    if proposal not in proposed:
        return f"{proposal.role} would not propose it"
    if dict(against) != detail["against"]:
        return f"the votes would be {dict(against)}"
    acted = allowed and carried(against) and settings.mode == "act"
    return None if acted == row["acted"] else f"it would {'' if acted else 'not '}be carried out"
