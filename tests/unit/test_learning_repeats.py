"""The router's part in mirror learning: prompts that are sent again, and a stop while outcomes are read."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mini_llm.routing.decision import Decision, Judged
from mini_llm.routing.plan import Attempt, Outcome
from mini_llm.routing.run import OVERTAKEN
from mini_llm.surfaces.chat import ChatSurface
from router import learning
from router.config import RouterConfig
from router.learning import Mirror, _Job
from router.ledger.mirror import Answered, Seen
from router.mirror.tally import Kind

CONFIG = RouterConfig.model_validate(
    {"providers": {}, "deployments": [], "auto": {"learning": {"enabled": True, "most_a_day": 2}}}
)


def job(text: str, account_idx: int, began_s: float) -> _Job:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    surface = ChatSurface()
    request = surface.parse(json.dumps(body).encode())
    call = Answered(f"{began_s}", "house-7b", "open", 2, 1.0)
    return _Job(call, account_idx, None, (), surface, request, b"", began_s, began_s + 1)


def test_who_was_overtaken_has_not_failed() -> None:
    judged = tuple(
        Judged(name, (name,), 0.8, 100, None, True, "prior") for name in ("fast", "slow", "broken")
    )
    tried = (Attempt("broken", "p", "UpstreamTimeout", 9), Attempt("slow", "p", OVERTAKEN, 9))
    candidate = SimpleNamespace(deployment=SimpleNamespace(id="fast", own_key=False))
    decision = Decision("standard", 0.7, 0.5, 0.5, 10, judged, {}, "")
    mirror, sent = Mirror(cast(Any, None), CONFIG, b"secret"), job("hello", 1, 0)
    served = Outcome(None, cast(Any, candidate), tried, decision)
    mirror.offer("id", 1, sent.surface, sent.request, b"{}", served)
    assert [one.model for one in mirror._waiting[0].failed] == ["broken"]


def retries(jobs: Sequence[_Job]) -> list[Seen]:
    """Outcomes of prompts, all of which came long ago."""
    mirror = Mirror(cast(Any, None), CONFIG, b"secret")
    return [one for one in mirror._read(jobs, 0) if one.cell.kind is Kind.RETRY]


def test_a_prompt_is_the_same_for_one_account_only() -> None:
    found = retries([job("hello", 1, -9000), job("hello", 2, -8990), job("other", 1, -8980)])
    assert [(one.account_idx, one.value) for one in found] == [(1, 1.0), (2, 1.0), (1, 1.0)]
    (again,) = retries([job("hello", 1, -9000), job("hello", 1, -8990)])
    assert (again.account_idx, again.value, again.share) == (1, 0.0, 1.0)


def test_many_prompts_of_one_account_count_less_and_less() -> None:
    found = retries([job(f"prompt {at}", 1, -9000 + at) for at in range(50)])
    assert found[0].share == 1.0
    assert sum(one.share for one in found) < 2


async def test_outcomes_that_are_being_read_when_the_router_stops_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning, "FLUSH_S", 0.0)
    reading, read, written = threading.Event(), Mirror._read, []

    def slow(mirror: Mirror, jobs: Sequence[_Job], now_s: int) -> list[Seen]:
        reading.set()
        time.sleep(0.1)
        return list(read(mirror, jobs, now_s))

    class Books:
        async def submit(self, write: Any) -> None:
            written.append(write)

    monkeypatch.setattr(Mirror, "_read", slow)
    async with Mirror(cast(Any, Books()), CONFIG, b"secret").running() as mirror:
        mirror._waiting.append(job("hello", 1, -10))
        await asyncio.to_thread(reading.wait)
    assert len(written) == 1
