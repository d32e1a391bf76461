"""What is known about one deployment while the process lives: whether to ask it, and how it has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mini_llm.config_routing import BreakerConfig
from mini_llm.price import Usage
from mini_llm.routing.breaker import Breaker
from mini_llm.routing.latency import Latency
from mini_llm.routing.lengths import AnswerLength
from mini_llm.routing.steering import Steering
from mini_llm.routing.window import Window

MINUTE_S = 60.0
BUSY_RETRY_S = 1.0
"""When to ask again where only calls in flight or a limit per minute stand in the way."""
DRAINED_RETRY_S = 30.0
"""When to ask again where the operator is at work."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked of a deployment: calls at once, requests and tokens per minute; None is any."""

    max_parallel: int | None = None
    rpm: int | None = None
    tpm: int | None = None


STANDARD: Final = BreakerConfig()
UNLIMITED: Final = Limits()


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a deployment is not asked; after ``retry_after_s`` it may be, None if it never will for this."""

    reason: str
    retry_after_s: float | None


class Health:
    """State of one deployment. Times are seconds of the clock that its caller reads.

    Attributes:
        breaker: opens when too many calls fail.
        first: latency until the first content of streams.
        whole: latency of whole answers.
        length: of its answers.
        in_flight: calls that have begun and not ended, streams to their last event.
        wait_until_s: its provider asked for no calls before then.
        drained: the operator wants no new calls to go there.
        stopped: likewise, whatever drains and undrains it: a switch that is thrown elsewhere.
        steering: what a watcher of all deployments asks for this one.
        calls, failures: since the process began; failures are the deployment's faults only.
        answered, limited: likewise: calls that were answered or began to be, and calls that its provider put
            off with a 429.
        waiting: calls that have begun and of which nothing has been heard yet.
    """

    __slots__ = (
        "_requests",
        "_tokens",
        "answered",
        "breaker",
        "calls",
        "drained",
        "failures",
        "first",
        "in_flight",
        "length",
        "limited",
        "limits",
        "steering",
        "stopped",
        "wait_until_s",
        "waiting",
        "whole",
    )

    def __init__(
        self,
        settings: BreakerConfig = STANDARD,
        limits: Limits = UNLIMITED,
        latency_decay_s: float = MINUTE_S,
    ) -> None:
        self.breaker = Breaker(settings)
        self.first, self.whole = Latency(latency_decay_s), Latency(latency_decay_s)
        self.length = AnswerLength()
        self.limits = limits
        self.drained = self.stopped = False
        self.steering = Steering()
        self.in_flight = self.waiting = self.calls = self.failures = self.answered = self.limited = 0
        self.wait_until_s = 0.0
        self._requests, self._tokens = Window(MINUTE_S), Window(MINUTE_S)

    def hindrance(self, now_s: float) -> Hindrance | None:
        """Why no call may begin now, whatever else there is; None if one may.

        An open breaker is no such reason: it only says to ask others first. Nor is a pause that the provider
        asked for, which one may wait for.
        """
        limits = self.limits
        if self.stopped:
            return Hindrance("is stopped by the operator", DRAINED_RETRY_S)
        if self.drained:
            return Hindrance("is drained", DRAINED_RETRY_S)
        if limits.max_parallel is not None and self.in_flight >= limits.max_parallel:
            return Hindrance(f"serves {self.in_flight} calls already", BUSY_RETRY_S)
        if limits.rpm is not None and self._requests.total(now_s) >= limits.rpm:
            return Hindrance(f"has had its {limits.rpm} requests of this minute", BUSY_RETRY_S)
        if limits.tpm is not None and self._tokens.total(now_s) >= limits.tpm:
            return Hindrance(f"has had its {limits.tpm} tokens of this minute", BUSY_RETRY_S)
        return None

    def admits(self, now_s: float) -> bool:
        """True if it is asked in its turn; else only when all others fail."""
        return self.breaker.admits(now_s) and not self.steering.rests(now_s)

    @property
    def back_s(self) -> float:
        """When it may be asked in its turn again, of one that is not."""
        return max(self.breaker.until_s, self.steering.rest_until_s)

    def begin(self, now_s: float) -> int:
        """A call begins.

        Returns: what those must be told who say how it ends.
        """
        self.in_flight += 1
        self.waiting += 1
        self.calls += 1
        if self.limits.rpm is not None:
            self._requests.add(now_s)
        return self.breaker.begin(now_s)

    def succeeded(self, now_s: float, era: int, seconds: float, stream: bool) -> None:
        """The call was answered, or its stream has begun, after ``seconds``.

        Of a stream the breaker hears when it is over.
        """
        self.in_flight -= 1
        self.waiting -= 1
        self.answered += 1
        if not stream:
            self.breaker.succeeded(now_s, era)
        self.latency(stream).measured(now_s, seconds)

    def failed(self, now_s: float, era: int) -> bool:
        """The call failed through the deployment's fault.

        Returns: True if that opened the breaker.
        """
        self.in_flight -= 1
        self.waiting -= 1
        self.failures += 1
        return self.breaker.failed(now_s, era)

    def broke_off(self, now_s: float, era: int) -> bool:
        """A stream that had begun failed; its call has counted as answered.

        Returns: True if that opened the breaker.
        """
        self.failures += 1
        return self.breaker.failed(now_s, era)

    def gave_up(self, era: int) -> None:
        """The call ended without telling anything about the deployment."""
        self.in_flight -= 1
        self.waiting -= 1
        self.calls -= 1
        self.breaker.gave_up(era)

    def latency(self, stream: bool) -> Latency:
        """How fast it is with such calls."""
        return self.first if stream else self.whole

    def wait(self, now_s: float, seconds: float) -> None:
        """Its provider asked for a pause."""
        self.wait_until_s = max(self.wait_until_s, now_s + seconds)

    def paused_s(self, now_s: float) -> float:
        """What is left of the pause that its provider asked for, seconds."""
        return max(self.wait_until_s - now_s, 0.0)

    def used(self, now_s: float, usage: Usage, choices: int, cap: int | None) -> None:
        """An answer's tokens, which count towards the limit per minute and tell how long answers are.

        Args:
            now_s: when it ended.
            usage: all of its tokens.
            choices: answers that it consists of.
            cap: tokens that each of them was allowed, None for any: one cut short tells nothing.
        """
        written = usage.completion_tokens // choices
        if written and (cap is None or written < cap):
            self.length.measured(written)
        if self.limits.tpm is not None:
            self._tokens.add(now_s, usage.prompt_tokens + usage.completion_tokens)

    def settle(self, settings: BreakerConfig, limits: Limits, latency_decay_s: float) -> None:
        """Goes on under new settings."""
        self.breaker.settle(settings)
        self.first.decay_s = self.whole.decay_s = latency_decay_s
        self.limits = limits

    def reset(self) -> None:
        """Forgets failures, pauses and steering, so that the deployment is asked again at once."""
        self.wait_until_s = 0.0
        self.steering.release()
        self.breaker.close()
