"""What a call may have cost the operator is charged to who had it, or kept: never free and out of sight."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from router_world import COMPLETION_BASE, PROMPT_BASE, User, World
from sqlalchemy import Connection, select
from test_disconnect import only_call
from test_refusals import error_of

from mini_llm.tokens import count_tokens
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


def leave(user: User, model: str, marker: str, **more: Any) -> None:
    """Asks for a stream and hangs up before its first word."""
    messages: list[Any] = [{"role": "user", "content": marker}]
    with pytest.raises(openai.APITimeoutError), user.client(timeout=0.7) as client:
        client.chat.completions.create(model=model, messages=messages, stream=True, **more)


def test_a_prompt_that_its_provider_has_taken_is_paid_for_though_the_client_left(world: World) -> None:
    user, marker = world.user(), "so many words " * 50
    world.upstream.release.clear()
    world.upstream.cut_off.clear()
    leave(user, "ponders", marker)
    call = only_call(user)
    assert world.upstream.cut_off.wait(15)
    world.upstream.release.set()
    assert (call.prompt_tokens, call.completion_tokens) == (count_tokens([marker]), 0)
    assert user.settled_view().spent_base == call.charge_base == call.prompt_tokens * PROMPT_BASE
    assert attempts_of(user) == []


def test_what_a_provider_that_had_not_answered_may_cost_is_kept(world: World) -> None:
    user, marker = world.user(), "so few words " * 50
    world.upstream.release.clear()
    leave(user, "held", marker)
    view = user.settled_view()
    world.upstream.release.set()
    assert (view.reserved_base, view.spent_base) == (0, 0)
    ((outcome, cost_base),) = attempts_of(user)
    assert outcome == "Stopped"
    assert cost_base > 50 * PROMPT_BASE
