"""Rate limits of API keys: requests and tokens in any 60 seconds, calls at one time.

What holds. Within one worker each limit is exact (tokens: no call begins that the estimate of its prompt does
not leave room for; what it then writes counts when it is known). Workers tell one another once a second
through the database what they served in the last minute, so together they exceed a limit by at most what the
others let in since they last told: a second's worth, or two if a worker is busy.
The clock is monotonic: setting the machine's clock opens no gate.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mini_llm.request import Request
from router.people.errors import RateLimited

WINDOW_S: Final = 60
BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Rates:
    """A key's limits; None does not limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel: int | None = None

    @property
    def limited(self) -> bool:
        """True if there is any limit."""
        return not (self.requests_per_minute is self.tokens_per_minute is self.parallel is None)


@dataclass(frozen=True, slots=True)
class Use:
    """What one worker served of one key: in the last minute, and now."""

    key_id: str
    requests: int
    tokens: int
    running: int


def prompt_estimate(request: Request) -> int:
    """About how many tokens a request is, for its limit; images and files count when they are reported."""
    return request.size_bytes // BYTES_PER_TOKEN + 1 if request.text_only else 1


class Window:
    """A sum over the last 60 seconds, kept by the second: a count leaves after 60 to 61 seconds."""

    __slots__ = ("_seconds", "total")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()  # [second, count], oldest first
        self.total = 0

    def roll(self, second: int) -> int:
        """Forgets what is older than a minute and returns the sum."""
        while self._seconds and self._seconds[0][0] < second - WINDOW_S:
            self.total -= self._seconds.popleft()[1]
        return self.total

    def add(self, second: int, count: int) -> None:
        """Counts; seconds never run backwards."""
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += count
        else:
            self._seconds.append([second, count])
        self.total += count

    def take_back(self, second: int, count: int) -> None:
        """Undoes a count of that second, if it is still in the window."""
        for entry in reversed(self._seconds):
            if entry[0] == second:
                entry[1] -= count
                self.total -= count
                return

    def wait_s(self, second: int, excess: int) -> int:
        """Seconds until at least `excess` of the sum has left the window, at most a minute and a second."""
        for at, count in self._seconds:
            excess -= count
            if excess <= 0:
                return max(1, at + WINDOW_S + 1 - second)
        return WINDOW_S + 1


class Passage:
    """One call on its way; without limits it costs nothing. Leave it once, however the call ends."""

    __slots__ = ("_gate", "_held", "_limiter", "_open", "_second", "headers")

    def __init__(self, limiter: Limiter, gate: _Gate | None, headers: dict[str, str]) -> None:
        self._limiter, self._gate = limiter, gate
        self._held, self._second, self._open = 0, 0, gate is not None
        self.headers = headers

    def count(self, tokens: int) -> None:
        """Holds an estimate of the call's tokens until it is left.

        Raises:
            RateLimited: the limit leaves no room for it.
        """
        if self._gate is not None:
            second = self._limiter.second()
            self._gate.hold_tokens(second, tokens)
            self._held, self._second = tokens, second
            self.headers = self._gate.headers(second)

    def leave(self, tokens: int = 0) -> None:
        """Ends the call, which read and wrote so many tokens; what comes later is ignored."""
        if self._open and self._gate is not None:
            self._open = False
            self._gate.running -= 1
            self._gate.tokens.take_back(self._second, self._held)
            self._gate.tokens.add(self._limiter.second(), tokens)


class Limiter:
    """Counts the calls of this worker, and knows what the others told of theirs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gates: dict[str, _Gate] = {}
        self._free = Passage(self, None, {})

    def second(self) -> int:
        """The clock, in whole seconds."""
        return int(self._clock())

    def enter(self, key_id: str | None, rates: Rates) -> Passage:
        """Lets a call in.

        Raises:
            RateLimited: one of the limits is reached.
        """
        if key_id is None or not rates.limited:
            return self._free
        gate = self._gates.get(key_id)
        if gate is None:
            gate = self._gates[key_id] = _Gate()
        gate.rates = rates
        second = self.second()
        gate.let_in(second)
        return Passage(self, gate, gate.headers(second))

    def uses(self) -> list[Use]:
        """What this worker served, and only keys of which it served anything; the others are forgotten."""
        second = self.second()
        uses = []
        for key_id, gate in list(self._gates.items()):
            use = Use(key_id, gate.requests.roll(second), gate.tokens.roll(second), gate.running)
            if use.requests or use.tokens or use.running:
                uses.append(use)
            else:
                del self._gates[key_id]
        return uses

    def others(self, uses: Iterable[Use]) -> None:
        """Takes note of what the other workers served."""
        sums: dict[str, list[int]] = {}
        for use in uses:
            into = sums.setdefault(use.key_id, [0, 0, 0])
            for at, value in enumerate((use.requests, use.tokens, use.running)):
                into[at] += value
        for key_id, gate in self._gates.items():
            gate.elsewhere = tuple(sums.pop(key_id, (0, 0, 0)))
        for key_id, values in sums.items():
            gate = self._gates[key_id] = _Gate()
            gate.elsewhere = tuple(values)


class _Gate:
    """One key in this worker; `elsewhere` is (requests, tokens, running) of the other workers."""

    __slots__ = ("elsewhere", "rates", "requests", "running", "tokens")

    def __init__(self) -> None:
        self.requests, self.tokens, self.running = Window(), Window(), 0
        self.elsewhere: tuple[int, ...] = (0, 0, 0)
        self.rates = Rates()

    def let_in(self, second: int) -> None:
        rates = self.rates
        if rates.parallel is not None and self.running + self.elsewhere[2] >= rates.parallel:
            self._refuse("parallel", rates.parallel, second, 1)
        self._check("requests", rates.requests_per_minute, self.requests, self.elsewhere[0], 1, second)
        self._check("tokens", rates.tokens_per_minute, self.tokens, self.elsewhere[1], 1, second)
        self.requests.add(second, 1)
        self.running += 1

    def hold_tokens(self, second: int, count: int) -> None:
        limit = self.rates.tokens_per_minute
        if limit is not None and count > limit:
            self._refuse("tokens", limit, second, None)
        self._check("tokens", limit, self.tokens, self.elsewhere[1], count, second)
        self.tokens.add(second, count)

    def headers(self, second: int) -> dict[str, str]:
        """As OpenAI tells its limits."""
        told: dict[str, str] = {}
        for name, limit, window, elsewhere in (
            ("requests", self.rates.requests_per_minute, self.requests, self.elsewhere[0]),
            ("tokens", self.rates.tokens_per_minute, self.tokens, self.elsewhere[1]),
        ):
            if limit is not None:
                used = window.roll(second)
                told[f"x-ratelimit-limit-{name}"] = str(limit)
                told[f"x-ratelimit-remaining-{name}"] = str(max(0, limit - used - elsewhere))
                told[f"x-ratelimit-reset-{name}"] = f"{window.wait_s(second, used) if used else 0}s"
        return told

    def _check(
        self, what: str, limit: int | None, window: Window, elsewhere: int, count: int, second: int
    ) -> None:
        if limit is not None and window.roll(second) + elsewhere + count > limit:
            excess = window.total + elsewhere + count - limit
            self._refuse(what, limit, second, window.wait_s(second, excess))

    def _refuse(self, what: str, limit: int, second: int, retry_s: int | None) -> None:
        raise RateLimited(what, limit, retry_s, self.headers(second))
