"""Tries the policy gate on tasks that its training did not see: ``gate.py MMLU.parquet GSM8K.parquet``.

Trains the gate anew without the subjects (or the task) that it is then tried on, and chooses for each prompt
with `gated_choice`, without the gate and with it always, and as it is shipped (where `shown_to_help`). What
an answer was worth is data; conditions are drawn as in `gate_world.py`. A figure is the net quality of a
call, in hundredths, above always asking the weak model: what the outcome gained, less what money and time
count for there. Intervals are of the difference with − without: 95 %, from 2,000 resamples of subjects (of
prompts, where there are none). `formula` is no policy that could be had: it knows all assumptions of the
simulation, and believes the predictor. Prints JSON and writes benchmarks/results/gate.json and the tables in
docs/routing/anfis.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gate_world import Conditions, advantage, calm, draw
from gateway import commit
from graded import Graded, read_graded
from hybrid import Array, as_fields
from numpy.typing import NDArray
from train_gate import WORDS, learn

from mini_llm.auto.choice import Option, Weights
from mini_llm.auto.gate import NEUTRAL, Gate, GateInputs, gated_choice, shown_to_help

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "routing" / "anfis.md"
BEGIN, END = "<!-- figures: benchmarks/gate.py -->\n", "<!-- end of figures -->\n"
FOLDS, RESAMPLES, SEED = 4, 2000, 11
COSTS_BASE = (24, 2470)
"""Of a token: Mixtral 0.24 and GPT-4 24.70 USD per million, as the paper of the data has them."""


def mixed(task: Graded, rng: np.random.Generator) -> Conditions:
    """As in training, but for doubt, which is the predictor's own."""
    at = draw(len(task.weak), rng)
    return Conditions(task.doubt, at.budget, at.health, at.urgency)


def at_ease(task: Graded, rng: np.random.Generator) -> Conditions:
    """A full budget, no failures, no hurry."""
    return calm(task.doubt)


def short(task: Graded, rng: np.random.Generator) -> Conditions:
    """Less than half of the money that should be left."""
    at = calm(task.doubt)
    return Conditions(at.doubt, rng.random(len(task.weak)) * 0.4, at.health, at.urgency)


def outage(task: Graded, rng: np.random.Generator) -> Conditions:
    """The weak model's provider fails most calls, and people wait."""
    rows = len(task.weak)
    at = calm(task.doubt)
    return Conditions(at.doubt, at.budget, rng.random(rows) * 0.5, 0.5 + rng.random(rows) * 0.5)


SCENES: dict[str, Callable[[Graded, np.random.Generator], Conditions]] = {
    "calm": at_ease,
    "budget short": short,
    "outage, people wait": outage,
    "all mixed": mixed,
}
ASKED = ("standard", "no floor")


@dataclass(frozen=True)
class Trial:
    """A gate and a task that it was not trained on; price of the strong model with a full budget."""

    gate: Gate
    task: Graded
    calm_price: float


def trial(seen: Sequence[Graded], unseen: Graded) -> Trial:
    trained = learn(seen)
    names = GateInputs._fields
    gate = Gate(as_fields(trained.system, names, [WORDS[name] for name in names]))
    return Trial(gate, unseen, trained.calm_price)


def trials(tasks: Sequence[Graded]) -> Iterator[tuple[str, list[Trial]]]:
    """Unseen subjects of the tasks that have any, then each task with the others alone in training."""
    for task in tasks:
        subjects = np.unique(task.group)
        if len(subjects) >= FOLDS:
            folds = np.array_split(np.random.default_rng(SEED).permutation(subjects), FOLDS)
            held = [np.isin(task.group, fold) for fold in folds]
            yield (
                f"unseen subjects of {task.task}",
                [trial([task.rows(~out)], task.rows(out)) for out in held],
            )
    for task in tasks:
        others = [one for one in tasks if one is not task]
        names = " and ".join(one.task for one in others)
        yield f"{task.task}, trained on {names}", [trial(others, task)]


