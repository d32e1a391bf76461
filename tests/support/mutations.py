"""Changes to one value of a circuit's inputs at a time."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any

from mini_llm.wallet.field import P

Path = tuple[Any, ...]
"""Name of an input and the positions in its nested lists."""


def scalar_paths(inputs: Mapping[str, Any]) -> list[Path]:
    """Where each single value of the inputs lies."""

    def below(value: Any, path: Path) -> Iterator[Path]:
        if isinstance(value, list):
            for position, part in enumerate(value):
                yield from below(part, (*path, position))
        else:
            yield path

    return [path for name, value in inputs.items() for path in below(value, (name,))]


def with_changed(inputs: Mapping[str, Any], path: Path, rng: random.Random) -> dict[str, Any]:
    """A copy of the inputs in which one value is another field element: a neighbour or any."""
    changed: Any = copy.deepcopy(dict(inputs))
    *parents, last = path
    container = changed
    for step in parents:
        container = container[step]
    container[last] = (container[last] + rng.choice((1, P - 1, rng.randrange(1, P)))) % P
    result: dict[str, Any] = changed
    return result
