"""Counts of the recent past, in constant memory and time."""

from __future__ import annotations


class Window:
    """How much was counted within the last ``seconds``.

    Two buckets stand for the past: the current one counts in full, the one before by the part of it that the
    window still covers, as if its counts had come evenly. So the total is exact to one bucket.
    """

    __slots__ = ("_before", "_begins_s", "_current", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._begins_s = 0.0
        self._current = self._before = 0

    def add(self, now_s: float, count: int = 1) -> None:
        """Counts."""
        if now_s - self._begins_s >= self.seconds:
            self._turn(now_s)
        self._current += count

    def total(self, now_s: float) -> float:
        """The count of the last ``seconds``."""
        if now_s - self._begins_s >= self.seconds:
            self._turn(now_s)
        covered = 1.0 - (now_s - self._begins_s) / self.seconds
        return self._current + self._before * covered

    def clear(self) -> None:
        """Forgets everything."""
        self._current = self._before = 0

    def _turn(self, now_s: float) -> None:
        """Begins a new bucket; what is older than one whole window is forgotten."""
        adjoins = now_s - self._begins_s < 2 * self.seconds
        self._before = self._current if adjoins else 0
        self._begins_s = self._begins_s + self.seconds if adjoins else now_s
        self._current = 0
