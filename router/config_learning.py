"""Configuration of what only the router's `auto` has: mirror learning, and the operator's budget."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from mini_llm.config_auto import AutoConfig
from mini_llm.config_base import Strict, Usd
from mini_llm.price import parse_usd
from router.config_money import usd_base
from router.mirror.standing import Weighing


def _some(usd: str) -> str:
    if parse_usd(usd) <= 0:
        raise ValueError("must be above 0")
    return usd


SomeUsd = Annotated[str, AfterValidator(_some)]


class OperatorBudget(Strict):
    """The most that all calls to `auto` together may spend, as decimal strings; no budget if left out."""

    day_usd: SomeUsd | None = None
    """In a UTC day."""
    month_usd: SomeUsd | None = None
    """In a UTC month."""


class Learning(Strict):
    """What is learned from outcomes of calls whose model is left to the router."""

    enabled: bool = False
    """Count outcomes: feedback, JSON where it was asked for, prompts that are sent again, failures."""
    follow: bool = False
    """Let what was learned have a say: for a share of accounts that grows while it helps."""
    explore: Annotated[float, Field(ge=0, le=0.03, allow_inf_nan=False)] = 0.02
    """Share of the calls whose model is drawn by lot among those that are good enough, with `follow`."""
    half_life_h: Annotated[int, Field(ge=1, le=10_000)] = 48
    """Hours after which an outcome counts half as much."""
    most_a_day: Annotated[int, Field(ge=1, le=10_000)] = 10
    """The most that one account's outcomes for one model in a day count, in outcomes of different
    accounts."""
    proven_usd: Usd = "0.1"
    """An account that has paid this much for calls counts half, one that has paid nothing not at all;
    "0": all count alike, for free models."""

    def weighing(self, vibes_per_usd: int) -> Weighing:
        """What outcomes count."""
        proven_base = usd_base(self.proven_usd, vibes_per_usd)
        return Weighing(self.half_life_h * 3600, self.most_a_day, proven_base)


class RouterAuto(AutoConfig):
    """How a model is chosen, what is learned from how that went, and what it may cost in all."""

    learning: Learning = Learning()
    budget: OperatorBudget = OperatorBudget()
