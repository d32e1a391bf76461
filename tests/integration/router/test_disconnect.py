"""A client that hangs up: the provider is cut off, what was generated is charged, and no more."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import openai
import pytest
from router_upstream import PAUSE_S, PROMPT_TOKENS
from router_world import COMPLETION_BASE, DOMAIN, PROMPT_BASE, SIGNER, User, World

from mini_llm.tokens import count_tokens
from mini_llm.wallet.receipt import recover_signer
from router.ledger import read
from router.ledger.views import CallView

WAIT_S = 15


def only_call(user: User) -> CallView:
    """The user's one finished call, waited for."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        calls = user.ledger.read(lambda connection: read.calls_of(connection, user.idx))
        if calls:
            (call,) = calls
            return call
        time.sleep(0.02)
    raise AssertionError("the call was never charged")


def hang_up_after(user: User, model: str, marker: str, pieces: int) -> None:
    """Reads some pieces of a stream and closes the connection."""
    messages: list[Any] = [{"role": "user", "content": marker}]
    stream = user.client().chat.completions.create(model=model, messages=messages, stream=True)
    seen = 0
    for chunk in stream:
        seen += bool(chunk.choices[0].delta.content)
        if seen == pieces:
            break
    stream.close()


@pytest.mark.parametrize("model", ["endless", "endless-counted"])
def test_what_was_generated_is_charged_and_no_more(world: World, model: str) -> None:
    user, marker = world.user(), f"hang up on {model}"
    world.upstream.cut_off.clear()
    hang_up_after(user, model, marker, pieces=5)
    assert world.upstream.cut_off.wait(WAIT_S)
    call = only_call(user)
    generated = world.upstream.pieces_sent[marker]
    assert 5 <= call.completion_tokens <= generated + 1  # a space at the end is a token
    assert call.estimated is (model == "endless")
    prompt_tokens = len(marker.split()) if call.estimated else PROMPT_TOKENS
    charge_base = prompt_tokens * PROMPT_BASE + call.completion_tokens * COMPLETION_BASE
    assert call.charge_base == charge_base
    assert call.receipt is not None
    assert recover_signer(call.receipt, DOMAIN) == SIGNER
    view = user.settled_view()
    assert (view.reserved_base, view.spent_base) == (0, charge_base)
    time.sleep(5 * PAUSE_S)
    assert world.upstream.pieces_sent[marker] == generated  # the provider has stopped


def test_nothing_generated_is_nothing_charged(world: World) -> None:
    user, marker = world.user(), "gone before the first word"
    world.upstream.release.clear()
    messages: list[Any] = [{"role": "user", "content": marker}]
    with pytest.raises(openai.APITimeoutError):
        user.client(timeout=0.5).chat.completions.create(model="held", messages=messages, stream=True)
    view = user.settled_view()
    world.upstream.release.set()
    assert len(world.upstream.calls_of(marker)) == 1
    assert (view.reserved_base, view.spent_base) == (0, 0)


def test_client_that_leaves_in_the_middle_of_its_body_costs_nothing(world: World) -> None:
    user = world.user()
    with socket.create_connection(("127.0.0.1", world.router.port)) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.api_key}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 500\r\n\r\n{")
    with user.http() as client:
        assert client.get("/account").json()["reserved_base"] == "0"
    assert "fault" not in world.router.log.read_text()


def test_many_at_once_leave_no_reservation_behind(world: World) -> None:
    user = world.user()

    async def one(client: Any, number: int) -> None:
        stream = await client.chat.completions.create(
            model="endless", messages=[{"role": "user", "content": f"crowd {number}"}], stream=True
        )
        seen = 0
        async for _ in stream:
            seen += 1
            if seen > number % 7:
                break
        await stream.close()

    async def crowd() -> None:
        async with user.async_client() as client:
            await asyncio.gather(*(one(client, number) for number in range(40)))

    asyncio.run(crowd())
    view = user.settled_view()
    assert view.reserved_base == 0
    calls = user.ledger.read(lambda connection: read.calls_of(connection, user.idx, limit=100))
    assert sum(call.charge_base for call in calls) == view.spent_base
    generated = sum(world.upstream.pieces_sent.get(f"crowd {number}", 0) for number in range(40))
    # the space at the end of each answer is a token
    assert 0 < sum(call.completion_tokens for call in calls) <= generated + len(calls)


def test_replay_of_a_stream_that_was_cut_off_says_so(world: World) -> None:
    user, marker = world.user(), "cut off and replayed"
    messages = [{"role": "user", "content": marker}]
    body, key = {"model": "endless", "messages": messages, "stream": True}, {"Idempotency-Key": "k"}
    with user.http() as client:  # its end closes the connection
        request = client.build_request("POST", "/chat/completions", json=body, headers=key)
        next(line for line in client.send(request, stream=True).iter_lines() if "word" in line)
    call = only_call(user)
    with user.http() as client:
        again = client.post("/chat/completions", json=body, headers=key)
    assert again.status_code == 200
    kept = again.text.count('"content": "word "')
    assert call.completion_tokens == count_tokens(["word " * kept])
    assert "client_closed" in again.text
    assert len(world.upstream.calls_of(marker)) == 1
    assert user.settled_view().spent_base == call.charge_base