def chosen(one: Trial, at: Conditions, asked: str) -> NDArray[np.bool_]:
    """(rows, 3): where the strong model is asked without the gate, with it, and with it as shipped."""
    task, rows = one.task, []
    floors = task.standard if asked == "standard" else np.zeros(len(task.weak))
    weights = Weights() if asked == "standard" else Weights(cost=one.calm_price)
    for row, inputs in enumerate(
        zip(task.difficulty.tolist(), *(part.tolist() for part in vars(at).values()), strict=True)
    ):
        options = [
            Option(float(task.weak_expected[row]), COSTS_BASE[0]),
            Option(float(task.strong_expected[row]), COSTS_BASE[1]),
        ]
        decision = one.gate.decide(GateInputs(*inputs))
        decisions = NEUTRAL, decision, decision if shown_to_help(GateInputs(*inputs)) else NEUTRAL
        rows.append(
            [
                gated_choice(options, float(floors[row]), weights, decision).index == 1
                for decision in decisions
            ]
        )
    return np.array(rows)


def judged(found: Sequence[Trial], scene: str, asked: str) -> dict[str, Any]:
    """Net quality of the policies in one scene, and the interval of the gate's difference."""
    rng = np.random.default_rng(SEED)
    parts: list[tuple[Array, ...]] = []
    groups: list[str] = []
    for one in found:
        at = SCENES[scene](one.task, rng)
        won = advantage(one.task.gain, at, one.calm_price)
        believed = advantage(one.task.strong_expected - one.task.weak_expected, at, one.calm_price)
        strong = chosen(one, at, asked)
        parts.append((won[:, None] * strong, won * (believed > 0), strong.astype(np.float64)))
        groups += [str(name) for name in one.task.group]
    net, formula, strong_calls = (np.concatenate(part) for part in zip(*parts, strict=True))
    without, with_it, shipped = net.T
    low, high = interval(with_it - without, np.array(groups))
    return {
        "without": _hundredths(without.mean()),
        "with": _hundredths(with_it.mean()),
        "difference": _hundredths((with_it - without).mean()),
        "interval": [_hundredths(low), _hundredths(high)],
        "as_shipped": _hundredths(shipped.mean()),
        "formula": _hundredths(formula.mean()),
        "strong_calls": [round(float(share), 3) for share in strong_calls.mean(axis=0)],
        "helps": bool(low > 0),
    }


def interval(differences: Array, groups: NDArray[np.str_]) -> tuple[float, float]:
    """95 % of the mean, from resamples of groups, or of rows if there is one group."""
    names, index = np.unique(groups, return_inverse=True)
    if len(names) == 1:
        index = np.arange(len(differences))
    sums, sizes = np.bincount(index, differences), np.bincount(index)
    drawn = np.random.default_rng(SEED).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _hundredths(value: float) -> float:
    return round(100 * float(value), 2)


def table(figures: dict[str, Any]) -> str:
    """The figures as the page has them."""
    lines = []
    for asked, tasks in figures["asked"].items():
        lines += [f"Quality asked for: `{asked}`." if asked == "standard" else "No floor (`0`):", ""]
        heads = "task", "conditions", "without", "with", "difference, 95 % interval", "as shipped", "formula"
        lines.append(f"| {' | '.join(heads)} | verdict |")
        lines += ["|---|---|---:|---:|---|---:|---:|---|"]
        for task, scenes in tasks.items():
            for scene, one in scenes.items():
                low, high = one["interval"]
                verdict = "helps" if low > 0 else "harms" if high < 0 else "no difference shown"
                lines.append(
                    f"| {task} | {scene} | {one['without']:.2f} | {one['with']:.2f} "
                    f"| {one['difference']:+.2f} ({low:+.2f} … {high:+.2f}) "
                    f"| {one['as_shipped']:.2f} | {one['formula']:.2f} | {verdict} |"
                )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.parquet")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "gate.json")
    options = parser.parse_args()
    found = dict(trials([read_graded(path) for path in options.files]))
    figures: dict[str, Any] = {"commit": commit(), "resamples": RESAMPLES, "asked": {}}
    for asked in ASKED:
        figures["asked"][asked] = {
            task: {scene: judged(parts, scene, asked) for scene in SCENES} for task, parts in found.items()
        }
    text = json.dumps(figures, indent=1)
    options.output.write_text(text + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(figures) + "\n" + END + rest.partition(END)[2])
    print(text)


if __name__ == "__main__":
    main()
