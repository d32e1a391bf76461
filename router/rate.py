"""VIBES per USD: fixed, or told by a file that somebody keeps up to date, within bounds and for a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from mini_llm.config_base import Strict
from mini_llm.config_file import read_text
from mini_llm.errors import ConfigError
from router.errors import StaleRate

VibesPerUsd = Annotated[int, Field(ge=1, le=10**6)]
CLOCK_SKEW_S: Final = 60
"""How much later than now a rate may say that it is from."""


class RateFeed(Strict):
    """Where the rate comes from, and which rates are believed.

    Attributes:
        file: JSON, `{"vibes_per_usd": 104, "at_s": 1790000000}`: the rate and when it was seen, unix seconds.
        least, most: a rate outside of these is refused, and the one before stays in force.
        max_age_s: from this age on nothing is quoted.
    """

    file: Path
    least: VibesPerUsd
    most: VibesPerUsd
    max_age_s: Annotated[int, Field(ge=10, le=30 * 86_400)] = 3_600

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is more than most")
        return self


class _Told(Strict):
    vibes_per_usd: VibesPerUsd
    at_s: Annotated[int, Field(ge=0, lt=2**53)]


class Rated(Strict):
    """The part of the configuration that is about the rate: with a feed `vibes_per_usd` is what it told."""

    vibes_per_usd: VibesPerUsd = 100
    rate_feed: RateFeed | None = None
    _until_s: float = PrivateAttr(default=math.inf)

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.rate_feed is not None and "vibes_per_usd" in self.model_fields_set:
            raise ValueError("give either vibes_per_usd or rate_feed")
        return self

    def with_rate(self, now_s: float) -> Self:
        """The configuration with the rate that its feed tells, if it has one.

        Raises:
            ConfigError: the feed cannot be read, or tells what is not to be believed.
        """
        feed = self.rate_feed
        if feed is None:
            return self
        where = f"rate_feed: {feed.file}"
        try:
            told = _Told.model_validate_json(read_text(feed.file))
        except ValidationError:
            raise ConfigError(where, 'is not like {"vibes_per_usd": 100, "at_s": 1790000000}') from None
        if not feed.least <= told.vibes_per_usd <= feed.most:
            raise ConfigError(where, f"{told.vibes_per_usd} is not within {feed.least} and {feed.most}")
        if told.at_s > now_s + CLOCK_SKEW_S:
            raise ConfigError(where, f"at_s is {told.at_s - int(now_s)} seconds from now")
        rated = self.model_copy(update={"vibes_per_usd": told.vibes_per_usd})
        rated._until_s = told.at_s + feed.max_age_s
        return rated

    def require_rate(self, now_s: float) -> None:
        """Raises StaleRate if the rate is too old for anything to be quoted at it."""
        if now_s >= self._until_s:
            raise StaleRate
