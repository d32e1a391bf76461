"""The three roles on exploration: whether models may be drawn by lot while spending runs ahead of its plan.

As with deployments, all here is a pure function of settings and of what is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from router.conductor.facts import Action, Proposal, Spending
from router.config_conductor import ConductorConfig


def proposals(known: Spending, settings: ConductorConfig) -> Iterator[Proposal]:
    """Cost wants lots to stop, quality wants them back."""
    if not known.free or not known.explore:
        return
    ahead = f"{1 - known.left:.0%} less money is left than was planned"
    if not known.paused and known.left < settings.ahead:
        yield Proposal("cost", Action.PAUSE, known.deployment, settings.pause_s, ahead)
    elif known.paused and known.left >= _made_good(settings):
        why = f"{known.left:.0%} of the money that was planned to be left is"
        yield Proposal("quality", Action.RESUME, known.deployment, 0.0, why)


def votes(proposal: Proposal, known: Spending, settings: ConductorConfig) -> Mapping[str, str | None]:
    """What each role has against a proposal, None for a vote in favour."""
    pauses = proposal.action is Action.PAUSE
    cost = quality = health = None
    if not pauses and known.left < _made_good(settings):
        cost = "spending still runs ahead"
    if pauses and 0 < known.percent < 100:
        quality = f"{known.percent} % of the accounts follow what was learned, and lots tell how they fare"
    if not pauses and known.away:
        health = f"{known.away} deployments are kept away, so that lots would tell little"
    return {"cost": cost, "quality": quality, "health": health}


def _made_good(settings: ConductorConfig) -> float:
    """What leads to a pause is stronger than what keeps it."""
    return (1 + settings.ahead) / 2
