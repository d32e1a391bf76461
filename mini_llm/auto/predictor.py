"""How well each model will answer a prompt, before anybody is asked.

A prompt has a difficulty, a model has an ability for each kind of prompt, and the predicted quality is
``sigmoid(ability - difficulty)`` (item response theory with one parameter per item; Rasch 1960). The
difficulty comes from ranks of a few measures of the text, weighted with fixed signs; only how much a rank is
worth was learned, by isotonic regression. That is little on purpose: richer fits look better on the subjects
that they have seen and fall below chance on others (docs/routing/predictor.md has the figures).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from mini_llm.auto.features import Features, Text, measure, read
from mini_llm.auto.logistic import sigmoid
from mini_llm.auto.priors import PRICE, ModelFacts, abilities
from mini_llm.auto.promise import STANDINGS, most_thrift, pick, separated

DATA: Final = "predictor.json"
"""What was learned, by scripts/train_predictor.py."""
TOPICS: Final = "topics.json"
"""What was written by hand."""
CHAT_CENTRE: Final = 0.6
CHAT_SPREAD: Final = 0.4
"""Where open prompts stand that ask for no reckoning, mean and deviation: as the instructions of
PandaLM's test set do (Wang et al. 2023)."""
_FLATTEST: Final = 1e-9

Curve = Sequence[tuple[float, float]]
"""Points (x, y) with x rising; between them a straight line, outside them the nearest point's y."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the candidates will make of a prompt.

    Attributes:
        difficulty: 0 (a weak model will do) .. 1 (only strong ones will), .5 for the middle of its kind.
        doubt: how little is known about prompts like this one, 0..1.
        quality: of each candidate, 0..1, in their order: the chance that its answer is right.
        form: of the prompt, "choice" if it offers options, else "open".
        abilities: of each candidate for tasks like this one, log odds.
        measured: how much of it is of a kind that was learned from, 0..1.
        guessed: of each candidate, whether only its price says what it is worth; none if empty.
    """

    difficulty: float
    doubt: float
    quality: tuple[float, ...]
    form: str = "open"
    abilities: tuple[float, ...] = ()
    measured: float = 1.0
    guessed: tuple[bool, ...] = ()


