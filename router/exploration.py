"""Exploration as the conductor sees and steers it: lots cost money, and the operator may have a budget."""

from __future__ import annotations

from router.conductor.facts import Spending
from router.following import Follower
from router.pacing import Pacing


class Exploration:
    """See `router.conductor.loop.Exploring`."""

    def __init__(self, follower: Follower, pacing: Pacing) -> None:
        self._follower, self._pacing = follower, pacing

    def spending(self) -> Spending | None:
        """How the operator's budget stands, and what is drawn by lot."""
        left = self._pacing.operators_left()
        return None if left is None else Spending(left, self._follower.exploring, self._follower.percent)

    def pause(self, seconds: float) -> None:
        """Draws no lots for so long."""
        self._follower.pause(seconds)
