"""Graded answers of a weak and a strong model, as the gate's training and its ablation read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mini_llm.auto.choice import SHARES
from mini_llm.auto.predictor import Predictor
from mini_llm.auto.priors import ModelFacts, guessed_usd_per_mtok
from mini_llm.tokens import BYTES_PER_TOKEN

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Graded:
    """Prompts of one task, with both models' outcomes and what the shipped predictor expects.

    Args:
        task: the file's name without its ending.
        group: (rows,) subject of each prompt; the task's name if the file has no subjects.
        weak, strong: (rows,) outcomes, 0 … 1.
        difficulty, doubt, weak_expected, strong_expected: (rows,) of the predictor.
        standard: (rows,) what a call must reach of the strong model's quality if `standard` is asked for.
        prompt_tokens: (rows,) reckoned from the length.
        answer_tokens: (rows, 2) likewise, of weak and strong model; NaN where the file has no answers.
    """

    task: str
    group: NDArray[np.str_]
    weak: Array
    strong: Array
    difficulty: Array
    doubt: Array
    weak_expected: Array
    strong_expected: Array
    standard: Array
    prompt_tokens: Array
    answer_tokens: Array

    @property
    def gain(self) -> Array:
        """What the strong model is better, row by row."""
        return self.strong - self.weak

    def rows(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Graded:
        """The same with these rows only."""
        fields = {name: value[kept] for name, value in vars(self).items() if name != "task"}
        return Graded(self.task, **fields)


def read_graded(path: Path) -> Graded:
    """Reads a Parquet file with ``prompt``, two columns ``q_<model>`` and perhaps ``subject``,
    ``contaminated``.

    The model that is better over the whole file is the strong one.

    Raises:
        SystemExit: the file has other columns.
    """
    from pyarrow.parquet import read_table

    columns = read_table(path).to_pydict()
    models = [name for name in columns if name.startswith("q_")]
    if "prompt" not in columns or len(models) != 2:
        raise SystemExit(f"{path}: needs a column prompt and two columns q_<model>")
    clean = ~np.array(columns.get("contaminated", [False] * len(columns["prompt"])), dtype=bool)
    prompts = [prompt for prompt, kept in zip(columns["prompt"], clean, strict=True) if kept]
    outcomes = {name: np.array(columns[name], dtype=np.float64)[clean] for name in models}
    weak, strong = sorted(models, key=lambda name: float(outcomes[name].mean()))
    facts = [ModelFacts(name.removeprefix("q_")) for name in (weak, strong)]
    predictor = Predictor.shipped()
    told = [predictor.predict(prompt, facts) for prompt in prompts]
    prices = [guessed_usd_per_mtok(one.model) or 1.0 for one in facts]
    groups = np.array(columns.get("subject", [path.stem] * len(clean)))[clean]
    return Graded(
        path.stem,
        groups,
        outcomes[weak],
        outcomes[strong],
        np.array([one.difficulty for one in told]),
        np.array([one.doubt for one in told]),
        np.array([one.quality[0] for one in told]),
        np.array([one.quality[1] for one in told]),
        np.array([predictor.share_of_call(one, SHARES["standard"], prices) for one in told]),
        np.array([len(prompt) for prompt in prompts]) / BYTES_PER_TOKEN,
        np.column_stack(
            [_tokens(columns.get(name.replace("q_", "resp_", 1)), clean) for name in (weak, strong)]
        ),
    )


def _tokens(answers: Sequence[str] | None, clean: NDArray[np.bool_]) -> Array:
    if answers is None:
        return np.full(int(clean.sum()), np.nan)
    return np.asarray(np.array([len(one) for one in answers], dtype=np.float64)[clean] / BYTES_PER_TOKEN)


def even_weights(tasks: Sequence[Graded]) -> Array:
    """(rows of all tasks,): tasks count alike, groups of a task by the root of their size; sum 1."""
    parts = []
    for task in tasks:
        _, index, sizes = np.unique(task.group, return_inverse=True, return_counts=True)
        part = 1 / np.sqrt(sizes[index])
        parts.append(part / part.sum())
    return np.asarray(np.concatenate(parts) / len(parts))


def well_graded(task: Graded) -> Graded:
    """Without the groups in which the weak model is the better one: their answers were graded by form."""
    kept = {name for name in np.unique(task.group) if task.gain[task.group == name].mean() >= 0}
    return task.rows(np.isin(task.group, list(kept)))
