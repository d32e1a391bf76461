"""What is known of models from published benchmarks, by name; of others, from what they cost.

Figures are in percent: MMLU for knowledge, GSM8K for mathematics, HumanEval for code, as published, each by
its source's own method (examples in the prompt, before or after tuning). Where none was found, mostly of
newer models, they are estimates, and the row says so. They say roughly how good a model is;
what it does with one prompt is the predictor's part. They are shrunk to a common mean, because a benchmark is
not the task at hand; `auto.priors` of a configuration goes first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

KINDS: Final = ("choice", "mathematics", "code", "chat")
"""Kinds of tasks: a choice among answers, reckoning, programming, and everything else."""


class Published(NamedTuple):
    """Accuracies in percent, None where none is known, and a price in USD per million tokens.

    Attributes:
        pattern: found in the model's name, in lower case with ``-`` between its parts.
        knowledge: MMLU.
        mathematics: GSM8K.
        code: HumanEval.
        usd_per_mtok: for three tokens read and one written, at about list price; for lists without prices.
        estimated: which of the figures are estimates: k (knowledge), m (mathematics), c (code).
    """

    pattern: str
    knowledge: float
    mathematics: float | None
    code: float | None
    usd_per_mtok: float
    estimated: str = ""

    @property
    def source(self) -> str:
        """Where the accuracies are from, in words."""
        if not self.estimated:
            return "published figures"
        return "estimates" if set(self.estimated) == {"k", "m", "c"} else "published figures and estimates"


PUBLISHED: Final = tuple(
    Published(*row)
    for row in (
        # OpenAI. Tables of its simple-evals, where nothing else is said; it tells no GSM8K after GPT-4.
        (r"gpt-5.*nano", 80.0, 93.0, 86.0, 0.14, "kmc"),
        (r"gpt-5.*mini", 86.0, 95.0, 90.0, 0.69, "kmc"),
        (r"gpt-5", 91.0, 97.0, 95.0, 3.4, "kmc"),
        (r"gpt-4-?1.*nano", 80.1, 90.0, 87.0, 0.18, "m"),
        (r"gpt-4-?1.*mini", 87.5, 94.0, 93.8, 0.7, "m"),
        (r"gpt-4-?1(?!\d)", 90.2, 96.0, 94.5, 3.5, "m"),
        (r"gpt-4o.*mini", 82.0, 93.2, 87.2, 0.26),  # m: as Qwen2.5's announcement tells it
        (r"gpt-4o|chatgpt-4o", 88.7, 95.0, 90.2, 4.4, "m"),
        (r"(?:^|-)o4.*mini", 90.0, 97.0, 97.3, 1.9, "m"),
        (r"(?:^|-)o[13].*mini", 85.9, 96.0, 96.3, 1.9, "m"),  # o3-mini
        (r"(?:^|-)o3(?!\d)", 92.9, 97.0, 87.4, 3.5, "m"),
        (r"(?:^|-)o1(?!\d)", 91.8, 97.0, 92.4, 26.3, "m"),  # c: o1-preview
        (r"gpt-4-1106", 84.7, 93.0, 83.7, 15.0, "m"),
        (r"gpt-4-0125", 85.4, 93.0, 86.6, 15.0, "m"),
        (r"gpt-4.*(?:turbo|preview)", 86.7, 93.0, 88.2, 15.0, "m"),  # 2024-04-09
        (r"gpt-?4", 86.4, 92.0, 67.0, 24.7),  # GPT-4 report; price as in RouteLLM's paper
        (r"gpt-?3-?5.*0125", 69.8, None, 68.0, 0.75),  # as GPT-4o mini's announcement tells it
        (r"gpt-?3-?5.*1106", 70.0, 57.1, 76.8, 1.25, "km"),  # c: EvalPlus's leaderboard
        (r"gpt-?3-?5|gpt-35|chatgpt", 70.0, 57.1, 48.1, 0.75),  # GPT-4 report
        # Anthropic. Model cards and announcements; of Claude 4 and later, about their multilingual MMLU.
        (r"claude.*opus-?[4-9]|claude-?[4-9].*opus", 90.0, 97.0, 94.0, 10.0, "kmc"),
        (r"claude.*sonnet-?[4-9]|claude-?[4-9].*sonnet", 89.0, 97.0, 94.0, 6.0, "kmc"),
        (r"claude.*haiku-?[4-9]|claude-?[4-9].*haiku", 85.0, 95.0, 92.0, 2.0, "kmc"),
        (r"claude-?3-?7.*sonnet", 89.0, 96.5, 94.0, 6.0, "kmc"),
        (r"claude-?3-?5.*sonnet", 88.7, 96.4, 92.0, 6.0),  # announcement, June 2024
        (r"claude-?3-?5.*haiku", 80.0, 92.0, 88.1, 1.6, "km"),  # announcement
        (r"claude-?3.*opus", 86.8, 95.0, 84.9, 30.0),  # Claude 3 card
        (r"claude-?3.*sonnet", 79.0, 92.3, 73.0, 6.0),  # Claude 3 card
        (r"claude-?3.*haiku", 75.2, 88.9, 75.9, 0.5),  # Claude 3 card
        (r"claude.*instant", 73.4, 86.7, 58.7, 1.2),  # k: 1.1, Claude 2 card; others: 1.2, announcement
        (r"claude-?(?:v-?)?2", 78.5, 88.0, 71.2, 12.0),  # Claude 2 card
        (r"claude-?(?:v-?)?1|claude", 77.0, 85.2, 56.0, 12.0),  # 1.3, Claude 2 card
        # Google. Of Gemini 2 and later it tells Global MMLU (Lite), which stands for knowledge here.
        (r"gemini.*2-?5.*pro|gemini-?3.*pro", 89.2, 97.0, 94.0, 3.4, "kmc"),  # 2.5 report
        (r"gemini.*2-?5.*lite|gemini.*2.*lite", 79.0, 90.0, 90.2, 0.18, "km"),  # 2.0 Flash-Lite
        (r"gemini.*2-?5.*flash|gemini-?3.*flash", 88.4, 95.0, 92.0, 0.85, "kmc"),  # 2.5 report
        (r"gemini.*2.*flash", 83.4, 93.0, 90.5, 0.18, "kmc"),  # 2.0 card
        (r"gemini.*1-?5.*pro", 85.9, 90.8, 84.1, 2.2),  # 1.5 report, May 2024
        (r"gemini.*1-?5.*flash", 78.9, 86.2, 74.3, 0.13),  # 1.5 report, May 2024
        (r"gemini.*ultra", 83.7, 94.4, 74.4, 20.0),  # 1.0 report; m: majority of 32; ~price
        (r"gemini", 71.8, 86.5, 67.7, 0.75),  # 1.0 Pro report; m: majority of 32
        (r"gemma-?3.*27b", 78.6, 95.9, 87.8, 0.2),  # card; k: before tuning
        (r"gemma-?3.*12b", 74.5, 94.4, 85.4, 0.1),  # card; k: before tuning
        (r"gemma-?2.*27b", 75.2, 74.0, 51.8, 0.65),  # card, before tuning
        (r"gemma-?2.*9b", 71.3, 68.6, 40.2, 0.2),  # card, before tuning
        (r"gemma.*7b", 64.3, 46.4, 32.3, 0.2),  # card, before tuning
        (r"gemma.*2b", 42.3, 17.7, 22.0, 0.1),  # card, before tuning
        (r"palm|bison", 78.3, 80.7, 37.6, 1.25, "c"),  # PaLM 2-L, as the Llama 2 paper tells it
        # Mistral AI.
        (r"mixtral.*8x22b", 77.8, 78.6, 45.1, 3.0, "c"),  # announcement
        (r"mixtral", 70.6, 58.4, 40.2, 0.24),  # paper of 8x7B; price as in RouteLLM's paper
        (r"mistral.*large", 84.0, 93.0, 92.0, 3.0),  # announcement of Large 2
        (r"mistral.*medium-?3", 84.0, 93.0, 92.0, 0.8, "kmc"),
        (r"mistral.*medium", 75.3, 66.7, 38.4, 4.0, "m"),  # documentation of the endpoints, 2024
        (r"mistral.*small", 80.7, 80.7, 84.8, 0.15),  # cards of Small 3; k, m: before tuning
        (r"mistral.*nemo", 68.0, 70.0, 60.0, 0.15, "mc"),  # card
        (r"mistral|ministral|zephyr", 60.1, 40.0, 30.5, 0.25, "m"),  # paper of 7B (it: 52.2, majority of 8)
        # Meta. Papers and model cards; prices of open models are about what those who serve them took.
        (r"code-?llama.*70b", 55.0, 45.0, 67.8, 0.9, "km"),  # card, Instruct
        (r"code-?llama.*34b", 53.1, 32.7, 41.5, 0.78, "km"),  # card, Instruct
        (r"code-?llama", 42.0, 20.0, 42.7, 0.2, "km"),  # card, 13B Instruct
        (r"llama-?4.*maverick", 85.5, 95.0, 86.0, 0.4, "mc"),  # card, before tuning
        (r"llama-?4", 79.6, 92.0, 80.0, 0.3, "mc"),  # card of Scout, before tuning
        (r"llama-?3.*405b", 87.3, 96.8, 89.0, 3.5),  # 3.1 card
        (r"llama-?3-?[1-3].*70b", 83.6, 95.1, 80.5, 0.7),  # 3.1 card
        (r"llama-?3.*70b", 82.0, 93.0, 81.7, 0.7),  # 3 card
        (r"llama-?3-?[1-3].*8b", 69.4, 84.5, 72.6, 0.15),  # 3.1 card
        (r"llama-?3.*8b", 68.4, 79.6, 62.2, 0.15),  # 3 card
        (r"llama-?3.*3b", 63.4, 77.7, 55.0, 0.08, "c"),  # 3.2 card
        (r"llama-?3.*1b", 49.3, 44.4, 35.0, 0.05, "c"),  # 3.2 card
        (r"llama-?2?.*(?:70b|65b)", 68.9, 56.8, 29.9, 0.9),  # Llama 2 paper, before tuning
        (r"llama-?2?.*(?:30b|34b|33b)", 62.6, 42.2, 22.6, 0.8),  # Llama 2 paper, before tuning
        (r"llama-?2?.*13b", 54.8, 28.7, 18.3, 0.23),  # Llama 2 paper, before tuning
        (r"llama-?2?.*7b", 45.3, 14.6, 12.8, 0.2),  # Llama 2 paper, before tuning
        # Others: 01.AI, Alibaba, DeepSeek, Microsoft, Cohere, Databricks, WizardLM, LMSYS.
        (r"(?:^|-)yi-?.*34b", 73.5, 71.7, 38.0, 0.8, "c"),  # card, Chat
        (r"(?:^|-)yi-?.*6b", 61.0, 38.4, 30.0, 0.2, "c"),  # card, Chat
        (r"qwen-?3.*235b", 87.8, 94.4, 90.0, 0.4, "c"),  # Qwen3 report, before tuning
        (r"qwen-?3", 82.0, 92.0, 85.0, 0.3, "kmc"),
        (r"qwen-?2?-?5?.*72b", 86.1, 95.8, 86.6, 0.8),  # 2.5 announcement; k: before tuning
        (r"qwen-?2?-?5?.*32b", 83.3, 95.9, 88.4, 0.6),  # 2.5 announcement; k: before tuning
        (r"qwen-?2?-?5?.*14b", 79.7, 94.8, 83.5, 0.3),  # 2.5 announcement; k: before tuning
        (r"qwen-?2?-?5?.*7b", 74.2, 91.6, 84.8, 0.2),  # 2.5 announcement; k: before tuning
        (r"qwen.*max", 87.0, 94.5, 88.0, 2.8, "kmc"),
        (r"deepseek.*(?:r1|reason)", 90.8, 97.0, 95.0, 1.0, "mc"),  # R1 card
        (r"deepseek", 88.5, 93.0, 86.0, 0.5, "mc"),  # V3 card
        (r"phi-?4", 84.8, 93.0, 82.6, 0.2, "m"),  # card
        (r"phi-?3.*(?:medium|14b)", 78.0, 91.0, 62.2, 0.3),  # Phi-3 report
        (r"phi-?3", 68.8, 82.5, 58.5, 0.2),  # Phi-3 report, mini
        (r"command-?a(?![a-z])", 85.5, 90.0, 80.0, 4.4, "mc"),  # Command A report
        (r"command-?r-?plus", 75.7, 70.7, 70.0, 4.4, "c"),  # Open LLM Leaderboard
        (r"command", 68.2, 56.6, 50.0, 0.75, "kmc"),
        (r"dbrx", 73.7, 66.9, 70.1, 1.0),  # announcement; ~price
        (r"wizard.*13b", 52.7, 55.3, 36.6, 0.3),  # WizardLM's table; k: LMSYS's leaderboard
        (r"wizard.*70b", 63.7, 77.6, 50.6, 0.9),  # WizardLM's table; k: LMSYS's leaderboard
        (r"vicuna.*33b", 59.2, 30.0, 22.0, 0.8, "mc"),  # LMSYS's leaderboard
        (r"vicuna.*13b", 55.8, 27.0, 18.0, 0.3, "mc"),  # LMSYS's leaderboard
    )
)
"""After each row: where its figures were published, and of which version; ``~price`` marks a price that is an
estimate."""

WORDS_OF_SIZE: Final = (
    (r"nano|tiny|micro", 0.1),
    (r"mini|small|lite|light|flash|fast|haiku|weak|cheap|instant", 0.4),
    (r"medium|base|standard|sonnet", 3.0),
    (r"large|strong|big|pro|plus|max|ultra|opus|best|expert", 12.0),
)
"""Words in the names of models without published figures, and what such models cost, USD per mtok."""

PRICE: Final = "price"
PRIOR: Final = "prior"

_PARAMETERS: Final = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d)?)b(?![a-z0-9])")
_SEPARATORS: Final = re.compile(r"[\s_./:@]+")
_PATTERNS: Final = tuple((re.compile(row.pattern), row) for row in PUBLISHED)
_TRUST: Final = 0.75
"""Of a published figure, in log odds; the rest is the common mean."""
_MEAN: Final = 1.0
_HIGHEST: Final = 0.97
_FREE: Final = 1e-6
"""Stands for a price of nothing, which has no logarithm."""
_DEAREST: Final = 1.5
"""Ability of the dearest candidate where none is known by name: right in 82 of 100 cases."""
_PER_DECADE: Final = 0.6
"""Ability that tenfold the price goes with, log odds: about the slope of the table above."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model without asking it.

    Attributes:
        model: its name, as its provider calls it; date stamps and a company before it do no harm.
        prompt_price: of a token read, in a unit that all candidates share: only ratios matter. None if
            unknown.
        completion_price: of a token written, likewise.
        prior: its accuracy in general knowledge (MMLU), 0..1, where it is known; goes before what is
            published.
    """

    model: str
    prompt_price: float | None = None
    completion_price: float | None = None
    prior: float | None = None

    @property
    def placed_by(self) -> str:
        """What its ability is from, in words: `PRIOR`, `Published.source`, or `PRICE` if nobody knows more.

        A promise of quality rests on known abilities: a place by price is a guess and promises nothing.
        """
        if self.prior is not None:
            return PRIOR
        row = published(self.model)
        return PRICE if row is None else row.source


@lru_cache(maxsize=1024)
def published(model: str) -> Published | None:
    """The published figures of a model, by its name; None for a model that is not known."""
    name = _SEPARATORS.sub("-", model.lower())
    return next((row for pattern, row in _PATTERNS if pattern.search(name)), None)


def guessed_usd_per_mtok(model: str) -> float | None:
    """What a model costs about, from its name: as published, by its size, or by words such as "mini"."""
    if (row := published(model)) is not None:
        return row.usd_per_mtok
    name = _SEPARATORS.sub("-", model.lower())
    if (size := _PARAMETERS.search(name)) is not None:
        return 0.05 + 0.0125 * float(size[1])
    return next((usd for words, usd in WORDS_OF_SIZE if re.search(words, name)), None)


@lru_cache(maxsize=256)
def abilities(models: tuple[ModelFacts, ...]) -> tuple[Mapping[str, float], ...]:
    """Each candidate's ability by kind of task: log odds of a right answer to a prompt of middling
    difficulty.

    Models that nobody published figures of are placed by price, among the candidates that are known or, if
    none is, below the dearest.
    """
    known = [_published(facts) for facts in models]
    prices = _prices(models)
    anchors = [
        (found["choice"], price)
        for found, price in zip(known, prices, strict=True)
        if found is not None and price is not None
    ]
    if anchors:
        level = sum(ability - _PER_DECADE * math.log10(price) for ability, price in anchors) / len(anchors)
    else:
        level = _DEAREST - _PER_DECADE * math.log10(max((price for price in prices if price), default=1.0))
    return tuple(
        found or dict.fromkeys(KINDS, _MEAN if price is None else level + _PER_DECADE * math.log10(price))
        for found, price in zip(known, prices, strict=True)
    )


def _published(facts: ModelFacts) -> dict[str, float] | None:
    """Abilities by what was published or configured, None if nothing was."""
    if facts.placed_by == PRICE:
        return None
    row = published(facts.model)
    knowledge = facts.prior if facts.prior is not None or row is None else row.knowledge / 100
    general = _shrunk(knowledge)
    mathematics, code = (row.mathematics, row.code) if row else (None, None)
    return {
        "choice": general,
        "mathematics": general if mathematics is None else (general + _shrunk(mathematics / 100)) / 2,
        "code": general if code is None else (general + _shrunk(code / 100)) / 2,
        "chat": general,
    }


def _prices(models: tuple[ModelFacts, ...]) -> list[float | None]:
    """One price for each: the mean of what is known of it; if no price at all is known, by names."""
    found: list[float | None] = []
    for facts in models:
        known = [price for price in (facts.prompt_price, facts.completion_price) if price is not None]
        found.append(max(_FREE, sum(known) / len(known)) if known else None)
    if any(price is not None for price in found):
        return found
    return [guessed_usd_per_mtok(facts.model) for facts in models]


def _shrunk(accuracy: float | None) -> float:
    if accuracy is None:
        return _MEAN
    kept = min(_HIGHEST, max(1 - _HIGHEST, accuracy))
    return _TRUST * math.log(kept / (1 - kept)) + (1 - _TRUST) * _MEAN
