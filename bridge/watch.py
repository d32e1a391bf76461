"""What `vibes settle` does around the pipeline: settling for ever, alerts, health, a last word."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from bridge.errors import (
    BatchTaken,
    BridgeError,
    ContractReverted,
    LeadershipLost,
    RpcRefused,
    RpcUnavailable,
    SettlementFailed,
    SettlementPaused,
)
from bridge.health import CODES, problems
from bridge.pipeline import FIRST_POLL_S, LONGEST_POLL_S, PROOF_POLL_S, Pipeline
from bridge.prover import ProverFailed
from bridge.proving.engines import SchedulerUnavailable
from bridge.tables import BatchStep

WAITED_OUT: Final[dict[type[BridgeError], str]] = {
    BatchTaken: "batch_taken",
    ContractReverted: "settlement_refused",
    ProverFailed: "prover_failed",
    RpcRefused: "node_refused",
    RpcUnavailable: "node_unreachable",
    SchedulerUnavailable: "prover_failed",
    SettlementFailed: "settlement_refused",
}
"""What may be over the next time that a watching bridge looks, and the alert that it raises until then."""

STOPPED: Final = "stopped"
"""Alert of an error that ends the bridge; cleared by the next one that gets through a turn."""

PAUSED: Final = "paused"
"""The health rule's alert, which settling once raises with what it knows of the pause."""

HEALTH_S: Final = 10
"""Between two looks at the health rules, seconds."""

PUBLISH_S: Final = 2
"""The least between two of them when a batch got further: what is published is looked at."""


def watch(pipeline: Pipeline, interval_s: int, report: Callable[[str], None]) -> None:
    """Settles for ever: at once while there is work, else every `interval_s` seconds.

    An outage, a refusal or a transaction that is not mined is waited out, with an alert; an error that shows
    that node, ledger or store are not to be trusted raises an alert and ends it.
    """
    with last_word(pipeline, report):
        _watch(pipeline, interval_s, report)


@contextmanager
def last_word(pipeline: Pipeline, report: Callable[[str], None]) -> Iterator[None]:
    """Makes an error that ends the bridge an alert, in its store and in what it published last."""
    try:
        yield
    except Exception as error:
        try:
            if isinstance(error, SettlementPaused):
                pipeline.alerts.renew(PAUSED, str(error))
            else:
                pipeline.alerts.renew(STOPPED, f"{type(error).__name__}: {error}")
            if not isinstance(error, LeadershipLost):  # else another one publishes by now
                pipeline.publish_end()
        except Exception as second:
            report(f"no alert of it could be left: {type(second).__name__}: {second}")
        raise


def _watch(pipeline: Pipeline, interval_s: int, report: Callable[[str], None]) -> None:
    pipeline.warm_up()
    pause_s, looked_at = FIRST_POLL_S, float("-inf")
    while True:
        before = pipeline.steps()
        trouble: dict[str, str] = {}
        try:
            pipeline.turn()
        except tuple(WAITED_OUT) as error:
            trouble = {WAITED_OUT[type(error)]: str(error)}
            report(f"{error}; trying again in {interval_s} s")
        after = pipeline.steps()
        quiet_s = time.monotonic() - looked_at
        if trouble or quiet_s >= HEALTH_S or (before != after and quiet_s >= PUBLISH_S):
            check_health(pipeline, trouble)
            looked_at = float("-inf") if trouble else time.monotonic()
        if trouble or not after:
            time.sleep(interval_s)
        elif before != after:
            pause_s = FIRST_POLL_S
        elif BatchStep.SEALED in after.values():
            pipeline.wait_for_proof(PROOF_POLL_S)
        else:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_POLL_S)


def check_health(pipeline: Pipeline, trouble: dict[str, str]) -> None:
    """Opens an alert for everything that is wrong now, clears those that are over, and publishes the status.

    trouble: detail by code of what just went wrong.
    """
    status = pipeline.status()
    found = problems(status, pipeline.settings.health) | trouble
    pipeline.alerts.show(found, managed={*CODES, *WAITED_OUT.values(), STOPPED})
    pipeline.publish(status)
