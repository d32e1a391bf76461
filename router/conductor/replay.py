"""Decisions as rows of the log, and gone over again from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from router.conductor import exploring
from router.conductor.council import Decision
from router.conductor.facts import EXPLORATION, Action, Facts, Proposal, Spending
from router.conductor.roles import ROLES, Role, carried, safe, votes
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What a row of the log says was known, and what was made of it."""

    proposal: Proposal
    role: Role
    settings: ConductorConfig
    group: tuple[Facts, ...]
    spending: Spending | None


def gone_over(row: Mapping[str, Any]) -> str | None:
    """Decides again on what a row of the log says was known.

    What another release wrote and this one does not know is left out, see `unknown`; what it did not write
    has its default.

    Returns: what comes out differently, in words; None if nothing does.
    """
    detail = row["detail"]
    if detail["follows"]:  # the end of a rest, whose decision has a row of its own
        return None
    try:
        known = _known(row)
    except (LookupError, TypeError, ValueError):
        return "this release cannot read it"
    proposal, group, settings = known.proposal, known.group, known.settings
    if known.spending is not None:
        proposed = list(exploring.proposals(known.spending, settings))
        against, allowed = exploring.votes(proposal, known.spending, settings), True
    else:
        proposed = list(known.role.propose(group, settings))
        against, allowed = votes(proposal, group, settings), safe(proposal, group)
    if proposal not in proposed:
        return f"{proposal.role} would not propose it"
    if dict(against) != detail["against"]:
        return f"the votes would be {dict(against)}"
    acted = allowed and carried(against) and settings.mode == "act"
    return None if acted == row["acted"] else f"it would {'' if acted else 'not '}be carried out"


def unknown(row: Mapping[str, Any]) -> set[str]:
    """Settings and figures in a row that this release has not: another one may have decided by them."""
    detail = row["detail"]
    figures = Spending if row["deployment"] == EXPLORATION else Facts
    settings = set(detail["settings"]) - set(ConductorConfig.model_fields)
    return settings.union(*(set(one) - _names(figures) for one in detail["group"]))


def _known(row: Mapping[str, Any]) -> _Known:
    """Reads a row.

    Raises:
        LookupError, TypeError, ValueError: it is not one of this release, nor near to one.
    """
    detail = row["detail"]
    own = {name: value for name, value in detail["settings"].items() if name in ConductorConfig.model_fields}
    proposal = Proposal(
        row["role"], Action(row["action"]), row["deployment"], detail["amount"], row["reason"]
    )
    role = {one.name: one for one in ROLES}[row["role"]]
    settings = ConductorConfig.model_validate(own)
    if proposal.deployment == EXPLORATION:
        (spending,) = (Spending(**_own(Spending, one)) for one in detail["group"])
        return _Known(proposal, role, settings, (), spending)
    group = tuple(Facts(**_own(Facts, one)) for one in detail["group"])
    return _Known(proposal, role, settings, group, None)


def _names(figures: type[Facts | Spending]) -> set[str]:
    return {field.name for field in fields(figures)}


def _own(figures: type[Facts | Spending], found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name in _names(figures)}
