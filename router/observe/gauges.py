"""What is read at the moment when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gauges:
    """States of a router.

    Attributes:
        ready: it takes calls.
        queue_depth: operations that wait for the ledger's writer.
        config_refused: the configuration file, as it is now, is not in force.
        rollouts: part of a model's calls that goes to a new deployment, percent, by model and deployment.
        dropped: calls that could not be looked at, by what wanted to: scores or outcomes.
        pauses: what is left of pauses that providers asked for, seconds by deployment.
        breakers: state of each deployment's breaker: 0 closed, 1 half open, 2 open.
    """

    ready: bool
    queue_depth: int
    config_refused: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    breakers: Mapping[str, int] = field(default_factory=dict)
    rollouts: Mapping[tuple[str, str], float] = field(default_factory=dict)
    pauses: Mapping[str, float] = field(default_factory=dict)
