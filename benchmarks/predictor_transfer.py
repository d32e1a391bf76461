"""What carries over to subjects and tasks that nobody saw: ``predictor_transfer.py CHOICE.parquet
OPEN.parquet``.

Both files have ``prompt``, ``q_<weak>`` and ``q_<strong>``, in this order; the first has a column
``subject`` too. Prints, as JSON, the area under the recovered gap (APGR, .5 is chance) of several ways to
order prompts:

- subjects: each subject is ordered by what was learned from others (eight folds of whole subjects);
- tasks: the second file is ordered by what was learned from the first;
- halves: mean and deviation over forty random halves of the subjects.

What is shipped has its signs and topics written by hand, with these files at hand: its figures under
"subjects" are of subjects that were known, and the halves tell how far they may move on others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mini_llm.auto.features import NAMES
from mini_llm.auto.predictor import Predictor
from mini_llm.auto.priors import ModelFacts
from router.bench.fit import PLACES, describe
from router.bench.sweep import Ends, figures, sweep
from router.bench.table import Table, read_table

Floats = NDArray[np.float64]

FOLDS, HALVES = 8, 40
PRICE = np.array([0.01, 1.0])
PENALTIES = {"ridge on measures": 300.0, "ridge on words": 30.0}


def apgr(table: Table, gain: Floats, rows: NDArray[np.int64]) -> float:
    """The area for some rows, ordered by predicted gain of the strong model."""
    predicted = np.column_stack([np.zeros(len(rows)), gain[rows] - gain.min() + 1e-6])
    cost = np.tile(PRICE, (len(rows), 1))
    swept = sweep(table.quality[rows], cost, predicted, cost, Ends(0, 1))
    found = figures(swept, np.ones((1, len(rows))), swept)[0].apgr
    return round(found or 0.0, 3)


def ridge(inputs: Floats, gain: Floats, others: Floats, penalty: float) -> Floats:
    """Predicted gain of other rows."""
    middle, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
    scaled, new = (inputs - middle) / spread, (others - middle) / spread
    square = scaled.T @ scaled + penalty * np.eye(scaled.shape[1])
    predicted: Floats = new @ np.linalg.solve(square, scaled.T @ (gain - gain.mean()))
    return predicted


def shipped(table: Table) -> Floats:
    """The gain that the shipped predictor sees."""
    models = [ModelFacts(name, price, price) for name, price in zip(table.models, PRICE, strict=True)]
    found = [Predictor.shipped().predict(prompt, models).quality for prompt in table.prompts]
    return np.array([strong - weak for weak, strong in found])


def compare(choice: Table, opened: Table, subjects: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    """All figures, by the way to order prompts."""
    names, place = np.unique(subjects, return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names))[place] % FOLDS
    gain = choice.quality[:, 1] - choice.quality[:, 0]
    described = {
        form: describe(table.prompts).astype(np.float64)
        for form, table in (("choice", choice), ("open", opened))
    }
    ways = {
        "length alone": tuple(described[form][:, NAMES.index("length")] for form in ("choice", "open")),
        "shipped": (shipped(choice), shipped(opened)),
    }
    for way, penalty in PENALTIES.items():
        part = slice(-PLACES) if way.endswith("measures") else slice(-PLACES, None)
        inputs, others = described["choice"][:, part], described["open"][:, part]
        unseen = np.empty(len(gain))
        for at in range(FOLDS):
            unseen[fold == at] = ridge(inputs[fold != at], gain[fold != at], inputs[fold == at], penalty)
        ways[way] = (unseen, ridge(inputs, gain, others, penalty))
    return {way: judge(choice, opened, place, *orders) for way, orders in ways.items()}


def judge(
    choice: Table, opened: Table, place: NDArray[np.int64], subjects: Floats, tasks: Floats
) -> dict[str, float]:
    """The figures of one way."""
    rng, count = np.random.default_rng(1), int(place.max()) + 1
    halves = [
        apgr(choice, subjects, np.flatnonzero(np.isin(place, rng.permutation(count)[: count // 2])))
        for _ in range(HALVES)
    ]
    return {
        "subjects": apgr(choice, subjects, np.arange(len(subjects))),
        "halves_mean": round(float(np.mean(halves)), 3),
        "halves_deviation": round(float(np.std(halves)), 3),
        "tasks": apgr(opened, tasks, np.arange(len(tasks))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("choice", type=Path)
    parser.add_argument("open", type=Path)
    asked = parser.parse_args()
    subjects = np.array(pq.read_table(asked.choice, columns=["subject"]).column(0).to_pylist())
    print(json.dumps(compare(read_table(asked.choice), read_table(asked.open), subjects), indent=2))


if __name__ == "__main__":
    main()
