"""The budgets that a call counts against, as its choice sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mini_llm.auto.choice import Choice, Option, Weights
from mini_llm.auto.pacer import Pacer
from mini_llm.wallet.limits import BASE_PER_VIBES


@dataclass(frozen=True, slots=True)
class Purse:
    """Budgets at one moment. Their prices add up, and the one that has least room decides how much there is.

    Args:
        pacers: of the budgets, one at least.
        now_s: unix seconds.
    """

    pacers: tuple[Pacer, ...]
    now_s: float

    @property
    def left(self) -> float:
        """See `Pacer.left`: of the budget that is shortest."""
        return min(pacer.left(self.now_s) for pacer in self.pacers)

    @property
    def per_vibes(self) -> float:
        """Quality that one VIBES more has to bring."""
        return sum(pacer.state.price for pacer in self.pacers) * BASE_PER_VIBES

    def room_base(self, options: Sequence[Option]) -> int:
        """The most that the call may cost, base units: see `Pacer.room_base`."""
        cheapest_base = min(option.cost_base for option in options)
        return min(pacer.room_base(cheapest_base, self.now_s) for pacer in self.pacers)

    def weights(self, options: Sequence[Option], latency: float) -> Weights:
        """What money is worth now, beside what a second is."""
        dearest_base = max(1, *(option.cost_base for option in options), 1)
        return Weights(sum(pacer.state.price for pacer in self.pacers) * dearest_base, latency)


def why(choice: Choice, options: Sequence[Option], room_base: int) -> str:
    """The budget's part in a choice, in words."""
    chosen = options[choice.index]
    if chosen.cost_base > room_base:
        return "the budget has nothing left for it"
    better = [option for option in options if option.quality > chosen.quality]
    if not better:
        return "the budget pays for it"
    if all(option.cost_base > room_base for option in better):
        return "better ones would take what the budget keeps for later calls"
    return "better ones are not worth their cost at what is left of the budget"
