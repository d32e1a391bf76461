"""Token usage and what it costs, in integers only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from mini_llm.wallet.limits import BASE_PER_VIBES

TOKENS_PER_PRICE = 10**6
"""Prices are quoted per this many tokens."""
MAX_TOKENS = 2**40
"""No call has more tokens; a provider that reports more is not believed."""
MAX_PRICE_BASE_PER_MTOK = 10**14
"""No model costs more than this; keeps every charge far below 2^54 base units."""

_USD = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call.

    Attributes:
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        estimated: counted by us because the provider reported nothing.
    """

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False

    @classmethod
    def from_openai(cls, reported: object) -> Usage | None:
        """Reads OpenAI's ``usage`` object; None if it is absent or not two plausible counts."""
        if not isinstance(reported, dict):
            return None
        prompt, completion = reported.get("prompt_tokens"), reported.get("completion_tokens", 0)
        for count in (prompt, completion):
            if type(count) is not int or not 0 <= count <= MAX_TOKENS:
                return None
        return cls(prompt, completion)  # type: ignore[arg-type]  # both proved int above


@dataclass(frozen=True, slots=True)
class Price:
    """What a deployment charges, in base units (10^-6 VIBES) per million tokens."""

    prompt_base_per_mtok: int
    completion_base_per_mtok: int

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
        return self.prompt_base_per_mtok == 0 and self.completion_base_per_mtok == 0

    def cost_base(self, usage: Usage) -> int:
        """The charge for a usage: rounded up, once, over the whole call."""
        exact = (
            usage.prompt_tokens * self.prompt_base_per_mtok
            + usage.completion_tokens * self.completion_base_per_mtok
        )
        return -(-exact // TOKENS_PER_PRICE)


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
