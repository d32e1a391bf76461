"""Whether `vibes bench routing --fit` keeps its promise on graded files that are made up:
``routing_floor.py [--files N] [--workers N]``.

A file has 300 to 4,000 prompts of several kinds of task and 2 to 11 models. A model has an ability for each
kind of task and each topic, a prompt a difficulty that its length hardly shows, and an answer is right with
the chance that item response theory gives (Rasch 1960); in some files answers are graded in steps. Costs go
by tokens, dearer models are mostly the better ones. Prints, for each kind of fleet: runs, how many keep 95 %
of the strong model's quality in 95 of 100 resamples (the strong one as it seemed before the judged rows were
seen, and as it turned out), and what is saved.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.bench.routing import measure_routing
from router.bench.table import Table

Array = NDArray[np.float64]
Words = Callable[[float], str]

FLEETS = ("a pair", "a pair nearly alike", "one clearly best", "several alike", "all nearly alike")
FRACTIONS = (0.3, 0.5)
ENOUGH = 0.95
TOPICS = 8
SYLLABLES = "ba ko ri ten mul sha po ve dra lin cu est or fa ni gol wex yam tri bo se pha lon qui"
PLAIN = "the a of which is in that with for what to and was by from at it this are not most when how"


@dataclass(frozen=True)
class Task:
    """A kind of task: how its prompts are written, and how many tokens its answers have."""

    write: Callable[[Words, np.random.Generator], str]
    answer_tokens: int


def choice(words: Words, rng: np.random.Generator) -> str:
    numbers = rng.random() < 0.15
    options = [str(rng.integers(1, 500)) if numbers else words(4) for _ in "ABCD"]
    lines = [f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True)]
    return "\n".join([f"{words(20)}?", *lines, "Answer:"])


def reckoning(words: Words, rng: np.random.Generator) -> str:
    told = [f"{words(4)} {rng.integers(2, 90)} {words(3)}." for _ in range(rng.integers(2, 6))]
    return " ".join([*told, "How many are left?"])


TASKS = (
    Task(choice, 4),
    Task(
        lambda words, _: (
            f"Finish the sentence. {words(30)}\n" + "\n".join(f"({c}) {words(9)}" for c in "ABCD")
        ),
        4,
    ),
    Task(reckoning, 150),
    Task(lambda words, _: f"Write a Python function to {words(10)}.\nassert {words(1)}([1, 2]) == 3\n", 120),
    Task(lambda words, _: f"Explain {words(25)}.", 350),
    Task(lambda words, _: f"Context: {words(150)}\nQuestion: {words(10)}?", 60),
)


def abilities(fleet: str, rng: np.random.Generator) -> Array:
    """Of each model, log odds, the best one first."""
    if fleet == "a pair":
        return np.array([1.0, 1.0 - rng.uniform(0.6, 2.0)])
    if fleet == "a pair nearly alike":
        return np.array([1.0, 1.0 - rng.uniform(0.0, 0.25)])
    models = int(rng.choice([3, 4, 7, 11]))
    if fleet == "all nearly alike":
        return np.sort(rng.normal(0.6, 0.1, models))[::-1]
    alike = 1 if fleet == "one clearly best" else int(rng.integers(2, min(models, 6)))
    best = 1.0 + rng.normal(0.0, 0.08, alike)
    return np.concatenate([best, np.sort(rng.uniform(-1.2, 0.4, models - alike))[::-1]])


def prompts(
    task: NDArray[np.int64], topic: NDArray[np.int64], hard: Array, rng: np.random.Generator
) -> tuple[str, ...]:
    """Texts whose words give their topic away, and whose length hints at how hard they are."""
    syllables, plain = SYLLABLES.split(), PLAIN.split()
    vocabulary = [
        ["".join(rng.choice(syllables, size=2 + number % 2)) for number in range(40)]
        for _ in range(len(TASKS) * TOPICS)
    ]
    texts = []
    for kind, about, difficulty in zip(task, topic, hard, strict=True):
        own = vocabulary[kind * TOPICS + about]

        def words(mean: float, own: list[str] = own, difficulty: float = difficulty) -> str:
            count = max(1, int(mean * np.exp(rng.normal(0.12 * difficulty, 0.45))))
            return " ".join(str(rng.choice(own if rng.random() < 0.35 else plain)) for _ in range(count))

        texts.append(TASKS[kind].write(words, rng))
    return tuple(texts)


def made_up(seed: int) -> Table:
    """A graded file."""
    rng = np.random.default_rng(seed)
    able = abilities(FLEETS[seed % len(FLEETS)], rng)
    rows, models = int(np.exp(rng.uniform(np.log(300), np.log(4000)))), len(able)
    task = rng.choice(len(TASKS), size=rows, p=rng.dirichlet(np.full(len(TASKS), 0.5)))
    topic = rng.integers(TOPICS, size=rows)
    shift = rng.normal(-0.6, 0.6, len(TASKS))[:, None] + rng.normal(0.0, 0.7, (len(TASKS), TOPICS))
    hard = shift[task, topic] + rng.normal(0.0, 1.0, rows)
    differs = rng.normal(0.0, 0.25, (models, len(TASKS), 1)) + rng.normal(
        0.0, 0.3, (models, len(TASKS), TOPICS)
    )
    chance = 1 / (
        1 + np.exp(-rng.uniform(0.8, 1.6) * ((able[:, None] + differs[:, task, topic]).T - hard[:, None]))
    )
    right = (rng.random((rows, models)) < chance).astype(float)
    graded = np.round(np.clip(chance + rng.normal(0.0, 0.15, chance.shape), 0, 1) * 4) / 4
    texts = prompts(task, topic, hard, rng)
    rank = np.argsort(np.argsort(-(able + rng.normal(0.0, 0.3, models))))
    usd = np.geomspace(10.0, 0.2, models)[rank] * np.exp(rng.normal(0.0, 0.3, models))
    tokens = np.array([len(text) / 4 for text in texts])
    answers = np.array([one.answer_tokens for one in TASKS])[task][:, None] * np.exp(
        rng.normal(0, 0.4, right.shape)
    )
    cost = (tokens[:, None] + 3 * answers) * usd / 1e6
    names = tuple(f"made-up-{number}" for number in range(models))
    return Table(f"file {seed}", texts, names, graded if seed % 4 == 3 else right, cost, "columns", 0)


def measured(seed: int) -> list[tuple[str, dict[str, Any]]]:
    """The fleet, and the figures of a file for each fraction."""
    table, fleet = made_up(seed), FLEETS[seed % len(FLEETS)]
    return [(fleet, measure_routing(table, fraction, seed, lambda *_: None)) for fraction in FRACTIONS]


def row(name: str, runs: list[dict[str, Any]]) -> str:
    kept = [sum(run[key] >= ENOUGH for run in runs) for key in ("floor_kept", "floor_kept_beside_best")]
    saved = fmean(run["floor_saving"] for run in runs)
    return f"| {name} | {len(runs)} | {kept[0]} | {kept[1]} | {saved:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100, help="how many files are made up")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers) as pool:
        runs = [run for found in pool.map(measured, range(options.files)) for run in found]
    print(
        "| fleet | runs | kept | kept beside the best of the judged rows | saved |\n|---|---:|---:|---:|---:|"
    )
    for fleet in FLEETS[: options.files]:
        print(row(fleet, [run for name, run in runs if name == fleet]))
    print(row("all", [run for _, run in runs]))


if __name__ == "__main__":
    main()
