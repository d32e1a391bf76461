"""What is wrong, by rules with thresholds: each problem has a code that alerts are raised under."""

from __future__ import annotations

from bridge.config import WEI_PER_GWEI, HealthLimits
from bridge.status import Status
from bridge.times import span

CODES = (
    "node_unreachable",
    "lagging",
    "queue_old",
    "deadline_near",
    "batch_stuck",
    "deficit",
    "paused",
    "low_funds",
    "wrong_key",
)
"""Every rule's code; docs/operations.md says what to do about each."""


def problems(status: Status, limits: HealthLimits, operator: str | None = None) -> dict[str, str]:
    """What is wrong now: detail by code, empty if nothing is.

    operator: address of the configured operator key, None if there is none.
    """
    found: dict[str, str] = {}
    chain = status.chain
    if chain is None:
        found["node_unreachable"] = "the RPC node does not answer"
    else:
        if status.lag_blocks and status.lag_s is not None and status.lag_s > limits.lag_s:
            found["lagging"] = f"{status.lag_blocks} blocks and {span(status.lag_s)} behind the chain"
        if chain.operator_wei < limits.operator_gwei * WEI_PER_GWEI:
            found["low_funds"] = f"operator {chain.keys.operator} has {chain.operator_wei} wei"
        if operator is not None and operator != chain.keys.operator:
            found["wrong_key"] = f"the contract's operator is {chain.keys.operator}, the key is of {operator}"
        wrong = [size for size, key in chain.keys.verifiers.items() if "another" in key["key"]]
        if wrong:
            found["wrong_key"] = f"the circuit built here for {wrong[0]} slots is not the contract's"
    found |= _waiting(status, limits)
    if status.deficits:
        owed_base = sum(status.deficits.values())
        found["deficit"] = f"{len(status.deficits)} accounts used {owed_base} base units that the chain took"
    if status.paused:
        found["paused"] = "the guardian paused the contract: it takes no deposits and no batches"
    return found


def _waiting(status: Status, limits: HealthLimits) -> dict[str, str]:
    found = {}
    if status.queue_age_s is not None and status.queue_age_s > limits.queue_age_s:
        found["queue_old"] = f"the oldest charge or request waits for {span(status.queue_age_s)}"
    if status.next_deadline_s is not None and status.next_deadline_s < limits.deadline_s:
        found["deadline_near"] = f"{span(status.next_deadline_s)} until a request may be answered by a freeze"
    old = [batch for batch in status.open_batches if batch.age_s > limits.batch_age_s]
    if old:
        found["batch_stuck"] = f"batch {old[0].number} is {old[0].step} after {span(old[0].age_s)}"
    return found
