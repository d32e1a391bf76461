"""Which accounts go into the next batch: the longest waiting first, and neighbours together.

A circuit of n slots proves the upper part of the tree once per region that it touches, for at most
`max_regions(n)` regions. Half of them go to those who wait longest, so that nobody waits for ever; the rest
to the regions where most wait, so that batches fill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.rollup.batch import Slot, max_regions, region_of


@dataclass(frozen=True)
class Candidate:
    """An account with something to settle. since: unix seconds of the oldest part of it."""

    slot: Slot
    since: int


@dataclass(frozen=True)
class Choice:
    """slots: by index. size: the smallest batch that holds them. full: nothing more would have fitted."""

    slots: tuple[Slot, ...]
    size: int
    full: bool


def choose(found: Iterable[Candidate], sizes: Sequence[int]) -> Choice | None:
    """Chooses among everything that can be settled; None if that is nothing.

    sizes: batch sizes that can be proved and settled, any order, at least one.
    """
    waiting = sorted(found, key=lambda one: (one.since, one.slot.idx))
    if not waiting:
        return None
    largest = max(sizes)
    regions = _regions([region_of(one.slot.idx) for one in waiting], max_regions(largest))
    chosen = [one.slot for one in waiting if region_of(one.slot.idx) in regions][:largest]
    touched = len({region_of(slot.idx) for slot in chosen})
    size = min(size for size in sizes if size >= len(chosen) and max_regions(size) >= touched)
    full = len(chosen) == largest or len(chosen) < len(waiting)
    return Choice(tuple(sorted(chosen, key=lambda slot: slot.idx)), size, full)


def _regions(waiting: Sequence[int], limit: int) -> set[int]:
    """At most `limit` of the regions that wait, given once per waiting account, oldest first."""
    oldest = list(dict.fromkeys(waiting))
    if len(oldest) <= limit:
        return set(oldest)
    by_age = oldest[: (limit + 1) // 2]
    by_crowd = [region for region, _ in Counter(waiting).most_common() if region not in by_age]
    return set(by_age + by_crowd[: limit - len(by_age)])
