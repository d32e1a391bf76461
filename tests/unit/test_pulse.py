"""The last minute as two looks at the counters tell it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from mini_llm.price import Usage
from mini_llm.routing.plan import Attempt
from router.observe.metrics import SECONDS, Metrics
from router.observe.pulse import ProviderPulse, between, look, quantile
from router.observe.record import CallRecord


def call(*failed: tuple[str, str, str], by: str | None = "east", outcome: str = "ok") -> CallRecord:
    record = CallRecord("r", surface="chat", status=200, outcome=outcome, model="m")
    record.failed = tuple(Attempt(deployment, provider, kind, 1) for deployment, provider, kind in failed)
    record.deployment, record.provider = (None, None) if by is None else (f"{by}/m", by)
    record.usage = None if by is None else Usage(7, 3)
    return record


def test_only_what_came_since_the_first_look_counts() -> None:
    metrics = Metrics()
    metrics.count(call(("west/m", "west", "UpstreamTimeout")))
    first = look(metrics)
    for record in (
        call(),
        call(("west/m", "west", "UpstreamTimeout"), ("west/m", "west", "UpstreamFailed")),
        call(("west/m", "west", "Hedged")),
        call(("west/m", "west", "UpstreamFailed"), by=None, outcome="upstream_failed"),
    ):
        metrics.count(record)
    metrics.count(CallRecord("page", status=200))  # no paid call
    pulse = between(first, replace(look(metrics), at_s=first.at_s + 60))
    assert (pulse.span_s, pulse.calls, pulse.refused, pulse.tokens) == (60, 4, 1, 30)
    assert pulse.providers == (ProviderPulse("east", 3, 0, 0), ProviderPulse("west", 3, 3, 1))
    assert pulse.first_p50_s is None
    idle = between(look(metrics), look(metrics))
    assert (idle.calls, idle.p50_s, idle.providers) == (0, None, ())


@pytest.mark.parametrize("percent", [50, 99])
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(percent: int) -> None:
    rng = random.Random(percent)
    for size in (1, 2, 99, 100, 1_000):
        values = sorted(rng.choice((0.0003, 0.004, 0.07, 0.7, 8.0, 500.0)) for _ in range(size))
        counts = [0] * (len(SECONDS) + 1)
        for value in values:
            counts[next((at for at, bound in enumerate(SECONDS) if value <= bound), len(SECONDS))] += 1
        exact = values[-(-size * percent // 100) - 1]
        found = quantile(counts, percent)
        assert found is not None
        at = next((at for at, bound in enumerate(SECONDS) if exact <= bound), len(SECONDS))
        low = SECONDS[at - 1] if at else 0.0
        assert low <= found <= (SECONDS[at] if at < len(SECONDS) else SECONDS[-1])
    assert quantile([0] * (len(SECONDS) + 1), percent) is None
