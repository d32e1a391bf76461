"""Whether the shipped promise of a quality is kept by models that differ from what their names make one
expect: ``predictor_promise.py [--worlds N] [--chat INSTRUCTIONS.parquet] MMLU.parquet GSM8K.parquet``.

The files hold graded answers of two models (``prompt``, ``q_<weak>``, ``q_<strong>``). A world has 2, 4 or
11 models with names drawn from a list. Each is as good as its name says beside the strong model of the file,
give or take a normal deviate in log odds (the noise), and its answers follow the file: a model between both
has right what the weak one has and some of what only the strong one has. MMLU counts in two halves, by a
hash of the subject. Of chat (a column ``instruction``) there are no graded answers: which prompts the pair
has right is made up, by what nobody sees of a prompt. Prints what calls by the shipped rule save of the
believed best model's cost, and the share of bootstrap resamples, by a normal approximation, in which
they reach the promise beside the believed and beside the truly best.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mini_llm.auto.features import measure, read
from mini_llm.auto.predictor import Predictor, kinds
from mini_llm.auto.priors import ModelFacts, abilities, guessed_usd_per_mtok
from mini_llm.auto.promise import most_thrift, pick

Array = NDArray[np.float64]

SIZES = (2, 4, 11)
NOISES = (0.0, 0.25, 0.5)
CHAT = (0.72, 0.86)
"""What a weak and a strong model have right of chat: about as of MMLU."""
REPEATED = 8
NAMES = {
    "until 2024": """gpt-4 gpt-3.5-turbo claude-instant-1.2 claude-2 claude-1 code-llama-34b llama-2-70b
        llama-2-13b llama-2-7b mistral-7b mixtral-8x7b yi-34b yi-6b wizardlm-13b wizardlm-70b vicuna-33b
        vicuna-13b palm-2 gemini-1.0-pro gemini-ultra command dbrx-instruct mistral-medium claude-3-haiku
        claude-3-sonnet claude-3-opus gpt-4-turbo llama-3-70b llama-3-8b command-r-plus phi-3-mini
        phi-3-medium mixtral-8x22b gemma-7b gemma-2b""",
    "since 2024": """gpt-5 gpt-5-mini gpt-5-nano gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4o gpt-4o-mini o3
        o3-mini o1 claude-opus-4 claude-sonnet-4 claude-haiku-4.5 claude-3.7-sonnet claude-3.5-sonnet
        claude-3.5-haiku gemini-2.5-pro gemini-2.5-flash gemini-2.5-flash-lite gemini-2.0-flash
        gemini-1.5-pro gemini-1.5-flash gemma-3-27b gemma-3-12b gemma-2-27b gemma-2-9b mistral-large
        mistral-medium-3 mistral-small mistral-nemo llama-4-maverick llama-4-scout llama-3.1-405b
        llama-3.1-70b llama-3.1-8b qwen3-235b qwen3-30b qwen2.5-72b qwen2.5-32b qwen2.5-14b qwen2.5-7b
        qwen-max deepseek-r1 deepseek-v3 phi-4 command-a""",
}


@dataclass(frozen=True)
class Task:
    """Graded prompts; `mix` is how much of each kind of task they are in the mean."""

    name: str
    weak: Array
    strong: Array
    hard: Array
    mix: dict[str, float]
    prompt: str


def tasks(path: Path, halves: bool) -> list[Task]:
    """The prompts of a file, or of each half of its subjects."""
    columns = pq.read_table(path).to_pydict()
    names = sorted((name for name in columns if name.startswith("q_")), key=lambda name: sum(columns[name]))
    sides = [int(hashlib.sha256(one.encode()).hexdigest(), 16) % 2 for one in columns.get("subject", [])]
    predictor = Predictor.shipped()
    found = []
    for side in (0, 1) if halves else (0,):
        rows = [row for row in range(len(columns["prompt"])) if not halves or sides[row] == side]
        hard, mixes = [], []
        for row in rows:
            text = read(columns["prompt"][row])
            features = measure(text)
            hard.append(predictor._steps(features, predictor.standing(text, features)))
            mixes.append(kinds(features))
        mix = {kind: float(np.mean([one.get(kind, 0.0) for one in mixes])) for kind in set().union(*mixes)}
        weak, strong = (np.array([columns[name][row] for row in rows], dtype=np.float64) for name in names)
        name = f"{path.stem}, half {side}" if halves else path.stem
        found.append(Task(name, weak, strong, np.array(hard), mix, columns["prompt"][rows[0]]))
    return found


def chat(path: Path) -> Task:
    """Distinct instructions, often enough for a mean, with made-up answers of a pair."""
    prompts = sorted(set(pq.read_table(path, columns=["instruction"]).column("instruction").to_pylist()))
    predictor = Predictor.shipped()
    texts = [read(prompt) for prompt in prompts]
    found = [(text, measure(text)) for text in texts]
    hard = np.array(
        [predictor._steps(features, predictor.standing(text, features)) for text, features in found]
    )
    hidden = np.random.default_rng(3).random((REPEATED, len(prompts))).ravel()
    weak, strong = ((hidden < share).astype(np.float64) for share in CHAT)
    return Task(path.stem, weak, strong, np.tile(hard, REPEATED), {"chat": 1.0}, prompts[0])


def believed(task: Task, names: Sequence[str]) -> Array:
    """Abilities by the models' names."""
    found = abilities(tuple(ModelFacts(name, 1.0, 1.0) for name in names))
    return np.array([sum(share * one[kind] for kind, share in task.mix.items()) for one in found])


