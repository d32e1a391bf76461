"""Reading the JSON of others: what is not of the kind that is looked for counts as absent."""

from __future__ import annotations

from typing import Any


def member(value: object, name: str) -> Any:
    """A member of an object, None if there is none."""
    return value.get(name) if isinstance(value, dict) else None


def at(value: object, path: str) -> Any:
    """The value at a dotted path of nested objects, None if there is none."""
    for step in path.split("."):
        value = member(value, step)
    return value


def fields_of(value: object) -> dict[str, Any]:
    """An object; empty if it is none."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """A list; empty if it is none."""
    return value if isinstance(value, list) else []


def objects_in(value: object) -> list[dict[str, Any]]:
    """The objects in a list."""
    return [one for one in listed(value) if isinstance(one, dict)]
