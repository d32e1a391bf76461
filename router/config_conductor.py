"""The part of the configuration file that is about the conductor: how far it may go."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mini_llm.config import Name, Strict
from mini_llm.config_base import Count, Seconds
from mini_llm.config_routing import Ratio
from router.config_money import Bps

Duration = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class ConductorConfig(Strict):
    """A loop that watches all deployments and steers calls between them."""

    mode: Literal["off", "advise", "act"] = "off"
    """advise: decisions are logged and change nothing; act: they take effect."""
    every_s: Seconds = 5.0
    """Seconds between two rounds."""
    hands_off: tuple[Name, ...] = ()
    """Ids of deployments that are left as they are configured."""
    goal: Ratio = 0.99
    """Share of a model's attempts that should be answered, and not much later than usual."""
    window_s: Seconds = 600.0
    """How far back it looks."""
    failures: Count = 3
    """Fewer failures in the window do not count."""
    failing: Ratio = 0.15
    """Share of the attempts that must fail before a deployment is left alone."""
    slow: Annotated[float, Field(ge=1.5, le=100, allow_inf_nan=False)] = 3.0
    """Answers are slow that take this many times as long as usual..."""
    slow_s: Seconds = 2.0
    """... and at least this many seconds."""
    hanging_s: Seconds = 10.0
    """It hangs when several calls wait and nothing came for this many seconds, and four times as long as
    usual."""
    open_s: Seconds = 60.0
    """How long it opens a breaker, at most the breaker's own `max_open_s`."""
    rest_s: Duration = 300.0
    """First rest of a deployment that does badly; each further one within an hour is twice as long."""
    most_rest_s: Duration = 3600.0
    """Longest rest."""
    least_share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.1
    """Weights are never multiplied by less than this..."""
    most_share: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] = 8.0
    """... or by more than this."""
    share_s: Duration = 6 * 3600.0
    """How long a weight stays moved without a new decision."""
    cheaper_bps: Bps = 1000
    """Calls move to a deployment that is cheaper by at least this; half of it keeps them there."""
    dearer_bps: Bps = 2500
    """The cost role is against what makes a model's tokens dearer by more than this."""
    dwell_s: Duration = 60.0
    """Shortest time between two changes of a weight, and before a refused proposal is logged again."""
    per_hour: Annotated[int, Field(ge=0, le=100_000)] = 120
    """Most changes within an hour, over all deployments."""
    ahead: Ratio = 0.9
    """Exploration pauses when less than this share of the money that was planned to be left of the
    operator's budget is left..."""
    pause_s: Duration = 3600.0
    """... for this long, or until half of what is missing is made up."""
    respect_s: Duration = 3600.0
    """How long a deployment is left alone after an operator has undone a decision about it."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.rest_s > self.most_rest_s:
            raise ValueError("rest_s is longer than most_rest_s")
        return self
