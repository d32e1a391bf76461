"""What an account's tokens would have cost at the dearest model on offer that could have served them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mini_llm.deployment import Deployment
from mini_llm.price import Usage as Tokens
from mini_llm.request import Need
from router.ledger.usage import Source, Usage


@dataclass(frozen=True, slots=True)
class Savings:
    """What was compared, base units.

    Attributes:
        paid_base: what the compared calls cost.
        dearest_base: what their tokens cost at the dearest model that could have served them, now.
        dearest: names of these models.
        calls: how many were compared.
        left_out: how many were not: the account's own provider key or others paid for them, or no model on
            offer now has room for them.
    """

    paid_base: int
    dearest_base: int
    dearest: tuple[str, ...]
    calls: int
    left_out: int

    @property
    def saved_base(self) -> int:
        """What the choice saved; 0 if it cost more."""
        return max(0, self.dearest_base - self.paid_base)

    @property
    def saved_bps(self) -> int:
        """The same as a part of the dearest, basis points."""
        return self.saved_base * 10_000 // self.dearest_base if self.dearest_base else 0


def compare(rows: Iterable[Usage], offered: Iterable[Deployment], rate_bps: int) -> Savings:
    """Compares usage with the dearest choice.

    A model could have served the calls of a row if it generates (or embeds, where nothing was written), and
    its context holds the largest of them. Its price is today's for tokens read and written, at `rate_bps` of
    the retail price; cheaper kinds of token, such as cached ones, are not reckoned with.
    """
    models = tuple(offered)
    paid_base = dearest_base = calls = left_out = 0
    names: set[str] = set()
    for row in rows:
        found = None if row.source != Source.ACCOUNT else _dearest(row, models, rate_bps)
        if found is None:
            left_out += row.calls
            continue
        calls += row.calls
        paid_base += row.charge_base
        dearest_base += found[0]
        names.add(found[1])
    return Savings(paid_base, dearest_base, tuple(sorted(names)), calls, left_out)


def _dearest(row: Usage, models: tuple[Deployment, ...], rate_bps: int) -> tuple[int, str] | None:
    """The highest price of a row's tokens, base units, and whose it is; None if nobody could serve them."""
    tokens = Tokens(row.prompt_tokens, row.completion_tokens)
    return max(
        (
            (one.price.scaled(rate_bps).cost_base(tokens), one.model)
            for one in models
            if one.context_tokens >= row.largest_tokens and _fits(row, one)
        ),
        default=None,
    )


def _fits(row: Usage, deployment: Deployment) -> bool:
    if row.completion_tokens == 0:
        return Need.EMBEDDINGS in deployment.capabilities
    return deployment.capabilities != {Need.EMBEDDINGS}
