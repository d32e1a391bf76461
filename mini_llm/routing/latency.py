"""How fast a deployment has been lately."""

from __future__ import annotations

import math
from collections import deque

FORGET_AFTER = 5
"""A figure that is older than so many times its decay counts as unmeasured: one call finds out anew."""
RECENT = 64
"""Measurements of which percentiles are taken."""


class Latency:
    """A mean that forgets: a measurement weighs e times less for each ``decay_s`` seconds of its age."""

    __slots__ = ("_at_s", "_mean_s", "_missed_s", "_recent", "decay_s")

    def __init__(self, decay_s: float) -> None:
        self.decay_s = decay_s
        self._mean_s: float | None = None
        self._at_s = 0.0
        self._missed_s: float | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)

    def measured(self, now_s: float, seconds: float) -> None:
        """Takes a measurement."""
        self._recent.append(seconds)
        if self._mean_s is None or now_s - self._at_s > FORGET_AFTER * self.decay_s:
            self._mean_s = seconds
        else:
            # Many calls within a moment must not drown all that was before: each counts as some age at least.
            kept = math.exp(-max(now_s - self._at_s, self.decay_s / RECENT) / self.decay_s)
            self._mean_s = self._mean_s * kept + seconds * (1.0 - kept)
        self._at_s = now_s

    def missed(self, now_s: float) -> None:
        """A call came to nothing that could have been measured."""
        self._missed_s = now_s

    def missed_lately(self, now_s: float) -> bool:
        """One did within the last ``decay_s`` seconds."""
        return self._missed_s is not None and now_s - self._missed_s < self.decay_s

    def mean_s(self, now_s: float) -> float | None:
        """The mean, None if there is none that still says something."""
        if self._mean_s is None or now_s - self._at_s > FORGET_AFTER * self.decay_s:
            return None
        return self._mean_s

    def percentile_s(self, percent: int) -> float | None:
        """The latency that ``percent`` of the last measurements do not exceed; None before there are some."""
        if len(self._recent) < RECENT // 4:
            return None
        return sorted(self._recent)[(len(self._recent) - 1) * percent // 100]
