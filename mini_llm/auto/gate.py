"""The policy gate: how much money should count for this call, and whether to go straight to a stronger model.

Five figures of a call go into a small fuzzy system whose rules people can read. What comes out is the
expected advantage of a stronger model, in quality, after what it costs under these conditions: above 0 the
call escalates, and the weight of cost halves for every `HALVING` of it. The gate works above the quality
that was asked for and never below it: the floor stays with `mini_llm.auto.choice`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from mini_llm.auto.anfis import Anfis
from mini_llm.auto.choice import Choice, Option, Weights, choose
from mini_llm.errors import MiniLLMError

DATA: Final = "gate.json"
HALVING: Final = 0.04
"""Advantage for which the weight of cost halves; a disadvantage as great doubles it."""
MOST_HALVINGS: Final = 5.0
STRONGER: Final = 0.02
"""A model is a stronger one if so much more quality is predicted of it."""
SHORT, FAILING, WAITING = 0.4, 0.5, 0.5
"""Where the conditions begin under which the gate was shown to help."""
HEARD: Final = 0.05
"""A rule with a smaller share in the answer is not told."""


class GateInputs(NamedTuple):
    """What the gate looks at, 0 … 1 each.

    Args:
        difficulty: of the prompt, as `Predictor` says.
        doubt: how little is known of prompts like this, as `Predictor` says.
        budget_left: money left over time left, both as shares of the period: 1 on or under plan or without a
            budget, 0 where nothing is left (`Pacer.left`).
        health: share of calls that the provider of the usual choice answers.
        urgency: how much waiting hurts: 0 a job overnight, 1 somebody who waits.
    """

    difficulty: float
    doubt: float
    budget_left: float = 1.0
    health: float = 1.0
    urgency: float = 0.0


class GateInputOutOfRange(MiniLLMError):
    """A figure for the gate is not in 0 … 1."""

    def __init__(self, name: str, value: float) -> None:
        super().__init__(f"{name} is {value}, not in 0 … 1")
        self.name, self.value = name, value


class FiredRule(NamedTuple):
    """A rule that had a part in a decision.

    Args:
        words: its condition.
        strength: its share in the answer, 0 … 1.
        says: the advantage of a stronger model that it sees, in quality.
    """

    words: str
    strength: float
    says: float


class GateDecision(NamedTuple):
    """What the gate decided.

    Args:
        cost_weight: what to multiply the weight of cost with, 1/32 … 32.
        escalate: whether to take a stronger model at once.
        advantage: expected of the stronger model, in quality, after its cost; what the other two follow from.
        fired: the rules behind it, strongest first.
    """

    cost_weight: float
    escalate: bool
    advantage: float
    fired: tuple[FiredRule, ...]


NEUTRAL: Final = GateDecision(1.0, False, 0.0, ())
"""Changes nothing."""


def shown_to_help(inputs: GateInputs) -> bool:
    """Whether conditions are of those in which calls went better with the gate than without it.

    They are: the budget is short, or the provider fails while people wait. With money, health and time enough
    the prompt alone decides, and there the predictor does as well without the gate. Source:
    benchmarks/gate.py.
    """
    return inputs.budget_left <= SHORT or (inputs.health <= FAILING and inputs.urgency >= WAITING)


class Gate:
    """Decides from what `scripts/train_gate.py` wrote."""

    def __init__(self, learned: Mapping[str, Any]) -> None:
        """Takes the contents of the data file.

        Raises:
            InvalidRules: they hold no fuzzy system over the five inputs.
        """
        self._system = Anfis.from_dict(learned)
        self._system.expect(GateInputs._fields)
        self._words = tuple(
            ", ".join(f"{name.replace('_', ' ')} {word}" for name, word in self._system.words(rule))
            for rule in self._system.rules
        )

    @classmethod
    def shipped(cls) -> Gate:
        """The one whose data lie in this package; read once."""
        return _shipped()

    def decide(self, inputs: GateInputs) -> GateDecision:
        """Decides for one call.

        Raises:
            GateInputOutOfRange: a figure is not in 0 … 1.
        """
        for name, value in zip(inputs._fields, inputs, strict=True):
            if not 0 <= value <= 1:  # refuses NaN too
                raise GateInputOutOfRange(name, value)
        answer = self._system.infer(inputs)
        halvings = min(MOST_HALVINGS, max(-MOST_HALVINGS, answer.value / HALVING))
        heard = sorted(
            (
                FiredRule(words, strength, rule.says(inputs))
                for words, strength, rule in zip(
                    self._words, answer.strengths, self._system.rules, strict=True
                )
                if strength >= HEARD
            ),
            key=lambda fired: -fired.strength,
        )
        return GateDecision(2**-halvings, answer.value > 0, answer.value, tuple(heard))


def gated_choice(
    options: Sequence[Option],
    asked: str | float,
    weights: Weights,
    decision: GateDecision,
    room_base: int | None = None,
) -> Choice:
    """The choice under a decision: with its weight of cost, and a step up if it escalates.

    The step goes to the best buy among those that are stronger than the usual choice; there may be none.
    Whatever the decision, the floor that was asked for holds, and the money ends, as in `choose`.

    Raises:
        InvalidQuality, ValueError: as `choose`.
    """
    weights = replace(weights, cost=weights.cost * decision.cost_weight)
    usual = choose(options, asked, weights, room_base)
    chosen = options[usual.index].quality
    stronger = [option.quality for option in options if option.quality >= chosen + STRONGER]
    if not decision.escalate or not stronger:
        return usual
    best = max(option.quality for option in options)
    choice = choose(options, min(stronger) / best, weights, room_base)
    return replace(choice, reason=f"{choice.reason}; a stronger model is worth its price for this call")


@cache
def _shipped() -> Gate:
    return Gate(json.loads(files("mini_llm.auto").joinpath(DATA).read_text("utf-8")))
