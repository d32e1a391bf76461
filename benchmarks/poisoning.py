"""What accounts that lie can make of what is believed of a model: ``poisoning.py``.

Honest accounts judge a model as it is predicted, day after day; then some others say "bad" (or "good") of its
answers for a day. Counts, weights and beliefs are the router's own; no call is made. Prints JSON.
"""

from __future__ import annotations

import json
import math
from itertools import product
from typing import Any, Final

from mini_llm.auto.logistic import sigmoid
from router.config_learning import Learning
from router.mirror.beliefs import Beliefs
from router.mirror.standing import DAY_S, Weighing
from router.mirror.tally import STEPS_PER_UNIT, Cell, Count, Kind, step_of, weight_of

QUALITY: Final = 0.82
HONEST, VERDICTS, DAYS = 60, 10, 14
"""Accounts that have paid 1 USD each, verdicts of each on each of two models in a day, and for how long."""
USUAL: Final = 1.0
LOT: Final = 0.01
"""Chances of a model that was chosen, and of one that was drawn by lot."""
LYING: Final = ((1, 10, USUAL), (1, 1000, USUAL), (1, 10, LOT), (6, 10, USUAL), (30, 10, USUAL),
                (60, 10, USUAL), (300, 10, USUAL))  # fmt: skip
"""Accounts that lie, verdicts of each, and the chance of the model in the calls that they judge."""
PAID_BASE: Final = (1_000, 10_000_000, 100_000_000)
"""By each of them: a thousandth of a cent, ten cents, a dollar."""
HONEST_PAID_BASE: Final = 100_000_000


def said(weighing: Weighing, accounts: int, verdicts: int, paid_base: int, chance: float = USUAL) -> float:
    """Weight of a day's verdicts on a model."""
    shares = sum(weighing.share(before) for before in range(verdicts))
    return accounts * shares * weighing.standing(paid_base) * weight_of(Kind.FEEDBACK, chance)


def believed(weighing: Weighing, honest: int, liars: float, value: float) -> float:
    """Predicted quality of the model of which a day's lies of a weight say that it is of a value."""
    fade = 0.5 ** (DAY_S / weighing.half_life_s)
    truth = said(weighing, honest, VERDICTS, HONEST_PAID_BASE) * sum(fade**day for day in range(DAYS))
    step = step_of(QUALITY)
    counts = {}
    for name, lies in (("judged", liars), ("another", 0.0)):
        good = truth * sigmoid(step / STEPS_PER_UNIT) + lies * value
        counts[Cell(name, "open", Kind.FEEDBACK, step)] = Count(truth + lies, good, 0)
    odds = math.log(QUALITY / (1 - QUALITY))
    return sigmoid(odds + Beliefs(counts).of("judged", "open").offset)


def main() -> None:
    """Measures and prints."""
    now = Learning().weighing(100)
    alike = Weighing(now.half_life_s, 10**9, 0)
    rows = []
    for honest, (liars, verdicts, chance) in product((0, HONEST), LYING):
        row: dict[str, Any] = {"honest": honest, "liars": liars, "verdicts": verdicts, "chance": chance}
        for paid_base in PAID_BASE:
            lies = said(now, liars, verdicts, paid_base, chance)
            row[f"bad_{paid_base}"] = round(believed(now, honest, lies, 0.0), 3)
            row[f"good_{paid_base}"] = round(believed(now, honest, lies, 1.0), 3)
        lies = said(alike, liars, verdicts, 0, chance)
        row["bad_if_all_count_alike"] = round(believed(alike, honest, lies, 0.0), 3)
        rows.append(row)
    print(json.dumps({"predicted": QUALITY, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