class Predictor:
    """Predicts from what `scripts/train_predictor.py` wrote."""

    def __init__(self, learned: Mapping[str, Any], topics: Mapping[str, Any]) -> None:
        """Takes the contents of the two data files."""
        self._ranks: dict[str, Curve] = learned["ranks"]
        self._weights: dict[str, float] = learned["weights"]
        self._topic_weight: float = learned["topic_weight"]
        self._forms: dict[str, dict[str, Any]] = learned["forms"]
        shared: dict[str, list[float]] = {}
        for topic in topics["topics"].values():
            for word in topic["words"].split():
                shared.setdefault(word, []).append(topic["lift"])
        self._usual: dict[tuple[str, float], tuple[float, ...]] = {}
        self._lift = {word: sum(lifts) / len(lifts) for word, lifts in shared.items()}
        self._topic_shrink: float = learned["topic_shrink"]

    @classmethod
    def shipped(cls) -> Predictor:
        """The one whose data lie in this package; read once."""
        return _shipped()

    def predict(self, prompt: str, models: Sequence[ModelFacts]) -> Prediction:
        """Predicts the quality of each model's answer to a prompt."""
        text = read(prompt)
        found = measure(text)
        standing = self.standing(text, found)
        mixture = kinds(found)
        steps = self._steps(found, standing)
        able = tuple(
            sum(share * ability[kind] for kind, share in mixture.items())
            for ability in abilities(tuple(models))
        )
        quality = tuple(sigmoid(one - steps) for one in able)
        return Prediction(
            difficulty=sigmoid(2 * standing),
            doubt=self._doubt(found, standing),
            quality=quality,
            form=_form(found),
            abilities=able,
            measured=1.0 if found.choice else found.mathematics,
            guessed=tuple(one.placed_by == PRICE for one in models),
        )

    def share_of_call(self, prediction: Prediction, share: float, costs: Sequence[float]) -> float:
        """What a call has to be predicted at for the mean over many calls to be a promised share.

        A promise such as "95 % of the strong model's quality" is one about the mean: a single call may be
        predicted below it where that saves much, and is to be above it where it saves little.

        Args:
            prediction: of the call.
            share: of the best candidate's quality, 0..1, that is promised.
            costs: of the call at each candidate, in any unit.

        Returns:
            The share for `choose`, 0..1, which the candidate reaches that the call is worth, and none that is
            cheaper.
        """
        if share == 0:
            return 0.0
        kept = separated(prediction.guessed or (False,) * len(costs), costs)
        quality, able, paid = (
            [of[at] for at in kept] for of in (prediction.quality, prediction.abilities, costs)
        )
        thrift = most_thrift(able, paid, self._fleet(prediction), share)
        chosen, best = pick(quality, paid, thrift, share), max(quality)
        reached = quality[chosen] / best
        # Those who are cheaper and too weak are left below it.
        cheaper = [
            one / best for one, cost in zip(prediction.quality, costs, strict=True) if cost < paid[chosen]
        ]
        return min(reached, max(share, (max(cheaper) + reached) / 2 if cheaper else 0.0))

    def _fleet(self, prediction: Prediction) -> tuple[float, ...]:
        """Difficulties of the many calls that one is among, log odds."""
        measured = round(prediction.measured, 1)
        key = prediction.form, measured
        if key not in self._usual:
            curve = self._forms[prediction.form]["difficulty"]
            self._usual[key] = tuple(
                interpolate(curve, measured * one + (1 - measured) * (CHAT_CENTRE + CHAT_SPREAD * one))
                for one in STANDINGS
            )
        return self._usual[key]

    def standing(self, text: Text, found: Features) -> float:
        """Where a prompt stands among those of its form: 0 in the middle, ±1 a standard deviation."""
        values = found._asdict()
        raw = sum(
            weight * interpolate(self._ranks[name], values[name]) for name, weight in self._weights.items()
        )
        if found.choice:
            raw += self._topic_weight * self.topics(text.words)
        form = self._forms[_form(found)]
        standing = (raw - form["centre"]) / form["spread"]
        # Open prompts that ask for no reckoning were not measured: they are believed half.
        measured: float = 1.0 if found.choice else (1 + found.mathematics) / 2
        return float(standing * measured)

    def topics(self, words: Sequence[str]) -> float:
        """The mean lift of a text's topics, from words that give them away; 0 if there are none."""
        lifts = [self._lift[word] for word in words if word in self._lift]
        return sum(lifts) / (len(lifts) + self._topic_shrink)

    def _steps(self, found: Features, standing: float) -> float:
        """The difficulty in the unit of abilities: log odds of failing, 0 in the middle."""
        return interpolate(self._forms[_form(found)]["difficulty"], standing)

    def _doubt(self, found: Features, standing: float) -> float:
        form = self._forms[_form(found)]
        unknown = max(found.foreign, found.code, 0.0 if found.choice else 1 - found.mathematics)
        beyond = min(1.0, max(0.0, abs(standing) - 2))
        doubt: float = form["doubt"] + (1 - form["doubt"]) * max(unknown * form["unmeasured"], beyond / 2)
        return min(1.0, doubt)


def kinds(found: Features) -> dict[str, float]:
    """How much of each kind of task a prompt is; the shares add up to 1."""
    if found.choice:
        return {"choice": 1.0}
    mathematics = (1 - found.code) * found.mathematics
    return {"mathematics": mathematics, "code": found.code, "chat": 1 - found.code - mathematics}


def interpolate(curve: Curve, at: float) -> float:
    """The curve's height at a place."""
    after = bisect_right(curve, at, key=_place)
    if after == 0:
        return curve[0][1]
    if after == len(curve):
        return curve[-1][1]
    (left, low), (right, high) = curve[after - 1], curve[after]
    return low + (high - low) * (at - left) / max(_FLATTEST, right - left)


def _place(point: tuple[float, float]) -> float:
    return point[0]


def _form(found: Features) -> str:
    return "choice" if found.choice else "open"


@cache
def _shipped() -> Predictor:
    folder = files("mini_llm.auto")
    learned, topics = (json.loads(folder.joinpath(name).read_text("utf-8")) for name in (DATA, TOPICS))
    return Predictor(learned, topics)
