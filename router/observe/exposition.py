"""The counters in Prometheus' text format; imported at the first scrape, so nobody pays for it unasked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from router.observe.gauges import Gauges
from router.observe.metrics import Counter, Histogram, Metrics

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


def render(metrics: Metrics, gauges: Gauges) -> bytes:
    """Everything in text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Once(_families(metrics, gauges)))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(metrics: Metrics, gauges: Gauges) -> Iterator[Metric]:
    yield _counter(
        "vibes_requests", "Answered requests; surface is empty for no paid call.", metrics.requests
    )
    yield _counter("vibes_calls", "Paid calls by outcome: ok, or the error's code.", metrics.outcomes)
    yield _counter("vibes_upstream_attempts", "Tries at providers by outcome.", metrics.attempts)
    yield _counter("vibes_further_attempts", "Retries, fallbacks and hedges.", metrics.further)
    yield _counter("vibes_fallbacks", "Calls that went elsewhere after a provider failed.", metrics.fallbacks)
    yield _counter("vibes_breaker_opened", "How often breakers opened.", metrics.opened)
    yield _counter("vibes_tokens", "Tokens of charged calls.", metrics.tokens)
    yield _counter("vibes_charged_base", "Charges in base units of VIBES.", metrics.charged_base)
    yield _counter("vibes_lost_base", "Used and not charged, base units of VIBES.", metrics.lost_base)
    yield _counter("vibes_streams_ended", "Streams by outcome.", metrics.stream_ends)
    yield _histogram("vibes_request_seconds", "Duration to the last byte.", _by_surface(metrics.seconds))
    first = _by_surface(metrics.first_content)
    yield _histogram("vibes_first_content_seconds", "Time until a stream's first content.", first)
    yield _histogram("vibes_reserve_seconds", "Wait for the commit before a call.", {(): metrics.reserve})
    yield _histogram("vibes_charge_seconds", "Wait for the commit after a call.", {(): metrics.charge})
    yield _histogram("vibes_ledger_commit_seconds", "Duration of commits.", {(): metrics.commit})
    yield _histogram("vibes_ledger_group_size", "Operations in one commit.", {(): metrics.group})
    yield GaugeMetricFamily("vibes_requests_in_flight", "Requests being served.", metrics.in_flight)
    yield GaugeMetricFamily("vibes_streams_in_flight", "Streams being served.", metrics.streams)
    yield GaugeMetricFamily("vibes_ready", "1 if the router takes calls.", int(gauges.ready))
    yield GaugeMetricFamily(
        "vibes_config_refused", "1 if the configuration file is not in force.", int(gauges.config_refused)
    )
    yield GaugeMetricFamily(
        "vibes_ledger_queue_depth", "Operations waiting for a commit.", gauges.queue_depth
    )
    many_or_long = "Calls that were not looked at: too many, or too long."
    yield _labelled(CounterMetricFamily, "vibes_dropped", many_or_long, ("wanted",), gauges.dropped)
    one = ("deployment",)
    states = "0 closed, 1 half open, 2 open."
    yield _labelled(GaugeMetricFamily, "vibes_breaker_state", states, one, gauges.breakers)
    until = "Until its provider wants calls again."
    yield _labelled(GaugeMetricFamily, "vibes_deployment_paused_seconds", until, one, gauges.pauses)
    part = "Part of the calls for a new deployment."
    yield _labelled(GaugeMetricFamily, "vibes_rollout_percent", part, ("model", *one), gauges.rollouts)


def _by_surface(parts: Mapping[str, Histogram]) -> Mapping[tuple[str, ...], Histogram]:
    return {("surface", name): histogram for name, histogram in list(parts.items())}


def _counter(name: str, text: str, counter: Counter) -> Metric:
    return _labelled(CounterMetricFamily, name, text, counter.names, counter.values)


def _labelled(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    text: str,
    labels: Sequence[str],
    values: Mapping[Any, float],
) -> Metric:
    """A family with values by one label, or by a tuple of them."""
    family = kind(name, text, labels=labels)
    for found, value in list(values.items()):
        family.add_metric((found,) if isinstance(found, str) else found, value)
    return family


def _histogram(name: str, text: str, parts: Mapping[tuple[str, ...], Histogram]) -> Metric:
    label_names = next(iter(parts), ())[:1]
    family = HistogramMetricFamily(name, text, labels=label_names)
    for label, histogram in parts.items():
        below, buckets = 0, []
        for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
            below += count
            buckets.append((str(bound), below))
        family.add_metric(label[1:], buckets, histogram.total)
    return family
