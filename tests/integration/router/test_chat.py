"""Paid calls through the official OpenAI client: answers, usage, receipts, idempotency."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
import openai
import pytest
from router_upstream import PROMPT_TOKENS, WORDS
from router_world import COMPLETION_BASE, DOMAIN, LEASE_S, PROMPT_BASE, SIGNER, User, World

from mini_llm.tokens import count_tokens
from mini_llm.wallet.receipt import SignedReceipt, recover_signer
from router.receipts import CHARGE_HEADER, RECEIPT_HEADER, REPLAY_HEADER, REQUEST_ID_HEADER, decode_receipt

ANSWER = " ".join(WORDS)
CHARGE_BASE = PROMPT_TOKENS * PROMPT_BASE + len(WORDS) * COMPLETION_BASE


def say(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def read_stream(
    user: User, body: dict[str, Any], **headers: str
) -> tuple[list[dict[str, Any]], str, httpx.Headers]:
    """All JSON chunks of a stream, its raw text and the response headers."""
    with (
        user.http() as client,
        client.stream("POST", "/chat/completions", json=body, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        text = response.read().decode()
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(item) for item in data[:-1]], text, response.headers


def receipt_in(text: str) -> SignedReceipt:
    (line,) = [line for line in text.splitlines() if line.startswith(": vibes-receipt ")]
    return decode_receipt(line.removeprefix(": vibes-receipt "))


def test_plain_call_is_answered_charged_and_receipted(world: World) -> None:
    user = world.user()
    raw = user.client().chat.completions.with_raw_response.create(model="plain", messages=say("hello"))
    completion = raw.parse()
    assert completion.choices[0].message.content == ANSWER
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len(WORDS)
    assert raw.headers[CHARGE_HEADER] == str(CHARGE_BASE)

    signed = decode_receipt(raw.headers[RECEIPT_HEADER])
    assert recover_signer(signed, DOMAIN) == SIGNER
    receipt = signed.receipt
    assert receipt.request_id.hex() == raw.headers[REQUEST_ID_HEADER]
    assert (receipt.account, receipt.partner, receipt.model) == (user.idx, 1, "plain")
    assert (receipt.prompt_tokens, receipt.completion_tokens) == (PROMPT_TOKENS, len(WORDS))
    assert (receipt.charge_base, receipt.account_total_base) == (CHARGE_BASE, CHARGE_BASE)
    assert (receipt.account_sequence, receipt.previous_receipt) == (1, bytes(32))

    view = user.view()
    assert (view.balance_base, view.spent_base, view.reserved_base) == (10**9 - CHARGE_BASE, CHARGE_BASE, 0)


def test_receipts_of_an_account_form_a_chain(world: World) -> None:
    user = world.user()
    receipts = []
    for _ in range(3):
        raw = user.client().chat.completions.with_raw_response.create(model="plain", messages=say("hi"))
        receipts.append(decode_receipt(raw.headers[RECEIPT_HEADER]).receipt)
    assert [receipt.account_sequence for receipt in receipts] == [1, 2, 3]
    assert [receipt.account_total_base for receipt in receipts] == [CHARGE_BASE * n for n in (1, 2, 3)]
    assert receipts[1].previous_receipt == receipts[0].digest(DOMAIN)
    assert receipts[2].previous_receipt == receipts[1].digest(DOMAIN)
    assert len({receipt.prompt_hash for receipt in receipts}) == 3  # the same prompt, salted


async def test_async_client_streams(world: World) -> None:
    user = world.user()
    async with user.async_client() as client:
        stream = await client.chat.completions.create(model="plain", messages=say("hello"), stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip() == ANSWER
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert user.settled_view().spent_base == CHARGE_BASE


def test_stream_hides_usage_and_ends_with_a_receipt(world: World) -> None:
    user = world.user()
    chunks, text, headers = read_stream(user, {"model": "plain", "messages": say("hello"), "stream": True})
    assert headers["x-accel-buffering"] == "no"
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in chunks)
    signed = receipt_in(text)
    assert recover_signer(signed, DOMAIN) == SIGNER
    assert signed.receipt.request_id.hex() == headers[REQUEST_ID_HEADER]
    assert signed.receipt.charge_base == CHARGE_BASE
    assert text.index(": vibes-receipt") > text.index('"finish_reason": "stop"')


def test_stream_shows_usage_to_a_client_that_asks(world: World) -> None:
    body = {
        "model": "plain",
        "messages": say("hi"),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    chunks, _, _ = read_stream(world.user(), body)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == len(WORDS)


def test_upstream_gets_unknown_fields_the_cap_and_the_operators_key(world: World) -> None:
    marker = "fields pass through"
    completion = (
        world.user()
        .client()
        .chat.completions.create(
            model="renamed",
            messages=say(marker),
            max_completion_tokens=3,
            extra_body={"x_unknown": {"a": [1, "é"]}},
        )
    )
    assert completion.choices[0].message.content == " ".join(WORDS[:3])
    assert completion.model_extra is not None
    assert completion.model_extra["x_unknown"] == {"a": [1, "é"]}
    (call,) = world.upstream.calls_of(marker)
    assert call == {"model": "plain", "messages": say(marker), "max_tokens": 3, "x_unknown": {"a": [1, "é"]}}
    assert (
        world.upstream.headers[world.upstream.calls.index(call)]["authorization"]
        == "Bearer sk-operator-secret"
    )


def test_default_cap_is_sent_upstream(world: World) -> None:
    world.user().client().chat.completions.create(model="plain", messages=say("default cap"))
    (call,) = world.upstream.calls_of("default cap")
    assert call["max_tokens"] == 100


def test_uncounted_answers_are_counted_by_their_text(world: World) -> None:
    user = world.user()
    text = "twenty words " * 10 + " " * 80
    raw = user.client().chat.completions.with_raw_response.create(model="no-usage", messages=say(text))
    receipt = decode_receipt(raw.headers[RECEIPT_HEADER]).receipt
    counted = (count_tokens([text]), count_tokens([ANSWER]))
    assert (receipt.prompt_tokens, receipt.completion_tokens) == counted
    _, raw_text, _ = read_stream(user, {"model": "no-usage", "messages": say(text), "stream": True})
    receipt = receipt_in(raw_text).receipt
    assert (receipt.prompt_tokens, receipt.completion_tokens) == (counted[0], count_tokens([ANSWER + " "]))


def test_charge_never_exceeds_the_reservation(world: World) -> None:
    user = world.user()
    raw = user.client().chat.completions.with_raw_response.create(
        model="liar", messages=say("hi"), max_tokens=1
    )
    assert 0 < int(raw.headers[CHARGE_HEADER]) < 1_000_000  # the provider claimed 10^9 tokens
    assert user.view().spent_base == int(raw.headers[CHARGE_HEADER])


@pytest.mark.parametrize("stream", [False, True])
def test_replay_gives_the_stored_answer_once_paid(world: World, stream: bool) -> None:
    user, marker = world.user(), f"replay {stream}"
    body = {"model": "plain", "messages": say(marker), "stream": stream}
    key = {"Idempotency-Key": "once"}
    with user.http() as client:
        first, second = (client.post("/chat/completions", json=body, headers=key) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert first.headers["content-type"] == second.headers["content-type"]
    assert first.headers[REQUEST_ID_HEADER] == second.headers[REQUEST_ID_HEADER]
    assert REPLAY_HEADER not in first.headers
    assert second.headers[REPLAY_HEADER] == "true"
    assert len(world.upstream.calls_of(marker)) == 1
    assert user.settled_view().spent_base == CHARGE_BASE


def test_keys_of_different_accounts_do_not_meet(world: World) -> None:
    for user in (world.user(), world.user()):
        user.client().chat.completions.create(
            model="plain", messages=say("two accounts"), extra_headers={"Idempotency-Key": "same"}
        )
    assert len(world.upstream.calls_of("two accounts")) == 2


def test_same_key_with_another_body_is_422(world: World) -> None:
    client = world.user().client()
    key = {"Idempotency-Key": "k"}
    client.chat.completions.create(model="plain", messages=say("one"), extra_headers=key)
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(model="plain", messages=say("two"), extra_headers=key)


def test_duplicate_of_a_running_call_is_409(new_world: Any) -> None:
    world: World = new_world()
    world.upstream.release.clear()
    user, marker, answers = world.user(), "running duplicate", []

    def call() -> Any:
        return user.client().chat.completions.create(
            model="held", messages=say(marker), extra_headers={"Idempotency-Key": "k"}
        )

    first = threading.Thread(target=lambda: answers.append(call()))
    first.start()
    while not world.upstream.calls_of(marker):
        time.sleep(0.01)
    with pytest.raises(openai.ConflictError) as refused:
        call()
    assert refused.value.code == "idempotency_in_flight"
    assert refused.value.response.headers["retry-after"] == "1"
    time.sleep(2.5 * LEASE_S)  # the lease is renewed while the call lives
    world.upstream.release.set()
    first.join(20)
    assert answers[0].choices[0].message.content == ANSWER
    assert call().choices[0].message.content == ANSWER  # now a replay
    assert len(world.upstream.calls_of(marker)) == 1
    assert user.view().spent_base == CHARGE_BASE
