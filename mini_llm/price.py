"""Token usage and what it costs, in integers only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import NamedTuple

from mini_llm.wallet.limits import BASE_PER_VIBES, BPS

TOKENS_PER_PRICE = 10**6
"""Prices are quoted per this many tokens."""
MAX_TOKENS = 2**40
"""No call has more tokens; a provider that reports more is not believed."""
MAX_PRICE_BASE_PER_MTOK = 10**14
"""No model costs more than this; keeps every charge far below 2^54 base units."""

_USD = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Usage(NamedTuple):
    """Tokens of one call. The two totals include the parts after them.

    Attributes:
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        estimated: counted by us because the provider reported nothing.
        cached_tokens: of those read, found in the provider's cache.
        cache_write_tokens: of those read, put into the provider's cache.
        cache_write_1h_tokens: of those put there, kept for an hour.
        audio_prompt_tokens: of those read, sound.
        reasoning_tokens: of those written, thought and perhaps not shown.
        audio_completion_tokens: of those written, sound.
    """

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    audio_completion_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @classmethod
    def from_openai(cls, reported: object) -> Usage | None:
        """Reads OpenAI's ``usage`` object; None if it is absent or not two plausible counts.

        Parts that are not plausible, or more than their total, count as 0.
        """
        if not isinstance(reported, dict):
            return None
        prompt = plausible(reported.get("prompt_tokens"))
        completion = plausible(reported.get("completion_tokens", 0))
        if prompt is None or completion is None:
            return None
        read, written = reported.get("prompt_tokens_details"), reported.get("completion_tokens_details")
        if not read and not written:
            return cls(prompt, completion)
        return cls.split(
            prompt,
            completion,
            cached_tokens=part(read, "cached_tokens"),
            # OpenAI's and OpenRouter's name for it, or Alibaba's.
            cache_write_tokens=part(read, "cache_write_tokens") or part(read, "cache_creation_input_tokens"),
            audio_prompt_tokens=part(read, "audio_tokens"),
            reasoning_tokens=part(written, "reasoning_tokens"),
            audio_completion_tokens=part(written, "audio_tokens"),
        )

    @classmethod
    def split(
        cls,
        prompt_tokens: int,
        completion_tokens: int,
        *,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        audio_prompt_tokens: int = 0,
        reasoning_tokens: int = 0,
        audio_completion_tokens: int = 0,
    ) -> Usage:
        """A provider's count; parts that exceed their total are not believed and count as 0."""
        if cached_tokens + cache_write_tokens + audio_prompt_tokens > prompt_tokens:
            cached_tokens = cache_write_tokens = audio_prompt_tokens = 0
        if cache_write_1h_tokens > cache_write_tokens:
            cache_write_1h_tokens = 0
        if reasoning_tokens + audio_completion_tokens > completion_tokens:
            reasoning_tokens = audio_completion_tokens = 0
        return cls(
            prompt_tokens,
            completion_tokens,
            cached_tokens=cached_tokens,
            cache_write_tokens=cache_write_tokens,
            cache_write_1h_tokens=cache_write_1h_tokens,
            audio_prompt_tokens=audio_prompt_tokens,
            reasoning_tokens=reasoning_tokens,
            audio_completion_tokens=audio_completion_tokens,
        )


def plausible(count: object) -> int | None:
    """A token count that a provider may report, None for anything else."""
    return count if type(count) is int and 0 <= count <= MAX_TOKENS else None


def part(details: object, name: str) -> int:
    """A count inside a ``…_details`` object, 0 if it is absent or implausible."""
    return (plausible(details.get(name)) or 0) if isinstance(details, dict) else 0


