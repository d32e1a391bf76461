"""Files of graded answers: what is read of them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.bench.errors import BadColumn, BenchError, MissingColumns, TooFewRows, UnreadableTable
from router.bench.table import read_table

N = 30
GOOD: dict[str, Any] = {
    "prompt": [f"question {at}?" for at in range(N)],
    "q_mixtral": [at % 2 == 0 for at in range(N)],
    "q_gpt4": [1.0] * N,
}


def written(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "graded.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_prices_by_name(tmp_path: Path) -> None:
    found = read_table(written(tmp_path, GOOD | {"subject": ["x"] * N, "resp_gpt4": ["y"] * N}))
    assert found.models == ("mixtral", "gpt4")
    assert found.quality.mean(axis=0).tolist() == [0.5, 1.0]
    assert found.cost is not None
    assert (found.costs_from, found.cost[3].tolist(), found.dropped) == ("names", [0.24, 24.7], 0)


def test_prices_of_nobody_knows_what(tmp_path: Path) -> None:
    found = read_table(written(tmp_path, GOOD | {"q_acme": [1] * N}))
    assert (found.costs_from, found.cost) == ("unknown", None)


def test_costs_and_gaps(tmp_path: Path) -> None:
    costs = {"cost_mixtral": [0.001] * N, "cost_gpt4": [None, *[0.1] * (N - 1)]}
    prompts = ["question", None, *GOOD["prompt"][2:]]
    found = read_table(written(tmp_path, GOOD | costs | {"prompt": prompts}))
    assert (len(found.prompts), found.dropped, found.costs_from) == (N - 2, 2, "columns")


def test_costs_of_nobody_are_told(tmp_path: Path) -> None:
    found = read_table(written(tmp_path, GOOD | {"cost_gpt-4": [1.0] * N, "cost_total": [2.0] * N}))
    assert (found.costs_from, found.unmatched) == ("names", ("cost_gpt-4", "cost_total"))


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ({"prompt": None, "text": ["?"] * N}, MissingColumns, "no prompt; its .*: q_mixtral, q_gpt4, text"),
        ({"q_gpt4": None}, MissingColumns, "no two columns q_<model>"),
        ({"cost_gpt4": [1.0] * N}, MissingColumns, "no cost_mixtral"),
        ({"prompt": list(range(N))}, BadColumn, "column 'prompt' holds int64 instead of text"),
        ({"q_gpt4": ["good"] * N}, BadColumn, "column 'q_gpt4' holds string instead of numbers"),
        (
            {"q_gpt4": [*[1.0] * 5, 1.5, *[0.0] * (N - 6)]},
            BadColumn,
            "has the value 1.5, .* from 0 to 1 .row 5",
        ),
        ({"q_gpt4": [-0.1] * N}, BadColumn, "-0.1"),
        (
            {"cost_mixtral": [1.0] * N, "cost_gpt4": [float("inf")] * N},
            BadColumn,
            "inf, which is not from 0 to 1e\\+12",
        ),
        ({"cost_mixtral": [1.0] * N, "cost_gpt4": [1e308] * N}, BadColumn, "1e\\+308, which is not from 0"),
        ({"q_gpt4": [None] * 15 + [1.0] * 15}, TooFewRows, "leaves 15 rows .*: 15 were left out"),
    ],
)
def test_refusals(tmp_path: Path, columns: dict[str, Any], error: type[BenchError], words: str) -> None:
    whole = {name: values for name, values in (GOOD | columns).items() if values is not None}
    with pytest.raises(error, match=words):
        read_table(written(tmp_path, whole))


def test_what_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "notes.parquet"
    path.write_text("prompt,q_a\n")
    with pytest.raises(UnreadableTable, match="as Parquet"):
        read_table(path)
    with pytest.raises(UnreadableTable):
        read_table(tmp_path / "nowhere.parquet")
