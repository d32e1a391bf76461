"""Replays streams of tasks under a changing world: ``mirror.py [--runs N] FILE.parquet …``.

The files hold graded answers of two models (``prompt``, ``q_<weak>``, ``q_<strong>``), by default those in
the folder that ROUTING_DATA names. Prompts are drawn with repetition; a tenth of the calls get feedback,
which says what the answer was worth. Beside the shipped predictor alone stand `mirror` (as it would run:
explores 2 % of the calls, follows what it learned for a share of accounts once an off-policy estimate says
that it helps), `learned` (the same for everybody, at once), and `known` (the shipped predictor put right with
all answers of all models, before they were given), against which regret is counted: quality less a tenth of
the cost, in what the dearest model costs. Made-up parts: the newcomers' answers are a mixture of the two
models', and a model gets worse by half of its right answers turning wrong. Prints JSON and writes
benchmarks/results/mirror.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from gateway import commit
from numpy.typing import NDArray

from mini_llm.auto.choice import Option, choose
from mini_llm.auto.predictor import Prediction, Predictor
from mini_llm.auto.priors import ModelFacts
from router.config_learning import Learning
from router.mirror.beliefs import Beliefs
from router.mirror.evaluate import Estimate, Logged, gain, robust, weighted
from router.mirror.explore import chances, drawn, mixed
from router.mirror.policy import STAGES, Terms, follows, next_step
from router.mirror.standing import Shares
from router.mirror.tally import Cell, Count, Kind, Tally, step_of

Array = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
CALLS, ACCOUNTS, FEEDBACK, SHARE, EXPLORE = 10_000, 400, 0.1, 0.95, 0.02
CALL_S, HALF_LIFE_S, REFRESH = 60, 2 * 86_400, 100
"""Seconds between calls (a week in all), and calls between two looks at what was learned."""
TERMS, WINDOW = Terms(), 800
WEIGHING = Learning(proven_usd="0").weighing(100)
"""Accounts have paid enough to be believed."""
COST_REGRET = 0.1
WEAK, STRONG, NEW = 0, 1, 2
NAMES = ("mixtral-8x7b", "gpt-4", "newcomer")
PRICES = (24, 2470, 200)
"""Of a call, in a unit that they share: as 0.24, 24.70 and 2.00 USD per million tokens."""
SALT = b"mirror"


@dataclass(frozen=True)
class Scene:
    """What happens a third into the stream.

    Attributes:
        worse: the model that half of the right answers of turn wrong.
        new: share of the newcomer's answers that are the strong model's (the others the weak one's); None:
            nobody comes.
        weak_prior: what the configuration says of the weak model, None: nothing.
        broken: beliefs are turned round at that time, as a fault would, with a quarter of accounts following.
    """

    worse: int | None = None
    new: float | None = None
    weak_prior: float | None = None
    broken: bool = False


SCENES = {
    "as predicted": Scene(),
    "weak model gets worse": Scene(worse=WEAK),
    "strong model gets worse": Scene(worse=STRONG),
    "new model, good for its price": Scene(new=0.9),
    "new model, poor": Scene(new=0.0, worse=NEW),
    "weak model overrated": Scene(weak_prior=0.9),
    "learning breaks": Scene(broken=True),
}


@dataclass
class World:
    """A scene's stream, with what each model's answer to each call is worth.

    Args:
        seen: (calls,) what the predictor says of the candidates of each call.
        quality: (calls, models).
        known: what is to be known, before and after the change.
    """

    scene: Scene
    seen: list[Prediction]
    quality: Array
    feedback: NDArray[np.bool_]
    accounts: NDArray[np.int64]
    random: Array
    known: tuple[Beliefs, Beliefs]


@dataclass
class Run:
    """What a policy made of a stream: who served each call, and what happened on the way."""

    served: list[int]
    logged: list[Logged]
    picks: list[tuple[int, int]]
    steps: list[tuple[int, int]]

    def utility(self, world: World) -> Array:
        cost = np.asarray(PRICES)[self.served] / max(PRICES)
        return np.asarray(world.quality[np.arange(CALLS), self.served] - COST_REGRET * cost)


def world(scene: Scene, prompts: Sequence[str], graded: Array, rng: np.random.Generator) -> World:
    """Draws a stream."""
    rows = rng.integers(0, len(prompts), CALLS)
    change = CALLS // 3
    late = np.arange(CALLS) >= change
    quality = np.column_stack([graded[rows], np.zeros(CALLS)])
    if scene.new is not None:
        quality[:, NEW] = np.where(rng.random(CALLS) < scene.new, quality[:, STRONG], quality[:, WEAK])
    if scene.worse is not None:
        quality[late & (rng.random(CALLS) < 0.5), scene.worse] = 0
    facts = [ModelFacts(name, price, price) for name, price in zip(NAMES, PRICES, strict=True)]
    if scene.weak_prior is not None:
        facts[WEAK] = ModelFacts(NAMES[WEAK], PRICES[WEAK], PRICES[WEAK], scene.weak_prior)
    predicted: dict[tuple[int, int], Prediction] = {}
    seen = []
    for at, row in enumerate(rows):
        models = 3 if scene.new is not None and late[at] else 2
        if (key := (int(row), models)) not in predicted:
            predicted[key] = Predictor.shipped().predict(prompts[row], facts[:models])
        seen.append(predicted[key])
    known = (_known(seen[:change], quality[:change]), _known(seen[change:], quality[change:]))
    accounts = rng.integers(1, ACCOUNTS + 1, CALLS)
    return World(scene, seen, quality, rng.random(CALLS) < FEEDBACK, accounts, rng.random(CALLS), known)


def _known(seen: Sequence[Prediction], quality: Array) -> Beliefs:
    counts: dict[Cell, Count] = {}
    for prediction, values in zip(seen, quality, strict=True):
        for model, expected in enumerate(prediction.quality):
            cell = Cell(NAMES[model], prediction.form, Kind.FEEDBACK, step_of(expected))
            old = counts.get(cell, Count(0.0, 0.0, 0.0))
            counts[cell] = old.moved(1.0, float(values[model]), 0.0, HALF_LIFE_S)
    return Beliefs(counts)


def pick(prediction: Prediction) -> tuple[int, float]:
    """Who is chosen, and the floor."""
    options = [Option(quality, PRICES[at]) for at, quality in enumerate(prediction.quality)]
    costs = [one.cost_base for one in options]
    choice = choose(options, Predictor.shipped().share_of_call(prediction, SHARE, costs))
    return choice.index, choice.floor


def still(world: World, known: bool) -> Run:
    """The shipped predictor, put right beforehand or not; nothing is learned."""
    served = []
    for at, prediction in enumerate(world.seen):
        if known:
            prediction = world.known[at >= CALLS // 3].correct(prediction, NAMES[: len(prediction.quality)])
        served.append(pick(prediction)[0])
    return Run(served, [], [], [])


def learning(world: World, percent: int | None) -> Run:
    """What was learned is followed by a share of accounts; None: by as many as the policy says."""
    tally, beliefs, shares = Tally(HALF_LIFE_S), Beliefs({}), Shares()
    gated, run = percent is None, Run([], [], [], [])
    now = 25 if gated and world.scene.broken else percent or 0
    since = 0
    for at, prediction in enumerate(world.seen):
        now_s = at * CALL_S
        late = at >= CALLS // 3
        if at % REFRESH == 0:
            beliefs = Beliefs(tally.at(now_s))
            rows = run.logged[since:][-WINDOW:]
            step = next_step(now, rows, saved(run.picks[-WINDOW:]), TERMS) if gated else None
            if step is not None and not (world.scene.broken and (not late or step.percent)):
                now, since = step.percent, len(run.logged)
                run.steps.append((at, now))
        names = NAMES[: len(prediction.quality)]
        corrected = _turned(beliefs, prediction, names) if late and world.scene.broken else None
        corrected = corrected or beliefs.correct(prediction, names)
        (shipped, floor), (learned, _) = pick(prediction), pick(corrected)
        account = int(world.accounts[at])
        allowed = [one for one, quality in enumerate(prediction.quality) if quality >= floor]
        usual = chances(len(names), shipped, learned, allowed, EXPLORE)
        changed = chances(len(names), learned, learned, allowed, EXPLORE)
        served = drawn(changed if follows(SALT, account, now) else usual, float(world.random[at]))
        odds = mixed(usual, changed, now)
        run.served.append(served)
        run.picks.append((shipped, learned))
        if world.feedback[at]:
            value = float(world.quality[at, served])
            cell = Cell(NAMES[served], prediction.form, Kind.FEEDBACK, step_of(prediction.quality[served]))
            share = shares.take(WEIGHING, now_s, account, NAMES[served])
            tally.add(cell, value, odds[served], now_s, share)
            run.logged.append(
                Logged(account, value, NAMES[served], NAMES[shipped], NAMES[learned],
                       corrected.quality[shipped], corrected.quality[learned], odds[shipped], odds[learned])
            )  # fmt: skip
    return run


def _turned(beliefs: Beliefs, prediction: Prediction, names: Sequence[str]) -> Prediction:
    """Learning gone wrong: the weakest is taken for the best."""
    quality = tuple(reversed(beliefs.correct(prediction, names).quality))
    return Prediction(prediction.difficulty, prediction.doubt, quality, prediction.form,
                      tuple(reversed(prediction.abilities)))  # fmt: skip


def saved(picks: Sequence[tuple[int, int]]) -> float:
    """Share of the shipped policy's cost that the learned one saves."""
    shipped = sum(PRICES[one] for one, _ in picks)
    return 1 - sum(PRICES[other] for _, other in picks) / shipped if shipped else 0.0


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean over the runs, with the interval that holds it in 95 of 100 cases."""
    found = np.asarray(values, dtype=float)
    reach = 1.96 * found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else float("nan")
    return {name: round(float(one), 4) for name, one in
            (("mean", found.mean()), ("low", found.mean() - reach),
             ("high", found.mean() + reach))}  # fmt: skip


def covered(run: Run, world: World) -> dict[str, bool]:
    """Whether each estimate from the log of a run holds the truth: what all of its calls would have
    brought.
    """
    every = np.arange(CALLS)
    shipped, learned = np.asarray(run.picks).T
    ours, theirs = world.quality[every, learned].mean(), world.quality[every, shipped].mean()

    def holds(estimate: Estimate, truth: float) -> bool:
        return bool(estimate.low <= truth <= estimate.high)

    return {
        "inverse propensity": holds(weighted(run.logged), ours),
        "doubly robust": holds(robust(run.logged), ours),
        "gain": holds(gain(run.logged), ours - theirs),
    }


def measure(scene: Scene, prompts: Sequence[str], graded: Array, runs: int, seed: int) -> dict[str, Any]:
    """All policies over so many streams of a scene."""
    figures: dict[str, dict[str, list[float]]] = {}
    holds: dict[str, list[bool]] = {}
    rolled: list[int] = []
    highest: list[int] = []
    late = np.arange(CALLS) >= CALLS // 3
    for number in range(runs):
        stream = world(scene, prompts, graded, np.random.default_rng([seed, number]))
        done = {"shipped": still(stream, False), "known": still(stream, True)}
        done |= {"mirror": learning(stream, None), "learned": learning(stream, 100)}
        base = done["known"].utility(stream)
        for name, run in done.items():
            rows = figures.setdefault(name, {"quality": [], "cost": [], "regret": [], "regret_late": []})
            rows["quality"].append(float(stream.quality[np.arange(CALLS), run.served].mean()))
            rows["cost"].append(float(np.asarray(PRICES)[run.served].mean() / max(PRICES)))
            rows["regret"].append(float((base - run.utility(stream)).mean()))
            rows["regret_late"].append(float((base - run.utility(stream))[late].mean()))
        for name in ("mirror", "learned"):
            lost = [one - other for one, other in
                    zip(figures[name]["regret"], figures["shipped"]["regret"], strict=True)]  # fmt: skip
            figures[name]["regret_less_than_shipped"] = [-one for one in lost]
        for name, held in covered(learning(stream, 0), stream).items():
            holds.setdefault(name, []).append(held)
        steps = done["mirror"].steps
        rolled += [at - CALLS // 3 for at, percent in steps if percent == 0][:1]
        highest.append(max([percent for _, percent in steps], default=0))
    return {
        "policies": {name: {what: spread(rows) for what, rows in found.items()}
                     for name, found in figures.items()},
        "intervals_that_held": {name: sum(held) / len(held) for name, held in holds.items()},
        "highest_percent": {str(stage): highest.count(stage) for stage in STAGES if stage in highest},
        "rolled_back_runs": len(rolled),
        "calls_until_rolled_back": sorted(rolled),
    }  # fmt: skip


def read(paths: Sequence[Path]) -> tuple[list[str], Array]:
    """Prompts and (rows, 2) outcomes of the weak and the strong model.

    Contaminated rows are left out, and subjects in which the weak model is the better one: their answers were
    graded by form.
    """
    prompts: list[str] = []
    graded: list[tuple[float, float]] = []
    for path in paths:
        columns = pq.read_table(path).to_pydict()
        names = [name for name in columns if name.startswith("q_")]
        weak, strong = (columns[name] for name in sorted(names, key=lambda name: sum(columns[name])))
        subjects = columns.get("subject", [path.stem] * len(weak))
        gains: dict[str, float] = {}
        for subject, low, high in zip(subjects, weak, strong, strict=True):
            gains[subject] = gains.get(subject, 0.0) + high - low
        spoilt = columns.get("contaminated", [False] * len(weak))
        for row, prompt in enumerate(columns["prompt"]):
            if gains[subjects[row]] >= 0 and not spoilt[row]:
                prompts.append(prompt)
                graded.append((weak[row], strong[row]))
    return prompts, np.asarray(graded, dtype=np.float64)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "mirror.json")
    args = parser.parse_args()
    folder = Path(os.environ.get("ROUTING_DATA", "."))
    prompts, graded = read(args.files or [folder / "mmlu_pair.parquet", folder / "gsm8k_pair.parquet"])
    found = {
        "commit": commit(),
        "runs": args.runs,
        "calls": CALLS,
        "feedback": FEEDBACK,
        "explored": EXPLORE,
        "asked": SHARE,
        "scenes": {name: measure(SCENES[name], prompts, graded, args.runs, args.seed)
                   for name in args.scene or SCENES},
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    print(text)
    args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
