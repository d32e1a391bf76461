"""What does not fit a schema, in words that say what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mini_llm.config_lines import Place

_NUMBERS = (int, float)


def problems_of(error: ValidationError, schema: type[BaseModel]) -> list[tuple[Place, str]]:
    """Each place that does not fit, and what to do about it; no value is repeated."""
    found = error.errors(include_url=False, include_context=False)
    return [(item["loc"], _words(item, schema)) for item in found]


def _words(item: Mapping[str, Any], schema: type[BaseModel]) -> str:
    kind, place = item["type"], item["loc"]
    if kind == "extra_forbidden":
        known = sorted({name for model in _models(schema, place[:-1]) for name in model.model_fields})
        near = get_close_matches(str(place[-1]), known, n=1)
        return f"there is no such field; did you mean {near[0]!r}?" if near else _no_field(known)
    if kind == "missing":
        return "is missing"
    if kind == "string_type" and isinstance(item["input"], _NUMBERS) and not isinstance(item["input"], bool):
        return "is a number but must be a string: put it in quotes"
    return str(item["msg"]).removeprefix("Value error, ")  # pydantic's, of what a validator says


def _no_field(known: list[str]) -> str:
    return f"there is no such field; there is: {', '.join(known)}" if known else "there is no such field"


def _models(schema: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The models that may stand at a place."""
    found = [schema]
    for step in place:
        fields = [model.model_fields[str(step)] for model in found if str(step) in model.model_fields]
        # a position in a list, a name in a mapping or a kind of a union leads to the same model
        found = [model for field in fields for model in _inside(field.annotation)] or found
    return found


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation, such as `tuple[Model, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _inside(part)
