"""Money under pressure: racing calls on one balance, and a router killed at any moment."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
import time
from typing import Any

import httpx
from router_upstream import PROMPT_TOKENS, WORDS
from router_world import COMPLETION_BASE, DOMAIN, LEASE_S, PROMPT_BASE, SIGNER, World

from mini_llm.deployment import Deployment
from mini_llm.price import Price
from mini_llm.surfaces import CHAT
from mini_llm.wallet.receipt import recover_signer
from router.ledger import books, read
from router.metering import quote_call

CHARGE_BASE = PROMPT_TOKENS * PROMPT_BASE + len(WORDS) * COMPLETION_BASE
RACING, AFFORDABLE = 200, 20


def body(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def quote_base(fields: dict[str, Any]) -> int:
    """What the router reserves for a request, by the same rules as its configuration."""
    price = Price(PROMPT_BASE * 10**6, COMPLETION_BASE * 10**6)
    deployment = Deployment("up/m", fields["model"], "up", fields["model"], 1, price, 4000, 100)
    return quote_call(CHAT.parse(json.dumps(fields).encode()), [deployment]).quote_base


def assert_books_balance(world: World) -> None:
    assert world.ledger.read(books.book_errors) == []


async def test_200_racing_calls_on_a_balance_for_20_serve_exactly_20(new_world: Any) -> None:
    world: World = new_world()
    fields = body("held", "race")
    user = world.user(deposit_base=AFFORDABLE * quote_base(fields))
    world.upstream.release.clear()
    lowest: list[int] = []
    answered = asyncio.Event()

    async def watch() -> None:
        while not answered.is_set():
            view = await asyncio.to_thread(user.view)
            lowest.append(min(view.balance_base - view.reserved_base, view.available_base, view.balance_base))
            await asyncio.sleep(0.02)

    async with httpx.AsyncClient(
        base_url=user.url,
        headers={"authorization": f"Bearer {user.api_key}"},
        timeout=60,
        limits=httpx.Limits(max_connections=RACING),
    ) as client:
        watching = asyncio.create_task(watch())
        calls = [asyncio.create_task(client.post("/chat/completions", json=fields)) for _ in range(RACING)]
        pending = set(calls)
        while len(pending) > AFFORDABLE:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        assert user.view().available_base == 0
        world.upstream.release.set()
        responses = await asyncio.gather(*calls)
        answered.set()
        await watching

    codes = [response.status_code for response in responses]
    assert (codes.count(200), codes.count(402)) == (AFFORDABLE, RACING - AFFORDABLE)
    assert len(world.upstream.calls_of("race")) == AFFORDABLE
    assert min(lowest) >= 0
    view = user.view()
    assert view.spent_base == AFFORDABLE * CHARGE_BASE
    assert view.balance_base == AFFORDABLE * (quote_base(fields) - CHARGE_BASE)
    assert view.reserved_base == 0
    receipts = user.ledger.read(lambda c: read.receipts_between(c, user.idx, 0, view.spent_base))
    assert [signed.receipt.account_sequence for signed in receipts] == list(range(1, AFFORDABLE + 1))
    assert {recover_signer(signed, DOMAIN) for signed in receipts} == {SIGNER}
    assert_books_balance(world)


def test_kill_in_mid_call_loses_nothing_and_charges_nothing_twice(new_world: Any) -> None:
    world: World = new_world()
    user = world.user()
    key = {"Idempotency-Key": "held over a crash"}
    world.upstream.release.clear()

    def call() -> httpx.Response:
        with user.http() as client:
            return client.post("/chat/completions", json=body("held", "crash"), headers=key)

    def call_and_lose() -> None:
        try:
            call()
        except httpx.HTTPError:
            lost.set()

    lost = threading.Event()
    caller = threading.Thread(target=call_and_lose)
    caller.start()
    while not world.upstream.calls_of("crash"):
        time.sleep(0.01)
    world.router.kill()
    caller.join(20)
    assert lost.is_set()
    world.upstream.release.set()

    held = user.view()
    assert held.reserved_base == quote_base(body("held", "crash"))
    assert (held.balance_base, held.spent_base) == (10**9, 0)
    world.router.start()
    early = call()
    if early.status_code == 409:  # until the lease lapses nobody knows whether the provider answered
        deadline = time.monotonic() + 10 * LEASE_S
        while (early := call()).status_code == 409 and time.monotonic() < deadline:
            time.sleep(0.1)
    assert early.status_code == 200
    view = user.view()
    assert (view.spent_base, view.reserved_base) == (CHARGE_BASE, 0)
    assert call().content == early.content
    assert len(world.upstream.calls_of("crash")) == 2
    assert user.view().spent_base == CHARGE_BASE
    assert_books_balance(world)


def test_kills_at_random_moments_leave_the_books_right(new_world: Any) -> None:
    world: World = new_world()
    user = world.user()
    dice = random.Random(20)
    numbers = itertools.count()
    answers: dict[str, bytes] = {}
    finished = threading.Event()

    def work() -> None:
        """Sends calls, each under its own key, and repeats each until it is answered."""
        with user.http() as client:
            while not finished.is_set():
                key = f"call {next(numbers)}"
                fields = body("plain", key) | {"stream": dice.random() < 0.5}
                while key not in answers:
                    try:
                        response = client.post(
                            "/chat/completions", json=fields, headers={"Idempotency-Key": key}
                        )
                    except httpx.HTTPError:
                        time.sleep(0.05)
                        continue
                    if response.status_code == 200:
                        answers[key] = response.content
                    else:
                        assert response.status_code == 409, response.text
                        time.sleep(0.1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(4):
        time.sleep(0.3 + dice.random())
        world.router.kill()
        world.router.start()
    time.sleep(0.5)
    finished.set()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)

    view = user.settled_view()
    assert view.reserved_base == 0
    assert view.spent_base == len(answers) * CHARGE_BASE  # each answered key is paid once
    assert view.balance_base == 10**9 - view.spent_base
    assert view.sequence == len(answers)
    assert_books_balance(world)


def test_stopping_lets_calls_in_flight_finish(new_world: Any) -> None:
    world: World = new_world()
    user = world.user()
    pieces: list[str] = []

    def listen() -> None:
        stream = user.client().chat.completions.create(
            model="dawdles", messages=[{"role": "user", "content": "drain"}], stream=True
        )
        pieces.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    listener = threading.Thread(target=listen)
    listener.start()
    while not world.upstream.calls_of("drain"):
        time.sleep(0.01)
    world.router.stop()
    listener.join(20)
    assert "".join(pieces).split() == WORDS
    view = user.view()
    assert (view.spent_base, view.reserved_base) == (CHARGE_BASE, 0)
