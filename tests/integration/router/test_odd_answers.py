"""Answers that are legal, or usual, and not what OpenAI sends: what of them clients can use, they get."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from router_upstream import Upstream
from router_world import User, World, make_world
from support.scripted import DONE, USAGE, Scripted, chunk, completion, event, scripted, streamed, whole

HELLO: Any = [{"role": "user", "content": "hi"}]
PRICE = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
USAGE_BASE = USAGE["prompt_tokens"] * 1000 + USAGE["completion_tokens"] * 2000
RECEIPT = re.compile(r"\A: vibes-receipt \S+\n(?:event: \S+\n)?data: ")
TELLS_USAGE = chunk(None, usage=USAGE)
ZERO = dict.fromkeys(USAGE, 0)
FAILED = {"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "down"}}
HALVES = (rb"hi \ud83d", rb"\ude00!")
ANSWERS = {
    "numbered": [
        streamed(
            b"retry: 3000\n\n: welcome\n\n",
            b"id: 1\n" + chunk({"content": "a"}),
            b"id: 2\n" + chunk({"content": "b"}) + b"id: 3\n" + chunk({}, "stop"),
            b": still here\n\n" + TELLS_USAGE + DONE,
        )
    ],
    "failed": [whole(completion("", choices=[FAILED | {"message": {"content": ""}}], usage=USAGE))],
    "failing": [
        streamed(chunk({"content": "a"}) + event(choices=[FAILED | {"delta": {}}]) + TELLS_USAGE + DONE)
    ],
    "whole": [whole(completion("ab", usage=USAGE))],
    "nameless": [streamed(chunk({"content": "ab"}) + chunk({}, "stop") + TELLS_USAGE + DONE, headers=b"")],
    "closes": [whole(completion("Still here.", usage=USAGE)), b""],
    "uncounted": [streamed(chunk({"content": "three more words"}), chunk({}, "stop") + DONE)],
    "zero": [
        streamed(chunk({"content": "three more words"}), chunk({}, "stop") + chunk(None, usage=ZERO) + DONE)
    ],
    "zero-whole": [whole(completion("three more words", usage=ZERO))],
    "halves": [whole(json.dumps(completion("X", usage=USAGE)).encode().replace(b"X", b"".join(HALVES[:1])))],
    "half-by-half": [
        streamed(*(chunk({"content": "X"}).replace(b"X", half) for half in HALVES), chunk({}, "stop") + DONE)
    ],
}
CLAUDES = {
    "infinite": [
        whole(
            b'{"content": [{"type": "tool_use", "id": "x", "name": "f", "input": {"a": 1e999}}],'
            b' "usage": {"input_tokens": 1, "output_tokens": 1}}'
        )
    ]
}


@pytest.fixture(scope="module")
def odd() -> Iterator[Scripted]:
    with scripted() as server:
        server.answers |= ANSWERS | CLAUDES
        yield server


@pytest.fixture(scope="module")
def shop(odd: Scripted, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router in front of them."""
    limits = {"context_tokens": 4000, "max_output_tokens": 100}
    more = {
        "providers": {
            "odd": {"base_url": odd.url},
            "claude": {"type": "anthropic", "base_url": odd.url, "api_key": "k"},
        },
        "deployments": [
            {"model": model, "provider": provider, "partner": 1} | PRICE | limits
            for provider, models in (("odd", ANSWERS), ("claude", CLAUDES))
            for model in models
        ],
    }
    world = make_world(tmp_path_factory.mktemp("odd"), upstream, more)
    yield world
    world.router.stop()
    world.ledger.close()


def spoken(user: User, model: str) -> str:
    """What OpenAI's client reads of a stream."""
    chunks = user.client().chat.completions.create(model=model, messages=HELLO, stream=True)
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


def whole_answer(user: User, path: str, **fields: Any) -> httpx.Response:
    with user.http() as http:
        return http.post(path, json=fields)


def raw_stream(user: User, path: str, **fields: Any) -> str:
    with user.http() as http:
        return http.post(path, json=fields | {"stream": True}).text


