"""A deployment: one model at one provider with its price and limits."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from mini_llm.price import Price
from mini_llm.request import NEEDS, Need
from mini_llm.transport import Timeouts

HOUSE_PARTNER = 0
"""Partner 0 is the operator's own house: it earns no partner share."""
MAX_PARTNER_ID = 2**16 - 1
CHAT_NEEDS = NEEDS - {Need.EMBEDDINGS, Need.HOSTED}
"""What a deployment is taken to do when nobody said what it can: what the price of its tokens pays for."""


def as_header(name: str) -> str:
    """A configured name as a header may carry it."""
    return name if name.isascii() and name.isprintable() else quote(name)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider; several may serve the same model name.

    Attributes:
        id: unique name of the deployment, such as ``azure-east/gpt-x``.
        model: the name that clients ask for.
        provider: configured name of the provider that serves it.
        upstream_model: the provider's name for it.
        partner_id: who earns the partner share, ``HOUSE_PARTNER`` for nobody.
        price: base units per million tokens.
        context_tokens: prompt and completion together never exceed this.
        max_output_tokens: completion limit when the request names none, and the most that it may name;
            None if unknown, which only a free deployment may have: the price of a call must have a bound.
        capabilities: needs that it can serve, of ``mini_llm.request.NEEDS``.
        promotional: promotional credit may pay for it.
        resale: its calls may be sold to others; else it serves callers with a provider key of their own only.
        terms_url: the provider's terms.
        vibes_per_usd: the rate behind its price, None if it was found and is free.
        weight: its part of its group's calls, in proportion to the others'; 0 is asked after all of them.
        timeouts: of its calls, None for its provider's.
        own_key: the call is on the user's own provider key, which the operator gets no bill for.
    """

    id: str
    model: str
    provider: str
    upstream_model: str
    partner_id: int
    price: Price
    context_tokens: int
    max_output_tokens: int | None
    capabilities: frozenset[str] = CHAT_NEEDS
    promotional: bool = False
    resale: bool = True
    terms_url: str | None = None
    vibes_per_usd: int | None = None
    weight: int = 1
    timeouts: Timeouts | None = None
    own_key: bool = False

    def output_cap(self, asked: int | None) -> int | None:
        """Most completion tokens of one choice when a request asks for ``asked`` (None: for no limit)."""
        if self.max_output_tokens is None:
            return asked
        return self.max_output_tokens if asked is None else min(asked, self.max_output_tokens)
