"""What the live page shows, as texts by name: the page begins with them, and the stream renews them.

Figures of the worker are of this process and its last minute; those of the books are everybody's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from mini_llm.routing.breaker import State
from mini_llm.routing.plan import Candidate
from mini_llm.routing.rollout import Rollout
from router.api.admin_state import AdminState
from router.ledger.batches import BatchView
from router.observe.pulse import Pulse
from router.web.operator.alerts import alerts, stale_s
from router.web.operator.day import DayView
from router.web.operator.words import NONE, amount, percent, rate, seconds
from router.web.units import count, span

MOST_ROWS: Final = 50
BAD, WARN, GOOD = "bad", "warn", ""
SERVES, STOPPED, DRAINED, PAUSED = "serves", "stopped", "drained", "paused by its provider"
BREAKER: Final = {State.CLOSED: SERVES, State.HALF_OPEN: "breaker half open", State.OPEN: "breaker open"}
TONES: Final = {SERVES: GOOD, BREAKER[State.HALF_OPEN]: WARN, DRAINED: WARN, PAUSED: WARN}
"""Of states; any other is bad."""

Row = dict[str, Any]
"""`cells`, texts; `tone` of the row: bad, warn or empty."""


async def figures(state: AdminState, day: DayView) -> dict[str, Any]:
    """All of it: `figures` by name, `tables` of rows by name, `alerts`."""
    pulse = state.pulse.pulse()
    metrics = state.observer.metrics
    worker = {
        "calls": f"{rate(pulse.calls, pulse.span_s)} /s",
        "refused": percent(pulse.refused, pulse.calls),
        "duration": f"{seconds(pulse.p50_s)} · {seconds(pulse.p99_s)}",
        "first": f"{seconds(pulse.first_p50_s)} · {seconds(pulse.first_p99_s)}",
        "tokens": f"{rate(pulse.tokens, pulse.span_s)} /s",
        "in-flight": _in_flight(metrics.in_flight, metrics.streams),
        "queue": count(state.ledger.waiting),
    }
    earned = day.earned
    books = {
        "charged": amount(earned.charged_base),
        "margin": amount(earned.margin_base),
        "cost": amount(earned.cost_base),
        "lost": amount(earned.lost_base),
        "burned": amount(earned.burn_base),
        "fee": amount(earned.fee_base),
        "pool": amount(earned.pool_base),
        "partners": amount(earned.partners_base),
        "treasury": amount(earned.treasury_base),
        "calls-today": count(earned.calls),
        "unsettled": amount(day.unsettled_base),
    }
    candidates = state.catalog.table.candidates.values()
    return {
        "at": f"{datetime.now(UTC):%H:%M:%S} UTC",
        "figures": worker | books | _bridge(day),
        "tables": {
            "providers": list(_providers(pulse)),
            "deployments": [_deployment(one) for one in candidates if _is_told(one)][:MOST_ROWS],
            "rollouts": [_rollout(one) for one in state.catalog.table.rollouts.values()],
            "batches": [_batch(one) for one in day.batches],
        },
        "alerts": [asdict(one) for one in await alerts(state, day, pulse)],
    }


def _bridge(day: DayView) -> dict[str, str]:
    """The bridge's own account of itself, as of when it gave it."""
    names = ("reported", "leader", "waiting", "queue-age", "lag", "proof", "open-batches", "deadline")
    if day.report is None:
        return dict.fromkeys(names, NONE) | {"reported": "never"}
    told = day.report.document
    chain, proofs = told.get("chain"), told.get("proofs") or ()
    age_s = max(day.at_s - day.report.written_s, 0)
    told_when = f"{span(age_s)} ago"
    if stale_s(day.report, day.at_s) is not None:
        told_when = f"not since {datetime.fromtimestamp(day.report.written_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    proof = NONE
    if proofs:
        last = proofs[0]
        both_ms = (last["witness_ms"] or 0) + (last["prove_ms"] or 0)
        proof = f"{both_ms / 1000:.1f} s for {last['size']} slots"
    return {
        "reported": told_when,
        "leader": told.get("leader") or "none",
        "waiting": count(told.get("waiting_requests") or 0),
        "queue-age": _age(told.get("queue_age_s")),
        "lag": NONE if chain is None else _lag(told.get("lag_blocks"), told.get("lag_s")),
        "proof": proof,
        "open-batches": _open_batches(told.get("open_batches") or ()),
        "deadline": _age(told.get("next_deadline_s")),
    }


def _age(value: int | None) -> str:
    return NONE if value is None else span(value) if value >= 0 else f"passed {span(-value)} ago"


def _in_flight(requests: int, streams: int) -> str:
    return f"{count(requests)} ({count(streams)} streaming)" if streams else count(requests)


def _lag(blocks: int | None, lag_s: int | None) -> str:
    if not blocks:
        return NONE if blocks is None else "none"
    return f"{count(blocks)} block{'' if blocks == 1 else 's'}, {_age(lag_s)}"


def _open_batches(batches: Any) -> str:
    if not batches:
        return "none"
    return ", ".join(f"{one['number']} {one['step']} for {span(one['age_s'])}" for one in batches)


def _providers(pulse: Pulse) -> Iterator[Row]:
    for one in pulse.providers:
        tone = BAD if one.failed * 2 >= one.tries else WARN if one.failed else GOOD
        cells = [
            one.provider,
            f"{rate(one.tries, pulse.span_s)} /s",
            percent(one.failed, one.tries),
            percent(one.fallbacks, one.tries),
        ]
        yield {"cells": cells, "tone": tone}


def _is_told(candidate: Candidate) -> bool:
    """It has calls, or something keeps calls away from it."""
    return bool(candidate.health.in_flight) or deployment_state(candidate) != SERVES


def deployment_state(candidate: Candidate) -> str:
    """Whether it gets calls, in words."""
    health = candidate.health
    if health.stopped:
        return STOPPED
    if health.drained:
        return DRAINED
    state = BREAKER[health.breaker.state]
    return PAUSED if state == SERVES and health.paused_s(time.monotonic()) else state


def _deployment(candidate: Candidate) -> Row:
    health, state = candidate.health, deployment_state(candidate)
    failed = percent(health.failures, health.calls)
    cells = [candidate.deployment.id, candidate.deployment.model, state, count(health.in_flight), failed]
    return {"cells": cells, "tone": TONES.get(state, BAD)}


def _rollout(rollout: Rollout) -> Row:
    status = rollout.status()
    stage = status.stage.value.replace("_", " ") if rollout.held is None else "held by an operator"
    failures = f"{percent(status.failures, status.calls)} of {count(status.calls)}"
    others = f"{percent(status.stable_failures, status.stable_calls)} of {count(status.stable_calls)}"
    cells = [status.model, status.deployment, f"{status.percent:g} %", stage, failures, others]
    return {"cells": cells, "tone": BAD if status.reason else GOOD}


def _batch(batch: BatchView) -> Row:
    when = NONE
    if batch.block_time_s is not None:
        when = f"{datetime.fromtimestamp(batch.block_time_s, UTC):%Y-%m-%d %H:%M:%S}"
    gas = NONE if batch.gas_used is None else count(batch.gas_used)
    used = f"{batch.accounts} of {batch.size}"
    cells = [str(batch.number), when, used, amount(batch.receipts_total_base), gas]
    return {"cells": cells, "tone": GOOD}
