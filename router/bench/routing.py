"""Measures a router on graded answers: what it saves, between which models, and whether its promise holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mini_llm.auto.choice import Option, choose
from mini_llm.auto.predictor import Predictor
from mini_llm.auto.priors import PRICE, ModelFacts
from mini_llm.auto.promise import separated
from router.bench.errors import TooFewRows
from router.bench.fit import Correction, Embed, crossed, describe, split
from router.bench.floor import (
    RESAMPLES,
    STEPS,
    calibrate,
    draws,
    held,
    kept,
    resamples,
    rivals,
    strongest,
)
from router.bench.foreseen import foreseen_costs
from router.bench.notes import NONE_CHEAPER, NOT_SURE, doubts_of, notes_on
from router.bench.sweep import Floats, Sweep, ends, figures, saving, savings, sweep, thrifts
from router.bench.table import MIN_ROWS, Table

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, steps done and steps in all."""

FLOOR: Final = 0.95
_MILLION: Final = 1_000_000
_TOLD: Final = 64
_TINY: Final = 1e-300


def measure_routing(
    table: Table, fraction: float, seed: int, progress: Progress, embed: Embed | None = None
) -> dict[str, Any]:
    """All figures of a file, as plain JSON.

    Args:
        table: graded answers.
        fraction: of the prompts to fit a correction on; 0 for none. The rest is judged.
        seed: of the split and of all resamples.
        progress: told how far it is.
        embed: makes vectors of the prompts for the correction, if it should have them.

    Raises:
        TooFewRows: a side of the split has fewer than 20 rows.
    """
    fitted, judged = split(table.prompts, fraction, seed)
    for side in (judged, fitted) if fraction else (judged,):
        if len(side) < MIN_ROWS:
            raise TooFewRows(table.path, len(side), MIN_ROWS)
    cost = _costs(table)
    foreseen = foreseen_costs(table.prompts, cost)
    predicted, chosen, ms = _served(table, foreseen, progress)
    floor: dict[str, Any]
    believed = predicted.mean(axis=0)
    if fraction:
        described = describe(table.prompts, embed)
        rows = described[fitted], predicted[fitted], table.quality[fitted]
        predicted = Correction(*rows).apply(described, predicted)
        predicted[fitted] = crossed(*rows)
    price = foreseen.mean(axis=0)
    if not fraction:
        predicted = _told_apart(table, predicted, price)
    between = ends(table.quality[judged], price)
    parts = table.quality[judged], cost[judged], predicted[judged]
    free = not cost[judged].any()
    priced = table.cost is not None and not free
    swept = sweep(*parts, foreseen[judged], between)
    calls = len(table.models) == 2
    # Calls of the strong model all count alike, whatever they cost.
    by_calls = sweep(*parts, np.tile(price, (len(judged), 1)), between) if calls else None
    if fraction:
        floor = _calibrated(table, cost, predicted, foreseen, believed, (fitted, judged), seed)
    else:
        floor = _as_served(table, cost, chosen, judged, between.strong, seed)
    return {
        "file": table.path,
        "rows": len(judged),
        "fitted_rows": len(fitted),
        "dropped_rows": table.dropped,
        "models": _models(table, judged, cost),
        "weak": None if between.weak == between.strong else table.models[between.weak],
        "strong": table.models[between.strong],
        "costs_from": table.costs_from,
        **_figures(swept, by_calls, priced, seed, progress),
        **_blind(parts[0], parts[1], between.strong, priced),
        "measured_by": "calls of the strong model"
        if calls
        else "budget between the weak and the strong model",
        **(floor if priced else floor | {"floor_saving": None}),
        "ms_per_decision": round(float(ms.mean()), 4),
        "ms_per_decision_p99": round(float(np.quantile(ms, 0.99)), 4),
        "notes": notes_on(table, between, free) + doubts_of(floor, table.models[between.strong]),
    }


def _costs(table: Table) -> Floats:
    """Costs, or stand-ins in the order in which the models' names suggest that they cost."""
    if table.cost is not None:
        return table.cost
    facts = [ModelFacts(model) for model in table.models]
    believed = Predictor.shipped().predict("", facts).quality
    order = np.argsort(np.argsort(believed, kind="stable"), kind="stable")
    return np.tile(1.0 + order, (len(table.prompts), 1))


def _served(table: Table, foreseen: Floats, progress: Progress) -> tuple[Floats, NDArray[np.int64], Floats]:
    """What the shipped router does: predictions (n, m), choices (n,), and how long it thought (n,).

    Times are milliseconds of a processor, so that other work on the machine does not count.
    """
    predictor = Predictor.shipped()
    price = foreseen.mean(axis=0)
    facts = [
        ModelFacts(model, float(one), float(one)) for model, one in zip(table.models, price, strict=True)
    ]
    millionths = (foreseen * (_MILLION / max(price.max(), _TINY))).astype(np.int64).tolist()
    predicted = np.empty(table.quality.shape)
    chosen = np.empty(len(table.prompts), dtype=np.int64)
    ms = np.empty(len(table.prompts))
    for row, prompt in enumerate(table.prompts):
        started = time.thread_time_ns()
        found = predictor.predict(prompt, facts)
        options = [Option(quality, one) for quality, one in zip(found.quality, millionths[row], strict=True)]
        share = predictor.share_of_call(found, FLOOR, millionths[row])
        choice = choose(options, share)
        ms[row] = (time.thread_time_ns() - started) / _MILLION
        predicted[row], chosen[row] = found.quality, choice.index
        if row % _TOLD == 0:
            progress("predicting", row, len(table.prompts))
    progress("predicting", len(table.prompts), len(table.prompts))
    return predicted, chosen, ms


