"""Counters of the router, as plain integers: the hot path adds, `exposition` renders when somebody asks.

Labels are bounded. Models and deployments are names of the configuration or of local servers, never what
a client wrote; past `LABEL_LIMIT` combinations the rest is counted as "other".
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final

from mini_llm.routing.run import OVERTAKEN
from router.observe.record import OTHER, CallRecord

LABEL_LIMIT: Final = 2000
"""Most combinations of labels that one counter keeps."""
SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
GROUPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PARTS: Final = ("cached", "cache_write", "reasoning", "audio_prompt", "audio_completion")
"""Kinds of tokens that prompt and completion contain."""
_parts: Final = attrgetter(*(f"{kind}_tokens" for kind in PARTS))
_NS: Final = 1e-9

Labels = tuple[str, ...]


class Counter:
    """Sums by labels. Not for several threads."""

    __slots__ = ("names", "values")

    def __init__(self, *names: str) -> None:
        self.names = names
        self.values: dict[Labels, int] = {}

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Adds to one combination of labels."""
        values = self.values
        known = values.get(labels)
        if known is None and len(values) >= LABEL_LIMIT:
            labels = (OTHER,) * len(self.names)
            known = values.get(labels)
        values[labels] = (known or 0) + amount


class Histogram:
    """Counts of observations up to each bound, and their sum. Not for several threads."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics:
    """What one router process has done since it started. One event loop adds to it.

    Attributes:
        requests: answered requests; `surface` is empty for what is no paid call.
        attempts: tries at providers, by deployment.
        further: tries after a call's first one: a retry at the same deployment, a fallback to another, or a
            hedge, the second of two that were asked at one time.
        fallbacks: calls that went on to another deployment after this provider had failed.
        opened: how often a breaker opened, by deployment.
        tokens: tokens of charged calls, by model and kind.
        charged_base, lost_base: money in base units, by model.
        seconds: whole duration, by surface; `first_content` until a stream's answer begins, likewise.
        reserve, charge: waits for the two commits of a call, seconds.
        outcomes: paid calls by "ok" or the code of their error; `stream_ends` those of streams alone.
        commit, group: duration and size of the ledger's commits.
        in_flight, streams: requests and streams that are being served.
    """

    def __init__(self) -> None:
        self.requests = Counter("surface", "model", "provider", "status")
        self.outcomes = Counter("surface", "outcome")
        self.attempts = Counter("deployment", "provider", "outcome")
        self.further = Counter("model", "kind")
        self.fallbacks = Counter("provider")
        self.opened = Counter("deployment")
        self.tokens = Counter("model", "kind")
        self.charged_base = Counter("model")
        self.lost_base = Counter("model")
        self.stream_ends = Counter("outcome")
        self.seconds: dict[str, Histogram] = {}
        self.first_content: dict[str, Histogram] = {}
        self.reserve, self.charge = Histogram(SECONDS), Histogram(SECONDS)
        self._commits = threading.Lock()
        self.commit, self.group = Histogram(SECONDS), Histogram(GROUPS)
        self.in_flight = self.streams = 0

    def committed(self, operations: int, seconds: float) -> None:
        """Counts a commit of the ledger, which may be told by two threads."""
        with self._commits:
            self.group.observe(operations)
            self.commit.observe(seconds)

    def began_to_stream(self, record: CallRecord) -> None:
        """Counts a stream whose first content is here."""
        self.streams += 1
        _of(self.first_content, record.surface).observe((time.perf_counter_ns() - record.started_ns) * _NS)

    def count(self, record: CallRecord) -> None:
        """Counts a request that has ended."""
        surface, model = record.surface, record.served or record.model or OTHER
        provider = record.provider or ""
        self.requests.add((surface, model if surface else "", provider, str(record.status)))
        if record.failed:
            self._count_failed(record, record.model or OTHER)
        if record.deployment is not None:
            self.attempts.add((record.deployment, provider, "answered"))
        if surface:
            self.outcomes.add((surface, record.outcome))
            self._count_money(record, model)
        _of(self.seconds, surface).observe((time.perf_counter_ns() - record.started_ns) * _NS)

    def summary(self) -> dict[str, Any]:
        """The sums without histograms, for a person: `{counter: {"label/label": sum}}`."""
        counters = {name: value for name, value in vars(self).items() if isinstance(value, Counter)}
        sums = {
            name: {"/".join(labels): value for labels, value in list(counter.values.items())}
            for name, counter in counters.items()
        }
        return {**sums, "in_flight": self.in_flight, "streams": self.streams}

    def _count_failed(self, record: CallRecord, model: str) -> None:
        asked = [(one.deployment, one.provider) for one in record.failed if one.outcome != OVERTAKEN]
        for attempt in record.failed:
            self.attempts.add((attempt.deployment, attempt.provider, attempt.outcome))
            if attempt.outcome == OVERTAKEN:
                self.further.add((model, "hedge"))
        if record.deployment is not None:
            asked.append((record.deployment, record.provider or ""))
        for before, after in pairwise(asked):
            self.further.add((model, "retry" if after == before else "fallback"))
            if after != before:
                self.fallbacks.add((before[1],))

    def _count_money(self, record: CallRecord, model: str) -> None:
        if record.reserve_ns:
            self.reserve.observe(record.reserve_ns * _NS)
        if record.charge_ns:
            self.charge.observe(record.charge_ns * _NS)
        if record.streaming:
            self.streams -= 1
            self.stream_ends.add((record.outcome,))
        usage = record.usage
        if usage is None:
            return
        self.tokens.add((model, "prompt"), usage.prompt_tokens)
        self.tokens.add((model, "completion"), usage.completion_tokens)
        if any(parts := _parts(usage)):
            for kind, tokens in zip(PARTS, parts, strict=True):
                if tokens:
                    self.tokens.add((model, kind), tokens)
        if record.charge_base:
            self.charged_base.add((model,), record.charge_base)
        if record.lost_base:
            self.lost_base.add((model,), record.lost_base)


def _of(histograms: dict[str, Histogram], surface: str) -> Histogram:
    found = histograms.get(surface)
    if found is None:
        found = histograms[surface] = Histogram(SECONDS)
    return found
