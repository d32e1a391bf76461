"""A deployment: one model at one provider with its price and limits."""

from __future__ import annotations

from dataclasses import dataclass

from mini_llm.price import Price

HOUSE_PARTNER = 0
"""Partner 0 is the operator's own house: it earns no partner share."""
MAX_PARTNER_ID = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a model name stands for.

    Attributes:
        model: the name that clients ask for.
        provider: configured name of the provider that serves it.
        upstream_model: the provider's name for it.
        partner_id: who earns the partner share, ``HOUSE_PARTNER`` for nobody.
        price: base units per million tokens.
        context_tokens: prompt and completion together never exceed this.
        max_output_tokens: completion limit when the request names none, and the most that it may name;
            None if unknown, which only a free deployment may have: the price of a call must have a bound.
    """

    model: str
    provider: str
    upstream_model: str
    partner_id: int
    price: Price
    context_tokens: int
    max_output_tokens: int | None

    def output_cap(self, asked: int | None) -> int | None:
        """Most completion tokens of one choice when a request asks for ``asked`` (None: for no limit)."""
        if self.max_output_tokens is None:
            return asked
        return self.max_output_tokens if asked is None else min(asked, self.max_output_tokens)
