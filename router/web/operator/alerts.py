"""What is wrong, and what to do about it: of this worker, of what all workers share, and of the bridge."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import make_url

from mini_llm.routing.breaker import State
from mini_llm.routing.rollout import Stage
from router.api.admin_state import AdminState
from router.ledger.batches import BridgeReport
from router.ledger.switches import EVERYTHING
from router.observe.pulse import Pulse
from router.web.operator.day import DayView
from router.web.units import span

STALE_S: Final = 120
"""A bridge that runs reports much more often."""
FEW_CALLS: Final = 20
"""Fewer calls in a minute say nothing about how many fail."""
REFUSED_PERCENT: Final = 20
PAUSED_S: Final = 60
"""A shorter pause that a provider asks for is everyday."""
QUEUE: Final = 256
"""Operations that wait for the ledger: more than one commit takes."""
DISK_BYTES: Final = 2**30
NAMED: Final = 5

WORKER, ROUTER, BRIDGE = "this worker", "router", "bridge"


@dataclass(frozen=True)
class Alert:
    """Something that is wrong.

    Attributes:
        tone: `bad` if money or service is at stake now, else `warn`.
        source: who says so.
        what: what is wrong.
        todo: what to do.
    """

    tone: str
    source: str
    what: str
    todo: str


async def alerts(state: AdminState, day: DayView, pulse: Pulse) -> list[Alert]:
    """All alerts, the worst first."""
    found = [*_of_router(state), *_of_worker(state, pulse), *_of_disk(state), *_of_bridge(day)]
    if (problem := await state.readiness.problem()) is not None:
        todo = "Load balancers send no calls here. If it is the database: does it run, is its disk full?"
        found.insert(0, Alert("bad", WORKER, f"It takes no calls: {problem}.", todo))
    return sorted(found, key=lambda alert: alert.tone != "bad")


def _of_router(state: AdminState) -> Iterator[Alert]:
    for switch in state.switching.switched:
        if switch.setting:
            continue
        whole = switch.scope == EVERYTHING
        what = "All new calls" if whole else f"New calls to {switch.scope} {switch.name}"
        yield Alert(
            "bad" if whole else "warn",
            ROUTER,
            f"{what} are stopped by {switch.actor}: {switch.reason}.",
            "Let them go again under Routing when the reason is gone.",
        )
    if state.reload.refused is not None:
        yield Alert(
            "warn",
            WORKER,
            f"The configuration file is not in force: {state.reload.refused}",
            "Put it right under Routing; until then the configuration of before goes on.",
        )


def _named(those: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(those) - NAMED} more" if len(those) > NAMED else ""
    return ", ".join(those[:NAMED]) + more


def _of_worker(state: AdminState, pulse: Pulse) -> Iterator[Alert]:
    table = state.catalog.table
    opened = [name for name, one in table.candidates.items() if one.health.breaker.state is State.OPEN]
    if opened:
        yield Alert(
            "bad" if len(opened) == len(table.candidates) else "warn",
            WORKER,
            f"Breakers are open: {_named(opened)}.",
            "Is there trouble at the provider, or with its key or contract? Breakers close by themselves.",
        )
    now_s = time.monotonic()
    left = {name: one.health.paused_s(now_s) for name, one in table.candidates.items()}
    if long := [f"{name} ({span(int(left_s))})" for name, left_s in left.items() if left_s > PAUSED_S]:
        yield Alert(
            "bad" if len(long) == len(table.candidates) else "warn",
            WORKER,
            f"Providers want no calls for a while: {_named(long)}.",
            "Is a limit of the contract used up? If they are wrong: POST /admin/v1/deployments/reset.",
        )
    for model, rollout in table.rollouts.items():
        if rollout.stage is Stage.ROLLED_BACK:
            what = f"The rollout of {rollout.settings.to} for {model} was rolled back: {rollout.reason}."
            yield Alert("warn", WORKER, what, "Mend the new deployment, then start the rollout again.")
    if pulse.calls >= FEW_CALLS and pulse.refused * 100 >= pulse.calls * REFUSED_PERCENT:
        yield Alert(
            "bad",
            WORKER,
            f"{pulse.refused} of {pulse.calls} calls of the last minute were not answered.",
            "Which providers fail? If none does, callers are refused: look at outcomes in /metrics.",
        )
    if state.ledger.waiting >= QUEUE:
        yield Alert(
            "warn",
            WORKER,
            f"{state.ledger.waiting} operations wait for the ledger's database.",
            "Commits are slow: look at vibes_ledger_commit_seconds, the disk, and other writers.",
        )
    if dropped := state.mirror.dropped:
        what = f"{dropped} outcomes were not learned from: the queue was full, or they were too long."
        yield Alert("warn", WORKER, what, "Nothing is lost but learning; add workers if it goes on.")


def _of_disk(state: AdminState) -> Iterator[Alert]:
    url = make_url(state.settings.ledger_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    free = shutil.disk_usage(url.database).free
    if free < DISK_BYTES:
        todo = "Free some: a full disk stops every call."
        yield Alert("bad", ROUTER, f"The ledger's disk has {free // 2**20} MiB left.", todo)


def _of_bridge(day: DayView) -> Iterator[Alert]:
    report = day.report
    if report is None:
        if day.unsettled_base:
            todo = "Start “vibes settle --watch” with the same VIBES_LEDGER_URL."
            yield Alert("warn", BRIDGE, "No bridge has ever reported, and charges wait to be settled.", todo)
        return
    if (age_s := stale_s(report, day.at_s)) is not None:
        yield Alert(
            "bad" if day.unsettled_base else "warn",
            BRIDGE,
            f"The bridge has not reported for {span(age_s)}; what stands below is of then.",
            "Is “vibes settle --watch” running, and does it reach the ledger's database?",
        )
    for one in report.document.get("alerts", ()):
        detail = str(one["detail"])
        yield Alert("bad", BRIDGE, f"{detail[:1].upper()}{detail[1:]} ({one['code']})", one.get("advice", ""))


def stale_s(report: BridgeReport, now_s: int) -> int | None:
    """Age of a report that is too old to go by, seconds; None of one that is fresh."""
    age_s = now_s - report.written_s
    return age_s if age_s > STALE_S else None
