"""Configuration of what happens between a request and its deployments. Every value has a default."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mini_llm.config_base import Count, Name, Seconds, Strict

Balance = Literal["weighted", "latency", "conversation", "ordered"]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class TimeoutsConfig(Strict):
    """How long the stages of a call may take. What is left out follows from the next wider setting."""

    connect_s: Seconds | None = None
    """Until there is a connection."""
    first_byte_s: Seconds | None = None
    """From then until the answer's headers."""
    idle_s: Seconds | None = None
    """Longest silence within the answer."""
    total_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None
    """The whole call, streaming included."""


class RetryConfig(Strict):
    """What is done when all deployments of a group have failed."""

    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Times that a group is asked again before the next group is."""
    base_s: Seconds = 0.25
    """Longest first pause, which is random from 0 up; each further one may be twice as long."""
    max_s: Seconds = 8.0
    """Longest such pause."""
    patience_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 10.0
    """The most that one call spends in pauses; a longer Retry-After sends it to the next group instead."""
    deadline_s: Seconds = 120.0
    """No attempt begins later than this after the call's first."""


class BreakerConfig(Strict):
    """When a deployment that fails is left alone, and for how long."""

    failures: Count = 5
    """Failures within the window that open the breaker, if they are also `ratio` of the calls."""
    ratio: Ratio = 0.5
    """Share of the window's calls that must have failed."""
    in_a_row: Count = 10
    """Failures in a row, without a success between them, that open the breaker."""
    window_s: Seconds = 30.0
    """Length of the window."""
    open_s: Seconds = 5.0
    """How long it stays open the first time, at most `max_open_s`; each further time in a row doubles it."""
    max_open_s: Seconds = 120.0
    """Longest time that it stays open."""
    probes: Annotated[int, Field(ge=1, le=1000)] = 1
    """Calls at a time that may test whether it works again."""
    closes_after: Annotated[int, Field(ge=1, le=1000)] = 2
    """Successes that close it."""
    limited_s: Seconds = 1.0
    """Pause after a 429 without a Retry-After."""
    max_wait_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 86_400.0
    """Longest pause that a provider can ask for (Retry-After)."""
    refused_key_s: Seconds = 60.0
    """How long a deployment is left alone that refuses the operator's key (401, 402, 403) or sends calls
    elsewhere (3xx); at most `max_open_s`."""


class HedgeConfig(Strict):
    """A second deployment is asked when the first is slow; the first answer is taken, both are paid for."""

    delay_s: Seconds | None = None
    """After a fixed time."""
    percentile: Annotated[int, Field(ge=50, le=99)] | None = None
    """After the time in which this percentage of the first deployment's last calls had answered."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.delay_s is None) == (self.percentile is None):
            raise ValueError("give either delay_s or percentile")
        return self


class RouteConfig(Strict):
    """Which deployments serve a model, in which order."""

    groups: Annotated[tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...], Field(min_length=1)]
    """Ids of deployments. Calls are balanced within a group; a group is asked when the one before it
    fails."""
    balance: Balance | None = None
    """How a group's calls are shared out; the one at the top if left out."""
    retry: RetryConfig | None = None
    """Overrides the one at the top; what it leaves out is taken from there."""
    hedge: HedgeConfig | None = None
    """Off if left out."""


class StepConfig(Strict):
    """One step of a rollout."""

    percent: Percent
    """Part of the traffic that the new deployment gets."""
    for_s: Annotated[float, Field(gt=0, le=10**7, allow_inf_nan=False)] = 600.0
    """The shortest time before the next step."""
    min_calls: Count = 50
    """Calls that the new deployment must have served in this step before the next."""


class RolloutConfig(Strict):
    """A new deployment of a model gets a part of its traffic, and none once it fails too often."""

    to: Name
    """Id of the new deployment."""
    steps: Annotated[tuple[StepConfig, ...], Field(min_length=1)]
    """Taken one after the other; the last one stays in force."""
    sticky: bool = False
    """All calls of an account go the same way (and stay with the new deployment as its share grows)."""
    min_calls: Count = 20
    """Calls that the new deployment must have had before it is judged, unless its breaker has opened."""
    max_error_rate: Ratio = 0.5
    """The error rate that is allowed at most, however bad the others are."""
    chance: Annotated[float, Field(gt=0, lt=0.5, allow_inf_nan=False)] = 0.001
    """It is rolled back when this many failures are less likely than this at the others' error rate."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        percents = [step.percent for step in self.steps]
        if percents != sorted(percents):
            raise ValueError("percent must not decrease from one step to the next")
        return self
