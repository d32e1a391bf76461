"""Settling for ever: what `vibes settle --watch` does between and around the turns of the pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.errors import BatchTaken, ContractReverted, RpcRefused, RpcUnavailable, SettlementFailed
from bridge.pipeline import FIRST_POLL_S, LONGEST_POLL_S, PROOF_POLL_S, Pipeline
from bridge.prover import ProverFailed
from bridge.proving.engines import SchedulerUnavailable
from bridge.tables import BatchStep

WAITED_OUT = (
    BatchTaken,
    ContractReverted,
    ProverFailed,
    RpcRefused,
    RpcUnavailable,
    SchedulerUnavailable,
    SettlementFailed,
)
"""What may be over the next time that a watching bridge looks."""


def watch(pipeline: Pipeline, interval_s: int, report: Callable[[str], None]) -> None:
    """Settles for ever: at once while there is work, else every `interval_s` seconds.

    An outage, a refusal or a transaction that is not mined is waited out; an error that shows that node,
    ledger or store are not to be trusted ends it.
    """
    pipeline.warm_up()
    pause_s = FIRST_POLL_S
    while True:
        before = pipeline.steps()
        try:
            pipeline.turn()
        except WAITED_OUT as error:
            report(f"{error}; trying again in {interval_s} s")
            time.sleep(interval_s)
            continue
        after = pipeline.steps()
        if before != after:
            pause_s = FIRST_POLL_S
        elif not after:
            time.sleep(interval_s)
        elif BatchStep.SEALED in after.values():
            pipeline.wait_for_proof(PROOF_POLL_S)
        else:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_POLL_S)