def chance(log_odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def answers(task: Task, accuracy: Array, rng: np.random.Generator) -> Array:
    """(prompts, models): what models of such accuracies have right."""
    low, high = float(task.weak.mean()), float(task.strong.mean())
    columns = []
    for one in accuracy:
        luck = rng.random(len(task.hard))
        if one < low:
            columns.append(task.weak * (luck < one / low))
        elif one <= high:
            columns.append(np.where(luck < (one - low) / (high - low), task.strong, task.weak))
        else:
            columns.append(np.maximum(task.strong, luck < (one - high) / (1 - high)))
    return np.column_stack(columns)


def kept(above: Array) -> float:
    """The share of resamples in which the mean is not below 0."""
    error = above.std() / np.sqrt(len(above)) + 1e-12
    return NormalDist().cdf(float(above.mean() / error))


def world(
    task: Task, names: Sequence[str], noise: float, promised: float, rng: np.random.Generator
) -> list[float]:
    """What is saved, and how surely the promise is kept beside the believed and the truly best."""
    able = believed(task, names)
    prices = np.array([guessed_usd_per_mtok(name) for name in names], dtype=np.float64)
    level = np.log(task.strong.mean() / (1 - task.strong.mean())) - believed(task, ["gpt-4"])[0]
    right = answers(task, chance(level + able + rng.normal(size=len(names)) * noise), rng)
    predictor = Predictor.shipped()
    told = predictor.predict(task.prompt, [ModelFacts("gpt-4")])
    thrift = most_thrift(able.tolist(), prices.tolist(), predictor._fleet(told), promised)
    quality = chance(able[None, :] - task.hard[:, None])
    top = int(np.lexsort((-prices, able))[-1])
    chosen = np.array([pick(one, prices.tolist(), thrift, promised) for one in quality.tolist()])
    got = right[np.arange(len(chosen)), chosen]
    true = int(right.mean(axis=0).argmax())
    beside = [kept(got - promised * right[:, one]) for one in (top, true)]
    return [1 - float(prices[chosen].mean() / prices[top]), *beside]


def main() -> None:
    """Prints a table for each promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("mmlu", type=Path)
    parser.add_argument("gsm8k", type=Path)
    parser.add_argument("--chat", type=Path)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--promised", type=float, nargs="+", default=[0.95, 0.9])
    args = parser.parse_args()
    files = tasks(args.mmlu, True) + tasks(args.gsm8k, False)
    files += [chat(args.chat)] if args.chat else []
    for promised in args.promised:
        print(f"promised {promised}: saved, kept beside the believed best, beside the truly best")
        for task in files:
            for label, names in NAMES.items():
                for size, noise in product(SIZES, NOISES):
                    rng = np.random.default_rng(17)
                    drawn = (rng.choice(names.split(), size, replace=False) for _ in range(args.worlds))
                    runs = [world(task, list(map(str, one)), noise, promised, rng) for one in drawn]
                    saved, sure, surest = np.mean(runs, axis=0)
                    where = f"{task.name:17} {label} {size:2} models, noise {noise:4}"
                    print(f"{where}: {saved:.2f} {sure:.2f} {surest:.2f}", flush=True)


if __name__ == "__main__":
    main()
