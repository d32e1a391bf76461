"""Configuration of the choice of a model: what ``model: "auto"`` means here."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from mini_llm.auto.choice import SHARES
from mini_llm.config_base import Name, Strict, Tokens
from mini_llm.config_routing import HedgeConfig

Level = Literal["cheap", "standard", "high", "best"]
LEVELS: Final[tuple[Level, ...]] = ("cheap", "standard", "high", "best")
"""Words for a quality, from the least to the most."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]


class FloorsConfig(Strict):
    """What a word for a quality asks for: a share of the best candidate's, in the mean of many calls."""

    cheap: Share = 0.0
    """For `auto:cheap`; with 0 the cheapest that can serve the request at all."""
    standard: Share = SHARES["standard"]
    high: Share = SHARES["high"]
    best: Share = SHARES["best"]
    """For `auto:best`."""

    @model_validator(mode="after")
    def _rise(self) -> Self:
        floors = [getattr(self, level) for level in LEVELS]
        if floors != sorted(floors):
            raise ValueError("floors must not decrease from cheap to standard, high and best")
        return self


class AutoConfig(Strict):
    """How a model is chosen for a request that names none, with `model: "auto"`."""

    models: tuple[Name, ...] = ("*",)
    """Which models take part: names, or the beginning of names with `*` at its end; none turns it off. The
    library also takes whole names that are not configured, such as `openai/gpt-4o-mini`."""
    quality: Level | Share = "standard"
    """The quality that is used when the caller asks for none."""
    floors: FloorsConfig = FloorsConfig()
    cost_weight: Weight | None = None
    """λ: quality that the dearest candidate's cost outweighs, among those that reach the floor. Left out,
    cost alone decides; with 3, one that is better by .03 goes first if it costs 1 % of the dearest more."""
    latency_weight: Weight = 0.0
    """μ: quality that one second of waiting outweighs, likewise; without λ it decides between equal costs."""
    gate: bool = True
    """Let the gate's rules choose another model where they were shown to help: a stronger one if the usual
    provider fails and somebody waits, a cheaper one if a budget is short."""
    urgency: Share = 0.0
    """How much it hurts to wait for a whole answer, from 0 (a job overnight) to 1 (as for a stream)."""
    output_tokens: Tokens = 400
    """Tokens that an answer is predicted to have, where the request does not allow fewer, as long as a
    deployment's own answers do not tell better."""
    fallbacks: Annotated[int, Field(ge=0, le=20)] = 3
    """How many models may be tried when the chosen one fails, in the order of their rank. The dearest of them
    is what a call reserves money for."""
    hedge: HedgeConfig | None = None
    """Also ask the next in rank when the chosen one is slow, if it reaches the floor; off if left out."""
    priors: dict[Name, Share] = Field(default_factory=dict)
    """Accuracy of models in general knowledge (as MMLU measures it), by model, for those of which nobody
    published figures, or that are better known here. Others are placed by benchmarks, else by price."""

    def share(self, asked: Level | float) -> float:
        """The share of the best candidate's quality that is promised."""
        share: float = getattr(self.floors, asked) if isinstance(asked, str) else asked
        return share
