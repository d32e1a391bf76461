"""What a reader of the figures has to know beside them."""

from __future__ import annotations

from typing import Any, Final

from mini_llm.auto.priors import PRICE, ModelFacts
from router.bench.sweep import Ends
from router.bench.table import Table

NOT_SURE: Final = "the model that seems the strongest, as no threshold was sure on the fitted rows"
NONE_CHEAPER: Final = "the model that seems the strongest, as none costs less"
FLOOR_KEPT: Final = 0.95


def notes_on(table: Table, between: Ends, free: bool) -> list[str]:
    """What a reader of the figures has to know; `free`: nothing on the judged rows cost anything."""
    notes = []
    if table.costs_from == "names":
        notes.append("no cost columns: each model has one price, from its name")
    elif table.costs_from == "unknown":
        notes.append("no cost columns, and no price is known of some models: savings cannot be told")
    guessed = [model for model in table.models if ModelFacts(model).placed_by == PRICE]
    if guessed:
        notes.append(
            f"placed by price only, as no figures of them are published: {', '.join(guessed)}. "
            "With them the shipped promise is none; --fit is one, or a prior in the router's configuration"
        )
    if free:
        notes.append("all costs are 0: there is nothing to save, so no model is the weak one")
    elif between.weak == between.strong:
        notes.append(
            f"{table.models[between.strong]} answers best and is the cheapest: it is the weak model and the "
            "strong one, so there is no gap to measure and nothing to save"
        )
    if table.unmatched:
        notes.append(f"ignored, as there is no column of that model's answers: {', '.join(table.unmatched)}")
    if table.dropped:
        notes.append(f"{table.dropped} rows were left out, because a value is missing")
    return notes


def doubts_of(floor: dict[str, Any], strong: str) -> list[str]:
    """What the floor's figures have to be read with; `strong`: the best model of the judged rows."""
    notes = []
    if floor["floor_by"] == NOT_SURE:
        notes.append("no threshold keeps the floor for sure on the fitted rows: more of them would help")
    if floor["floor_kept"] < FLOOR_KEPT:
        notes.append(f"the floor was kept in {floor['floor_kept']:.1%} of the resamples only")
    if floor["floor_beside"] != strong:
        notes.append(
            f"the floor is beside {floor['floor_beside']}, which seemed to be the strong model before the "
            f"judged rows were seen; on these {strong} is better, and beside it the floor was kept in "
            f"{floor['floor_kept_beside_best']:.1%} of the resamples"
        )
    return notes
