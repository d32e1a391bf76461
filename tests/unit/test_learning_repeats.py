"""What the router's part in mirror learning makes of prompts that are sent again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from mini_llm.surfaces.chat import ChatSurface
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
