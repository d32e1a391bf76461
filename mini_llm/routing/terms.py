"""What the choice of a model goes by: the configuration's weights, or a budget; and what the gate says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from mini_llm.auto.choice import COST_ALONE, Choice, Option, Weights, choose
from mini_llm.auto.gate import Gate, GateDecision, GateInputs, gated_choice
from mini_llm.auto.purse import Purse, why
from mini_llm.config_auto import AutoConfig


@dataclass(frozen=True, slots=True)
class Terms:
    """What one choice goes by.

    Attributes:
        weights: what money and time are worth.
        room_base: the most that the call may cost, base units; None for any amount, as no budget decides.
    """

    weights: Weights
    room_base: int | None

    @classmethod
    def of(cls, config: AutoConfig, options: Sequence[Option], purse: Purse | None) -> Self:
        """As the purse says, if there is one that decides, else as the configuration does."""
        if purse is not None:
            return cls(purse.weights(options, config.latency_weight), purse.room_base(options))
        cost_weight = COST_ALONE if config.cost_weight is None else config.cost_weight
        return cls(Weights(cost_weight, config.latency_weight), None)

    def choose(self, options: Sequence[Option], share: float, gate: GateDecision | None = None) -> Choice:
        """The choice at a share of the best option's quality, or what the gate's decision makes of it."""
        if gate is not None:
            choice = gated_choice(options, share, self.weights, gate, self.room_base)
        else:
            choice = choose(options, share, self.weights, self.room_base)
        if self.room_base is None or len(options) == 1:
            return choice
        return replace(choice, reason=f"{choice.reason}; {why(choice, options, self.room_base)}")

    def gated(
        self,
        options: Sequence[Option],
        share: float,
        usual: Choice,
        inputs: GateInputs,
        answered: Sequence[float],
    ) -> tuple[Choice, GateDecision | None]:
        """What the gate makes of the usual choice, and what it said; None if that is no better: a stronger
        model that fails as often is no way out, and where money is short only a cheaper one helps.

        Args:
            options, share: as for `choose`.
            usual: without the gate.
            inputs: of the gate.
            answered: share of calls that the provider of each option answers.
        """
        said = Gate.shipped().decide(inputs)
        other = self.choose(options, share, said)
        helps = answered[other.index] > inputs.health
        saves = options[other.index].cost_base < options[usual.index].cost_base
        return (other, said) if helps or saves else (usual, None)
