"""Answers that are legal, or usual, and not what OpenAI sends: what of them clients can use, they get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from router_upstream import Upstream
from router_world import User, World, make_world
from support.scripted import DONE, USAGE, Scripted, chunk, scripted, streamed

HELLO: Any = [{"role": "user", "content": "hi"}]
PRICE = {"prompt_usd_per_mtok": "10", "completion_usd_per_mtok": "20"}
USAGE_BASE = USAGE["prompt_tokens"] * 1000 + USAGE["completion_tokens"] * 2000
RECEIPT = re.compile(r"\A: vibes-receipt \S+\n(?:event: \S+\n)?data: ")
TELLS_USAGE = chunk(None, usage=USAGE)
ANSWERS = {
    "numbered": [
        streamed(
            b"retry: 3000\n\n: welcome\n\n",
            b"id: 1\n" + chunk({"content": "a"}),
            b"id: 2\n" + chunk({"content": "b"}) + b"id: 3\n" + chunk({}, "stop"),
            b": still here\n\n" + TELLS_USAGE + DONE,
        )
    ],
}


@pytest.fixture(scope="module")
def odd() -> Iterator[Scripted]:
    with scripted() as server:
        server.answers.update(ANSWERS)
        yield server


@pytest.fixture(scope="module")
def shop(odd: Scripted, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router in front of them."""
    limits = {"context_tokens": 4000, "max_output_tokens": 100}
    more = {
        "providers": {"odd": {"base_url": odd.url}},
        "deployments": [{"model": one, "provider": "odd", "partner": 1} | PRICE | limits for one in ANSWERS],
    }
    world = make_world(tmp_path_factory.mktemp("odd"), upstream, more)
    yield world
    world.router.stop()
    world.ledger.close()


def spoken(user: User, model: str) -> str:
    """What OpenAI's client reads of a stream."""
    chunks = user.client().chat.completions.create(model=model, messages=HELLO, stream=True)
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)


def raw_stream(user: User, path: str, **fields: Any) -> str:
    with user.http() as http:
        return http.post(path, json=fields | {"stream": True}).text


def test_a_stream_with_numbers_is_read_to_its_end(shop: World) -> None:
    user = shop.user()
    assert spoken(user, "numbered") == "ab"
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