@dataclass(frozen=True)
class Price:
    """What a deployment charges, in base units (10^-6 VIBES) per million tokens.

    The parts of a usage that have no price of their own (None) cost what their total costs; the total of what
    a cache keeps for an hour is all that is put there.
    """

    prompt_base_per_mtok: int
    completion_base_per_mtok: int
    cached_base_per_mtok: int | None = None
    cache_write_base_per_mtok: int | None = None
    audio_prompt_base_per_mtok: int | None = None
    reasoning_base_per_mtok: int | None = None
    audio_completion_base_per_mtok: int | None = None
    cache_write_1h_base_per_mtok: int | None = None

    @classmethod
    def from_usd(cls, prompt_usd_per_mtok: str, completion_usd_per_mtok: str, vibes_per_usd: int) -> Price:
        """Converts USD prices exactly.

        Raises:
            ValueError: a price is not a decimal such as "0.15", is too high, or finer than a base unit.
        """
        return cls(
            base_per_mtok(prompt_usd_per_mtok, vibes_per_usd),
            base_per_mtok(completion_usd_per_mtok, vibes_per_usd),
        )

    @property
    def free(self) -> bool:
        """True if no call can cost anything."""
        return not any(astuple(self))

    @cached_property
    def highest_prompt_base_per_mtok(self) -> int:
        """The dearest kind of token read: what a quote reckons with."""
        return max(
            self.prompt_base_per_mtok,
            self.cached_base_per_mtok or 0,
            self.cache_write_base_per_mtok or 0,
            self.cache_write_1h_base_per_mtok or 0,
            self.audio_prompt_base_per_mtok or 0,
        )

    @cached_property
    def highest_completion_base_per_mtok(self) -> int:
        """The dearest kind of token written."""
        return max(
            self.completion_base_per_mtok,
            self.reasoning_base_per_mtok or 0,
            self.audio_completion_base_per_mtok or 0,
        )

    def scaled(self, bps: int) -> Price:
        """The price times ``bps`` / 10000, each part rounded up to a base unit."""
        return self if bps == BPS else _scaled(self, bps)

    def dearest(self, usage: Usage) -> tuple[int, int]:
        """Prices of the dearest kinds of token read and written that a usage has: what a receipt names.

        A receipt has one price for tokens read and one for tokens written, and its charge is never more than
        those make of it, whatever parts the tokens had.
        """
        if not self._beside:
            return self.prompt_base_per_mtok, self.completion_base_per_mtok
        hour, hour_base_per_mtok = usage.cache_write_1h_tokens, self.cache_write_1h_base_per_mtok
        if hour_base_per_mtok is None:
            hour_base_per_mtok = self.cache_write_base_per_mtok
        read = (
            (usage.cached_tokens, self.cached_base_per_mtok),
            (usage.cache_write_tokens - hour, self.cache_write_base_per_mtok),
            (hour, hour_base_per_mtok),
            (usage.audio_prompt_tokens, self.audio_prompt_base_per_mtok),
        )
        written = (
            (usage.reasoning_tokens, self.reasoning_base_per_mtok),
            (usage.audio_completion_tokens, self.audio_completion_base_per_mtok),
        )
        return (
            _dearest(usage.prompt_tokens, self.prompt_base_per_mtok, read),
            _dearest(usage.completion_tokens, self.completion_base_per_mtok, written),
        )

    def cost_base(self, usage: Usage) -> int:
        """The charge for a usage: rounded up, once, over the whole call."""
        exact = (
            usage.prompt_tokens * self.prompt_base_per_mtok
            + usage.completion_tokens * self.completion_base_per_mtok
        )
        for name, more_base_per_mtok in self._beside:
            exact += getattr(usage, name) * more_base_per_mtok
        return -(-exact // TOKENS_PER_PRICE)

    @cached_property
    def _beside(self) -> tuple[tuple[str, int], ...]:
        """Parts of a usage that have a price of their own, and how much more it is than their total's."""
        read, written = self.prompt_base_per_mtok, self.completion_base_per_mtok
        put = read if self.cache_write_base_per_mtok is None else self.cache_write_base_per_mtok
        parts = (
            ("cached_tokens", self.cached_base_per_mtok, read),
            ("cache_write_tokens", self.cache_write_base_per_mtok, read),
            ("cache_write_1h_tokens", self.cache_write_1h_base_per_mtok, put),
            ("audio_prompt_tokens", self.audio_prompt_base_per_mtok, read),
            ("reasoning_tokens", self.reasoning_base_per_mtok, written),
            ("audio_completion_tokens", self.audio_completion_base_per_mtok, written),
        )
        return tuple((name, own - total) for name, own, total in parts if own is not None)


@lru_cache(maxsize=4096)
def _scaled(price: Price, bps: int) -> Price:
    scaled = {}
    for part in fields(price):
        price_base_per_mtok = getattr(price, part.name)
        if price_base_per_mtok is not None:
            scaled[part.name] = -(-price_base_per_mtok * bps // BPS)
    return Price(**scaled)


def _dearest(tokens: int, plain_base_per_mtok: int, parts: Iterable[tuple[int, int | None]]) -> int:
    priced = [(count, price) for count, price in parts if count and price is not None]
    if not priced:
        return plain_base_per_mtok
    dearest = [price for _, price in priced]
    if tokens > sum(count for count, _ in priced):
        dearest.append(plain_base_per_mtok)
    return max(dearest)


def base_per_mtok(usd_per_mtok: str, vibes_per_usd: int) -> int:
    """A USD price per million tokens as base units per million tokens.

    Raises:
        ValueError: not a plain decimal, too high, or finer than a base unit (nothing is rounded here).
    """
    exact = parse_usd(usd_per_mtok) * vibes_per_usd * BASE_PER_VIBES
    price_base_per_mtok = int(exact)
    if price_base_per_mtok != exact:
        raise ValueError(f"{usd_per_mtok} USD is finer than a base unit at {vibes_per_usd} VIBES per USD")
    if price_base_per_mtok > MAX_PRICE_BASE_PER_MTOK:
        raise ValueError(f"{usd_per_mtok} USD per million tokens is more than any model costs")
    return price_base_per_mtok


def parse_usd(text: str) -> Decimal:
    """An amount of USD written as a plain decimal, exactly.

    Raises:
        ValueError: anything else, exponents and signs included.
    """
    if not _USD.fullmatch(text):
        raise ValueError(f'{text!r} is not a price in USD: write a plain decimal such as "0.15"')
    return Decimal(text)