@pytest.mark.parametrize("model", ["numbered", "whole", "nameless"])
def test_an_odd_stream_is_read_to_its_end(shop: World, model: str) -> None:
    user = shop.user()
    assert spoken(user, model) == "ab"
    assert user.settled_view().spent_base == USAGE_BASE


def test_a_receipt_stands_in_the_block_of_an_event_with_data(shop: World) -> None:
    user = shop.user()
    calls = {
        "/chat/completions": {"messages": HELLO},
        "/messages": {"messages": HELLO, "max_tokens": 9},
        "/responses": {"input": "hi"},
    }
    for path, fields in calls.items():
        text = raw_stream(user, path, model="numbered", **fields)
        assert not re.search(r"^(id|retry):", text, re.MULTILINE)
        (block,) = [block for block in text.split("\n\n") if "vibes-receipt" in block]
        assert RECEIPT.match(block)


def test_a_choice_that_failed_is_not_charged(shop: World) -> None:
    user = shop.user()
    refused = whole_answer(user, "/chat/completions", model="failed", messages=HELLO)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "upstream_failed")
    told = raw_stream(user, "/chat/completions", model="failing", messages=HELLO)
    assert "upstream_error" in told
    assert "down" not in told
    assert user.settled_view().spent_base == 0


def test_half_a_character_is_no_reason_to_fail(shop: World) -> None:
    user = shop.user()
    answer = whole_answer(user, "/chat/completions", model="halves", messages=HELLO)
    assert rb"hi \ud83d" in answer.content
    assert user.settled_view().spent_base == USAGE_BASE
    message = whole_answer(user, "/messages", model="halves", messages=HELLO, max_tokens=9).json()
    assert message["content"][0]["text"] == "hi \ufffd"
    streamed_too = raw_stream(user, "/chat/completions", model="half-by-half", messages=HELLO)
    assert all(half.decode() in streamed_too for half in HALVES)
    assert "error" not in streamed_too
    told = raw_stream(user, "/messages", model="half-by-half", messages=HELLO, max_tokens=9)
    assert "hi \ufffd" in told
    assert "error" not in told
    assert user.settled_view().spent_base > 2 * USAGE_BASE


def test_a_number_that_is_none_is_the_providers_failure(shop: World) -> None:
    user = shop.user()
    refused = whole_answer(user, "/chat/completions", model="infinite", messages=HELLO)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "upstream_failed")
    assert user.settled_view().spent_base == 0


def test_a_provider_that_closes_its_connections_is_not_blamed(shop: World, odd: Scripted) -> None:
    user, calls = shop.user(), 8  # more than a breaker would bear
    for _ in range(calls):
        answer = whole_answer(user, "/chat/completions", model="closes", messages=HELLO)
        assert answer.status_code == 200
        assert "x-vibes-attempts" not in answer.headers
    assert odd.asked.count("closes") > calls
    assert user.settled_view().spent_base == calls * USAGE_BASE


@pytest.mark.parametrize("model", ["uncounted", "zero"])
def test_who_asks_is_told_what_was_counted_here(shop: World, model: str) -> None:
    user = shop.user()
    chunks = list(
        user.client().chat.completions.create(
            model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    (usage,) = [one.usage for one in chunks if one.usage]
    assert chunks[-1].usage is usage
    assert (chunks[-1].id, chunks[-1].choices) == ("c1", [])
    assert (usage.prompt_tokens, usage.completion_tokens) == (1, 3)
    assert user.settled_view().spent_base == 1 * 1000 + 3 * 2000
    assert spoken(user, model) == "three more words"
    assert user.settled_view().spent_base == 2 * (1 * 1000 + 3 * 2000)


def test_a_text_of_no_tokens_is_charged_as_counted_here(shop: World) -> None:
    user = shop.user()
    assert whole_answer(user, "/chat/completions", model="zero-whole", messages=HELLO).status_code == 200
    assert user.settled_view().spent_base == 1 * 1000 + 3 * 2000
