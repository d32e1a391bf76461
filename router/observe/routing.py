"""What routing tells: breakers to the metrics, the times of each try to the record of its call."""

from __future__ import annotations

import time

from mini_llm.deployment import Deployment
from mini_llm.routing.events import Listener
from mini_llm.routing.run import OVERTAKEN
from router.observe.metrics import Metrics
from router.observe.record import Try, current

_NS_PER_S = 1_000_000_000


class RouteListener(Listener):
    """Listens to routing in the tasks that serve calls."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def attempted(self, deployment: Deployment, outcome: str, seconds: float) -> None:
        """See `Listener`."""
        record = current()
        if record.span is not None:  # nobody else reads it
            now_ns = time.perf_counter_ns()
            began_ns = now_ns - int(seconds * _NS_PER_S)
            record.tries.append(Try(deployment, outcome, began_ns, now_ns))

    def stopped(self, deployment: Deployment, seconds: float) -> None:
        """See `Listener`."""
        self.attempted(deployment, OVERTAKEN, seconds)

    def opened(self, deployment: Deployment, seconds: float) -> None:
        """See `Listener`."""
        self._metrics.opened.add((deployment.id,))
