"""What the roles decide on: figures of each deployment and of spending, and what a change would come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from router.config_conductor import ConductorConfig

EXPLORATION: Final = "auto:exploration"
"""What stands for exploration where decisions name a deployment."""
PROMPT_SHARE: Final = 3
"""Prices are compared for so many prompt tokens to one of the answer."""
THOUSAND: Final = 1000
_DOUBT: Final = 5
"""Good tries that each deployment is credited with, so that one failure of one says little."""


class Action(Enum):
    """What can be done to a deployment, or to exploration."""

    OPEN = "open"
    """Its breaker opens for a while; then calls find out whether it works again."""
    CLOSE = "close"
    """A breaker that was opened so is closed before its time."""
    REST = "rest"
    """It is drained for a while: asked only when all others fail, and then with a small part at first."""
    RETURN = "return"
    """A rest ends before its time."""
    SHARE = "share"
    """Its weight is multiplied."""
    PAUSE = "pause"
    """No model is drawn by lot for a while."""
    RESUME = "resume"
    """A pause ends before its time."""


AWAY: Final = frozenset({Action.OPEN, Action.REST})
"""Actions that take calls away."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One deployment as it did within the window.

    Attributes:
        deployment: its id.
        model: that it serves.
        weight: as configured.
        share: factor of the weight that was decided, 1 without a decision.
        price_base: base units of four million tokens, three of them of prompts.
        calls: tries that have ended.
        failures: of these by its own fault.
        limited: tries that its provider put off; not among `calls`.
        latency_s: lately, if several answers in a row were slow; else None.
        usual_s: over the last hours, None if not measured.
        silent_s: how long several calls have waited without anything heard, 0 if they do not.
        ready: it is asked in its turn.
        held: decisions keep it away: `open`, `rest`, or nothing.
        opened: times within the last hour that decisions opened its breaker or let it rest.
        shares: its part of the calls follows its weight.
        free: it may be changed: no operator's word stands against it.
        spare: calls more at once that it may take, None for any number.
        running: calls that run now.
    """

    deployment: str
    model: str
    weight: int
    price_base: int
    share: float = 1.0
    calls: float = 0.0
    failures: float = 0.0
    limited: float = 0.0
    latency_s: float | None = None
    usual_s: float | None = None
    silent_s: float = 0.0
    ready: bool = True
    held: str = ""
    opened: int = 0
    shares: bool = True
    free: bool = True
    spare: int | None = None
    running: int = 0

    @property
    def part(self) -> int:
        """Its part of the calls beside others, in thousandths of a weight."""
        return self.weight * round(self.share * THOUSAND) if self.ready else 0

    @property
    def failing(self) -> float:
        """Part of its tries that fail, from 0 to 1."""
        return self.failures / (self.calls + _DOUBT)

    def slow(self, settings: ConductorConfig) -> bool:
        """It takes much longer than usual."""
        if self.latency_s is None or self.usual_s is None:
            return False
        return self.latency_s >= settings.slow_s and self.latency_s >= settings.slow * self.usual_s

    def hangs(self, settings: ConductorConfig) -> bool:
        """Calls wait, and nothing is heard."""
        return self.silent_s >= max(settings.hanging_s, 4 * (self.usual_s or 0.0))

    def bad(self, settings: ConductorConfig) -> float:
        """Part of its tries that are not answered in time, from 0 to 1."""
        return 1.0 if self.slow(settings) or self.hangs(settings) else self.failing


@dataclass(frozen=True, slots=True)
class Spending:
    """How money stands, for whether to explore.

    Attributes:
        left: money left over what was planned to be left, of the operator's budget that is shortest, 0 to 1.
        explore: part of the calls whose model is drawn by lot.
        percent: of accounts that follow what was learned.
        away: deployments that decisions keep away.
        paused: a decision stops exploration now.
        free: no operator's word stands against a change.
        deployment: in whose place it is in the log.
    """

    left: float
    explore: float
    percent: int = 0
    away: int = 0
    paused: bool = False
    free: bool = True
    deployment: str = EXPLORATION


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that a role asks for.

    Attributes:
        role: who asks.
        action: what to do.
        deployment: to whom; `EXPLORATION` for that.
        amount: the share, or for how many seconds; 0 where neither says anything.
        reason: in words.
    """

    role: str
    action: Action
    deployment: str
    amount: float
    reason: str


@dataclass(frozen=True, slots=True)
class Mix:
    """What a model's calls come to when they are shared out by weight.

    Attributes:
        bad: part that is not answered in time.
        price: sum of parts times prices, base units.
        parts: sum of the parts.
        ready: how many deployments share them.
    """

    bad: float
    price: int
    parts: int
    ready: int


def mixed(group: Sequence[Facts], settings: ConductorConfig) -> Mix:
    """The mean over those that are ready."""
    parts = sum(one.part for one in group)
    bad = sum(one.part * one.bad(settings) for one in group) / parts if parts else 1.0
    ready = sum(1 for one in group if one.part)
    return Mix(bad, sum(one.part * one.price_base for one in group), parts, ready)


def changed(group: Sequence[Facts], proposal: Proposal) -> tuple[Facts, ...]:
    """The group as it would be after a change."""
    return tuple(_changed(one, proposal) if one.deployment == proposal.deployment else one for one in group)


def _changed(one: Facts, proposal: Proposal) -> Facts:
    if proposal.action is Action.SHARE:
        return replace(one, share=proposal.amount)
    return replace(one, ready=proposal.action not in AWAY)
