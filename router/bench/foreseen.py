"""What a router expects calls to cost, before it knows how long their answers will be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.bench.sweep import Floats


def foreseen_costs(prompts: Sequence[str], cost: Floats) -> Floats:
    """(n, m): the cost of each call as far as prices and the prompt's length tell.

    A router knows what a token of the prompt costs, and how long a model's answers usually are. In a file
    both show in a straight line of the costs over the lengths: its slope is the price, the rest the usual
    answer. Neither is negative.

    Args:
        prompts: n of them.
        cost: (n, m), what each model's answer did cost.
    """
    length = np.array([len(prompt) for prompt in prompts], dtype=np.float64)
    usual, level = max(float(length.mean()), 1.0), cost.mean(axis=0)
    moved = length - length.mean()
    slope = moved @ (cost - level) / max(float(moved @ moved), 1.0)
    foreseen: Floats = level + moved[:, None] * np.clip(slope, 0, level / usual)
    return foreseen
