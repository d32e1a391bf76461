"""What a simulated day brings: calls, faults and prices, drawn by a seed from the ranges below."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mini_llm.config import RoutingConfig
from mini_llm.request import Request
from mini_llm.surfaces import CHAT

DAY_S: Final = 86_400.0
HOURS: Final = (
    57_627, 53_825, 35_168, 30_752, 22_147, 22_391, 12_530, 13_345, 14_387, 22_498, 53_151, 77_012,
    106_403, 90_240, 110_220, 85_794, 88_859, 81_350, 73_288, 97_867, 82_064, 70_803, 66_468, 61_548,
)  # fmt: skip
"""Calls of each hour of the day, in proportion, as they were recorded: the 1,429,737 requests to GPT-3.5 and
GPT-4 in the first 61 days of BurstGPT (Wang et al. 2024, arXiv:2401.17644), those of a conversation in the
hour in which it began."""
MODELS: Final = {"small": (0.35, 100.0, 0.60), "mid": (0.5, 90.0, 0.76), "big": (0.8, 70.0, 0.88)}
"""Median seconds to the first content, tokens per second, and accuracy as `auto` is told."""
PRICES: Final = {
    "small": {"north": 0.15, "south": 0.18, "west": 0.20},
    "mid": {"north": 0.80, "south": 0.80, "east": 1.00},
    "big": {"north": 2.50, "east": 2.50, "south": 3.00},
}
"""USD per million prompt tokens; those of answers cost four times as much."""
PROVIDERS: Final = ("north", "south", "west", "east")
KINDS: Final = {
    "outage": (1, 2, 600, 3600),
    "hangs": (1, 2, 600, 1800),
    "latency storm": (2, 3, 1200, 5400),
    "fails slowly": (1, 2, 5400, 14_400),
    "429 storm": (1, 2, 900, 3600),
    "price change": (2, 3, 0, 0),
}
"""Faults of a day: fewest, most, and how long each lasts at least and at most, seconds."""
PROMPTS: Final = (
    "What is the capital of Portugal?",
    "Translate into German: the train leaves at noon.",
    "Write a haiku about rain on a tin roof.",
    "Summarise in one sentence why the sky is blue.",
    "A shop sells pens at 3 for $2. How much are 21 pens, and why?\nThink step by step.",
    "Prove that the sum of two odd integers is even, then give a counterexample for products.",
    "def f(xs):\n    return [x for x in xs if x % 2]\n\nWhat does f([1, 2, 3]) return, and what is its cost?",
    "Which is the strongest evidence?\nA. a trial\nB. an anecdote\nC. a poll\nD. a guess",
    "Explain how a covering index changes the plan of a SQL join with three tables and a filter.",
    "Derive the posterior of a normal mean with a normal prior and known variance.",
)
ASKED: Final = (None, None, None, None, "cheap", "standard", "standard", "high", "best")
"""Quality asked of `auto`, each as likely as the others; None names a model instead."""


@dataclass(frozen=True)
class Fault:
    """Something that happens to a provider; `strength` is a factor or a share, by its kind."""

    kind: str
    provider: str
    from_s: float
    to_s: float
    strength: float


def drawn_faults(rng: random.Random) -> list[Fault]:
    """The faults of one day. Two providers may well be in trouble at once."""
    strengths = {"latency storm": (5, 15), "fails slowly": (0.25, 0.6), "429 storm": (0.6, 0.95)}
    faults = []
    for kind, (fewest, most, shortest_s, longest_s) in KINDS.items():
        for _ in range(rng.randint(fewest, most)):
            begins_s = rng.uniform(0.05, 0.9) * DAY_S
            strength = rng.uniform(*strengths.get(kind, (1, 1)))
            if kind == "price change":
                strength = rng.choice((0.6, 0.75, 1.3, 1.6))
            ends_s = begins_s + rng.uniform(shortest_s, longest_s)
            faults.append(Fault(kind, rng.choice(PROVIDERS), begins_s, ends_s, strength))
    return faults


def settings(balance: str, factors: dict[str, float], hedge: bool = False) -> RoutingConfig:
    """The operator's file, at prices that may have changed; `hedge`: slow calls ask a second deployment."""
    hedging = {"hedge": {"percentile": 99}} if hedge else {}
    deployments = [
        {
            "id": f"{provider}/{model}",
            "model": model,
            "provider": provider,
            "prompt_usd_per_mtok": f"{usd * factors.get(provider, 1.0):.6f}",
            "completion_usd_per_mtok": f"{4 * usd * factors.get(provider, 1.0):.6f}",
        }
        for model, prices in PRICES.items()
        for provider, usd in prices.items()
    ]
    return RoutingConfig.model_validate(
        {
            "providers": {name: {"base_url": f"http://{name}/v1"} for name in PROVIDERS},
            "deployments": deployments,
            "balance": balance,
            "routes": {
                model: {"groups": [[f"{provider}/{model}" for provider in prices]]} | hedging
                for model, prices in PRICES.items()
            },
            "auto": {"priors": {model: facts[2] for model, facts in MODELS.items()}} | hedging,
        }
    )


@dataclass(frozen=True)
class Call:
    """One call: when it comes, what it asks, and how long its answer is."""

    at_s: float
    request: Request
    tokens: int


def drawn_calls(calls: int, hours: Sequence[float], rng: random.Random) -> list[Call]:
    """The day's calls."""
    made = []
    for hour in rng.choices(range(24), list(hours), k=calls):
        asked, prompt, stream = rng.choice(ASKED), rng.choice(PROMPTS), rng.random() < 0.6
        model = rng.choice(tuple(MODELS)) if asked is None else "auto"
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        body |= {"stream": True} if stream else {}
        body |= {} if asked is None else {"vibes_quality": asked}
        at_s = (hour + rng.random()) * 3600.0
        tokens = max(5, min(1000, round(rng.lognormvariate(math.log(180), 0.6))))
        made.append(Call(at_s, CHAT.parse(json.dumps(body).encode()), tokens))
    return sorted(made, key=lambda call: call.at_s)
