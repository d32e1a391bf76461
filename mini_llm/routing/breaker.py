"""A circuit breaker: what fails again and again is left alone for a while, then tried with few calls."""

from __future__ import annotations

from enum import Enum

from mini_llm.config_routing import BreakerConfig
from mini_llm.routing.window import Window

MOST_DOUBLINGS = 16


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    """Calls pass."""
    OPEN = "open"
    """Calls go elsewhere."""
    HALF_OPEN = "half_open"
    """A few calls pass, to find out."""


class Breaker:
    """Follows the outcomes of one deployment's calls. Its caller brings the time, seconds of one clock.

    ``begin`` gives an era; an outcome counts only in the era in which its call began, so that calls from
    before a change of state do not decide about it.

    Attributes:
        state: as of the last call or outcome.
        until_s: when it is open, from when on it may be probed.
        era: grows with each change of state.
    """

    __slots__ = (
        "_all",
        "_failures",
        "_good",
        "_probed_s",
        "_probes",
        "_row",
        "_trips",
        "era",
        "settings",
        "state",
        "until_s",
    )

    def __init__(self, settings: BreakerConfig) -> None:
        self.settings = settings
        self.state = State.CLOSED
        self.until_s = self._probed_s = 0.0
        self._failures, self._all = Window(settings.window_s), Window(settings.window_s)
        self.era = self._probes = self._good = self._trips = self._row = 0

    def admits(self, now_s: float) -> bool:
        """True if a call may begin: it is closed, or time for one more probe.

        A probe that runs for longer than ``max_open_s`` keeps no other away: a stream lasts for as long as
        its reader likes.
        """
        if self.state is State.CLOSED:
            return True
        if now_s < self.until_s:
            return False
        settings = self.settings
        return self._probes < settings.probes or now_s >= self._probed_s + settings.max_open_s

    def begin(self, now_s: float) -> int:
        """A call begins, admitted or not: a last resort is asked all the same.

        Returns: the era, for its outcome.
        """
        if self.state is State.CLOSED:
            return self.era
        if self.state is State.OPEN and now_s >= self.until_s:
            self._enter(State.HALF_OPEN)
        self._probes += 1
        self._probed_s = now_s
        return self.era

    def succeeded(self, now_s: float, era: int) -> None:
        """A call went well. Enough of them close an open breaker, even before its time."""
        if era != self.era:
            return
        if self.state is State.CLOSED:
            self._all.add(now_s)
            self._row = 0
            return
        self._probes -= 1
        self._good += 1
        if self._good >= self.settings.closes_after:
            self.close()

    def failed(self, now_s: float, era: int) -> bool:
        """A call failed through the deployment's fault.

        Returns: True if that opened the breaker.
        """
        if era != self.era:
            return False
        if self.state is State.CLOSED:
            self._all.add(now_s)
            self._failures.add(now_s)
            self._row += 1
            if not self._too_many(now_s):
                return False
        elif self.state is State.OPEN:
            self._probes -= 1
            self._good = 0
            return False
        self.trip(now_s, self.settings.open_s * 2 ** min(self._trips, MOST_DOUBLINGS))
        return True

    def _too_many(self, now_s: float) -> bool:
        """A deployment that died stands out by its row of failures long before it does in the window."""
        settings, failures = self.settings, self._failures.total(now_s)
        if self._row >= settings.in_a_row:
            return True
        return failures >= settings.failures and failures >= settings.ratio * self._all.total(now_s)

    def gave_up(self, era: int) -> None:
        """A call ended without telling anything about the deployment."""
        if era == self.era and self.state is not State.CLOSED:
            self._probes -= 1

    def answered(self, now_s: float) -> float:
        """Share of the window's calls that were answered, with two more that went well: one failure of one
        says little."""
        calls = self._all.total(now_s) + 2
        return 1.0 - self._failures.total(now_s) / calls

    def trip(self, now_s: float, seconds: float) -> None:
        """Opens it for ``seconds``, at most ``settings.max_open_s``; each time in a row doubles the next."""
        self._enter(State.OPEN)
        self._trips += 1
        self.until_s = now_s + min(seconds, self.settings.max_open_s)

    def close(self) -> None:
        """Lets calls pass again, with a clean record."""
        self._enter(State.CLOSED)
        self._trips = 0
        self._failures.clear()
        self._all.clear()

    def settle(self, settings: BreakerConfig) -> None:
        """Goes on under new settings."""
        self.settings = settings
        self._failures.seconds = self._all.seconds = settings.window_s

    def _enter(self, state: State) -> None:
        self.state = state
        self.era += 1
        self._probes = self._good = self._row = 0
