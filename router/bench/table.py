"""Graded answers in a file: prompts, what each model's answer was worth, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mini_llm.auto.priors import guessed_usd_per_mtok
from router.bench.errors import BadColumn, MissingColumns, MissingExtra, TooFewRows, UnreadableTable

Floats = NDArray[np.float64]

PROMPT: Final = "prompt"
QUALITY: Final = "q_"
COST: Final = "cost_"
MIN_ROWS: Final = 20
MOST_COST: Final = 1e12
"""USD for one answer; beyond it sums of costs lose what they are for."""


@dataclass(frozen=True)
class Table:
    """Graded answers.

    Attributes:
        path: where they were read.
        prompts: n of them.
        models: m names, in the file's order.
        quality: (n, m), 0..1.
        cost: (n, m), what each answer cost; only ratios matter. None if no price of some model is known.
        costs_from: "columns", "names" (prices by the models' names, the same for each row) or "unknown".
        dropped: rows that were left out because a quality or a cost is missing.
        unmatched: columns of costs of models whose answers are not in the file.
    """

    path: str
    prompts: tuple[str, ...]
    models: tuple[str, ...]
    quality: Floats
    cost: Floats | None
    costs_from: str
    dropped: int
    unmatched: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Reads a Parquet file with ``prompt``, ``q_<model>`` of two models at least, perhaps ``cost_<model>``.

    Other columns are ignored. Rows in which a value is missing are left out.

    Raises:
        MissingExtra: pyarrow is not installed.
        UnreadableTable: not a Parquet file.
        MissingColumns: no prompts, fewer than two models, or costs of some models only.
        BadColumn: a column is of the wrong type, or a quality or cost is out of range.
        TooFewRows: fewer than 20 rows are complete.
    """
    shown = str(path)
    names, columns = _columns(path)
    models = [name.removeprefix(QUALITY) for name in names if name.startswith(QUALITY) and name != QUALITY]
    missing = [PROMPT] if PROMPT not in names else []
    if len(models) < 2:
        missing.append(f"two columns {QUALITY}<model>")
    priced = [model for model in models if COST + model in names]
    if priced and len(priced) < len(models):
        missing += [COST + model for model in models if model not in priced]
    if missing:
        raise MissingColumns(shown, missing, names)
    prompts = _prompts(shown, columns[PROMPT])
    quality = np.column_stack([_numbers(shown, QUALITY + one, columns[QUALITY + one], 1.0) for one in models])
    cost = None
    if priced:
        cost = np.column_stack(
            [_numbers(shown, COST + one, columns[COST + one], MOST_COST) for one in models]
        )
        whole = ~(np.isnan(quality).any(axis=1) | np.isnan(cost).any(axis=1))
    else:
        whole = ~np.isnan(quality).any(axis=1)
    whole &= np.array([prompt is not None for prompt in prompts], dtype=bool)
    if whole.sum() < MIN_ROWS:
        raise TooFewRows(shown, int(whole.sum()), MIN_ROWS, int(len(whole) - whole.sum()))
    kept = np.flatnonzero(whole)
    quality = quality[kept]
    return Table(
        shown,
        tuple(prompts[int(at)] or "" for at in kept),
        tuple(models),
        quality,
        cost[kept] if cost is not None else _by_name(models, len(kept)),
        "columns" if cost is not None else "unknown" if _prices(models) is None else "names",
        int(len(prompts) - len(kept)),
        tuple(name for name in names if name.startswith(COST) and name.removeprefix(COST) not in models),
    )


def _columns(path: Path) -> tuple[list[str], dict[str, Any]]:
    """The names of all columns, and those that are read."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow") from error
    try:
        schema = pq.read_schema(path)
        wanted = [name for name in schema.names if name == PROMPT or name.startswith((QUALITY, COST))]
        table = pq.read_table(path, columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableTable(str(path), str(error).splitlines()[0]) from error
    doubled = next((name for name in wanted if wanted.count(name) > 1), None)
    if doubled is not None:
        raise BadColumn(str(path), doubled, "is there more than once")
    return schema.names, {name: table.column(name) for name in wanted}


def _prompts(path: str, column: Any) -> Sequence[str | None]:
    import pyarrow.types as kinds

    inner = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    if not (kinds.is_string(inner) or kinds.is_large_string(inner) or kinds.is_string_view(inner)):
        raise BadColumn(path, PROMPT, f"holds {column.type} instead of text")
    values: list[str | None] = column.to_pylist()
    return values


def _numbers(path: str, name: str, column: Any, highest: float) -> Floats:
    import pyarrow.types as kinds

    kind = column.type
    if not (
        kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind)
    ):
        raise BadColumn(path, name, f"holds {kind} instead of numbers")
    values = np.array(
        [np.nan if value is None else float(value) for value in column.to_pylist()], dtype=np.float64
    )
    bad = np.flatnonzero((values < 0) | (values > highest) | np.isinf(values))
    if len(bad):
        bound = f"from 0 to {highest:g}"
        raise BadColumn(path, name, f"has the value {values[bad[0]]:g}, which is not {bound}", int(bad[0]))
    return values


def _prices(models: Sequence[str]) -> list[float] | None:
    prices = [guessed_usd_per_mtok(model) for model in models]
    known = [price for price in prices if price is not None]
    return known if len(known) == len(models) else None


def _by_name(models: Sequence[str], rows: int) -> Floats | None:
    prices = _prices(models)
    return None if prices is None else np.tile(np.array(prices, dtype=np.float64), (rows, 1))
