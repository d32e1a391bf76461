"""Prompts that are sent again: a person's says that the answer was no good, a machine's says nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

SOON_S: Final = 120.0
"""A prompt that is sent again so soon after its answer was not answered well."""
SETTLED_S: Final = 2 * SOON_S
"""After so long without another it is known how often a prompt was sent: time to ask and to be answered."""
REMEMBERED_S: Final = 3600.0
"""Whoever sends a prompt again within this has had the outcome of it."""
MOST_SENT: Final = 3
"""Who sends a prompt more often than that is a machine: a probe, a test, one that takes the best of many."""
MOST_PROMPTS: Final = 10_000
"""Prompts that are watched, and as many that are remembered."""

T = TypeVar("T")


@dataclass(slots=True)
class _Watched(Generic[T]):
    first: T
    ended_s: float
    sent: int = 1
    again: bool = False
    beside: bool = False


class Repeats(Generic[T]):
    """Watches prompts by their fingerprints, in bounded memory. All times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._watched: OrderedDict[bytes, _Watched[T]] = OrderedDict()  # the longest silent one first
        self._settled: OrderedDict[bytes, float] = OrderedDict()

    @property
    def watching(self) -> bool:
        """Whether there are prompts of which it is not known yet."""
        return bool(self._watched)

    def sent(self, mark: bytes, what: T, began_s: float, ended_s: float) -> None:
        """Takes in a call that was answered.

        Args:
            mark: fingerprint of its account and prompt.
            what: is given back by `outcomes` if it is the first one of the prompt.
            began_s, ended_s: when it came, and when it was answered.
        """
        if (told_s := self._settled.get(mark)) is not None:
            if began_s - told_s <= REMEMBERED_S:
                self._settled[mark] = max(told_s, ended_s)
                self._settled.move_to_end(mark)
                return
            del self._settled[mark]
        seen = self._watched.get(mark)
        if seen is None:
            self._watched[mark] = _Watched(what, ended_s)
        else:
            seen.sent += 1
            seen.beside |= began_s < seen.ended_s
            seen.again |= began_s - seen.ended_s <= SOON_S
            seen.ended_s = max(seen.ended_s, ended_s)
            self._watched.move_to_end(mark)
        _cut(self._watched)

    def outcomes(self, now_s: float) -> Iterator[tuple[T, bool]]:
        """First calls of prompts of which it is known by now, and whether they were answered well.

        None of a prompt that was sent too often, or while an answer to it was still under way.
        """
        while self._watched:
            mark, seen = next(iter(self._watched.items()))
            if now_s - seen.ended_s < SETTLED_S:
                break
            del self._watched[mark]
            self._settled[mark] = seen.ended_s
            _cut(self._settled)
            if seen.sent <= MOST_SENT and not seen.beside:
                yield seen.first, not seen.again
        while self._settled and now_s - next(iter(self._settled.values())) > REMEMBERED_S:
            self._settled.popitem(last=False)


def _cut(table: OrderedDict[bytes, Any]) -> None:
    if len(table) > MOST_PROMPTS:
        table.popitem(last=False)
