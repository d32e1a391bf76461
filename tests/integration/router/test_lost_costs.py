"""What a call may have cost the operator is charged to who had it, or kept: never free and out of sight."""

from __future__ import annotations

from typing import Any

from router_world import COMPLETION_BASE, User, World
from sqlalchemy import Connection, select
from test_disconnect import only_call
from test_refusals import error_of

from router.ledger.call_models import ATTEMPT
from router.ledger.models import ENTRY


def attempts_of(user: User) -> list[tuple[str, int]]:
    """Failed tries of the user's calls: how, and what the provider may bill."""

    def read(connection: Connection) -> list[tuple[str, int]]:
        tries = select(ATTEMPT.c.outcome, ATTEMPT.c.cost_base).order_by(*ATTEMPT.primary_key)
        mine = tries.join(ENTRY, ENTRY.c.number == ATTEMPT.c.entry_number)
        return [(row[0], row[1]) for row in connection.execute(mine.where(ENTRY.c.account_idx == user.idx))]

    return user.ledger.read(read)


def body(model: str, marker: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": marker}]} | more


def test_an_answer_that_is_too_long_is_free_and_what_it_may_cost_is_kept(world: World) -> None:
    user = world.user()
    with user.http() as client:
        response = client.post("/chat/completions", json=body("huge", "too long"))
    assert (response.status_code, error_of(response)["code"]) == (400, "answer_too_long")
    assert len(world.upstream.calls_of("too long")) == 1
    assert user.settled_view().spent_base == 0
    ((outcome, cost_base),) = attempts_of(user)
    assert outcome == "AnswerTooLarge"
    assert cost_base > 100 * COMPLETION_BASE // 2  # wholesale: an answer as long as it may be


def test_a_stream_that_is_longer_than_is_passed_on_is_paid_for(world: World) -> None:
    user = world.user()
    with user.http() as client:
        text = client.post("/chat/completions", json=body("bulky", "long stream", stream=True)).text
    assert "answer_too_long" in text
    words = text.count('"content": "word "')
    assert only_call(user).completion_tokens >= words > 50
    assert user.settled_view().spent_base > words * COMPLETION_BASE