def _told_apart(table: Table, predicted: Floats, price: Floats) -> Floats:
    """The predictions, without those of models of which a price alone says too little to ask them."""
    guessed = [ModelFacts(model).placed_by == PRICE for model in table.models]
    kept = separated(guessed, price.tolist())
    masked = np.full(predicted.shape, -np.inf)
    masked[:, kept] = predicted[:, kept]
    return masked


def _as_served(
    table: Table,
    cost: Floats,
    chosen: NDArray[np.int64],
    judged: NDArray[np.int64],
    strong: int,
    seed: int,
) -> dict[str, Any]:
    """What `model: "auto"` at quality .95 gives as it is shipped: the floor for each call by itself."""
    quality, best = table.quality[judged, chosen[judged]], table.quality[judged, strong]
    share = held(quality - FLOOR * best, seed)
    return _floor(quality, best, cost[judged, chosen[judged]], cost[judged, strong]) | {
        "floor_kept": share,
        "floor_kept_beside_best": share,
        "floor_beside": table.models[strong],
        "floor_by": "the shipped predictions",
    }


def _calibrated(
    table: Table,
    cost: Floats,
    predicted: Floats,
    foreseen: Floats,
    believed: Floats,
    sides: tuple[NDArray[np.int64], NDArray[np.int64]],
    seed: int,
) -> dict[str, Any]:
    """What a thrift gives that was set on the fitted rows, each predicted without itself.

    Beside whom has to be known before the others are seen. Where the fitted rows leave open which model is
    the strong one, it is whoever was believed to be: the highest mean of several is mostly luck.
    """
    fitted, judged = sides
    price = foreseen.mean(axis=0)
    among = rivals(table.quality[fitted])
    strong = int(among[strongest(table.quality[fitted][:, among], believed[among])])
    between = replace(ends(table.quality[fitted], price), strong=strong)
    turns = thrifts(predicted[fitted], foreseen[fitted])
    steps = turns[np.unique(np.linspace(0, len(turns) - 1, STEPS).astype(np.int64))]

    def answers(side: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Quality and cost, (k, n), of the strong model, of the router at each step, of each model alone."""
        quality, paid = table.quality[side], cost[side]
        swept = sweep(quality, paid, predicted[side], foreseen[side], between, steps)
        return np.concatenate([swept.quality, quality.T]), np.concatenate([swept.cost, paid.T])

    quality, paid = answers(fitted)
    shares = draws(quality.mean(axis=1), paid.mean(axis=1))
    fitting = shares @ quality - FLOOR * quality[0], shares @ paid
    chosen = int(calibrate(*fitting, len(judged), np.ones((1, len(fitted))))[0])
    quality, paid = answers(judged)
    reached, best = shares @ quality, table.quality[judged][:, ends(table.quality[judged], price).strong]
    share, beside_best = kept(fitting, [reached - FLOOR * one for one in (quality[0], best)], seed)
    alone = NOT_SURE if len(shares) > 1 else NONE_CHEAPER
    return _floor(reached[chosen], quality[0], shares[chosen] @ paid, paid[0]) | {
        "floor_kept": share,
        "floor_kept_beside_best": beside_best,
        "floor_beside": table.models[strong],
        "floor_by": "a threshold set on the fitted rows" if chosen else alone,
    }


def _floor(quality: Floats, best: Floats, cost: Floats, dearest: Floats) -> dict[str, Any]:
    return {
        "floor": FLOOR,
        "floor_quality": _short(quality.mean() / max(best.mean(), _TINY)),
        "floor_saving": _short(saving(float(cost.mean()), float(dearest.mean()))),
    }


def _figures(
    swept: Sweep, by_calls: Sweep | None, priced: bool, seed: int, progress: Progress
) -> dict[str, Any]:
    """The figures of the rows, and where 95 of 100 resamples of them lie."""
    rows = swept.quality.shape[1]
    exact = asdict(figures(swept, np.ones((1, rows)), by_calls)[0])
    drawn: dict[str, list[float]] = {name: [] for name in exact}
    done = 0
    for weights in resamples(rows, RESAMPLES, seed):
        for found in figures(swept, weights, by_calls):
            for name, value in asdict(found).items():
                if value is not None:
                    drawn[name].append(value)
        progress("resampling", done := done + len(weights), RESAMPLES)
    result: dict[str, Any] = {}
    for name, value in exact.items():
        known = value is not None and (priced or not name.startswith("saving"))
        result[name] = _short(value) if known else None
        low_high = np.quantile(drawn[name], (0.025, 0.975)) if known and drawn[name] else None
        result[f"{name}_interval"] = None if low_high is None else [_short(one) for one in low_high]
    return result


def _blind(quality: Floats, cost: Floats, strong: int, priced: bool) -> dict[str, float | None]:
    """What the best draw between two models saves that looks at no prompt, known the rows."""
    order = [strong, *(at for at in range(quality.shape[1]) if at != strong)]
    found = savings(quality.mean(axis=0)[order], cost.mean(axis=0)[order])
    return {
        f"blind_{part}": _short(one) if priced else None for part, one in zip((95, 90), found, strict=True)
    }


def _models(table: Table, judged: NDArray[np.int64], cost: Floats) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "quality": _short(table.quality[judged, at].mean()),
            "mean_cost": None if table.cost is None else float(cost[judged, at].mean()),
            "placed_by": ModelFacts(model).placed_by,
        }
        for at, model in enumerate(table.models)
    ]


def _short(value: float) -> float:
    return round(float(value), 4)
