"""Streams: nothing counts as begun before its first content, and what breaks later is still blamed."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from support.routing import Bench, config, request

from mini_llm.answer import StreamEvent
from mini_llm.errors import ProviderError, UpstreamProtocolError, UpstreamRefused, UpstreamUnreachable
from mini_llm.price import Usage
from mini_llm.providers.base import UpstreamStream
from mini_llm.routing.asking import SLOW_READER_S, OpenedStream
from mini_llm.routing.breaker import State
from mini_llm.surfaces import CHAT

ROLE, WORD, END = (
    StreamEvent(b"role"),
    StreamEvent(b"word", pieces=1, text_bytes=4),
    StreamEvent(b"end", done=True),
)


class Scripted(UpstreamStream):
    def __init__(self, *script: list[StreamEvent] | ProviderError) -> None:
        self.script, self.read, self.closed = script, 0, False

    async def next_batch(self) -> list[StreamEvent]:
        if self.read == len(self.script):
            return []
        step = self.script[self.read]
        self.read += 1
        if isinstance(step, ProviderError):
            raise step
        return step

    async def aclose(self) -> None:
        self.closed = True


class Provider:
    name, surfaces = "p", frozenset({"chat"})

    def __init__(self, stream: Scripted) -> None:
        self.stream = stream

    async def open_stream(self, *_: Any) -> Scripted:
        return self.stream


async def opened(bench: Bench, *streams: Scripted) -> OpenedStream:
    plan = await bench.plan(stream=True)
    for candidate, stream in zip(plan.candidates, streams, strict=False):
        object.__setattr__(candidate, "provider", Provider(stream))
    outcome = await bench.routes.open_stream(plan, CHAT, request(stream=True), [])
    return outcome.result


def bench(**more: Any) -> Bench:
    route = {"groups": [["a"], ["b"]]}
    return Bench(config("a", "b", routes={"m": route}, retry={"retries": 0}, **more))


async def test_first_content_is_waited_for_and_nothing_is_lost() -> None:
    stream = Scripted([ROLE], [ROLE, WORD], [WORD], [END])
    begun = await opened(bench(), stream)
    assert stream.read == 2
    assert [events async for events in begun.batches()] == [[ROLE, ROLE, WORD], [WORD], [END]]


@pytest.mark.parametrize(
    "broken",
    [
        Scripted([ROLE], UpstreamRefused("p", 0)),
        Scripted(UpstreamUnreachable("p", "reset")),
        Scripted([ROLE]),
    ],
)
async def test_what_breaks_before_its_content_is_replaced(broken: Scripted) -> None:
    made = bench()
    begun = await opened(made, broken, Scripted([WORD], [END]))
    assert broken.closed
    assert [events async for events in begun.batches()] == [[WORD], [END]]
    assert made.health("a").failures == 1


async def test_what_breaks_later_is_raised_and_blamed() -> None:
    made = bench()
    begun = await opened(made, Scripted([WORD], UpstreamProtocolError("p", "x")))
    with pytest.raises(UpstreamProtocolError):
        _ = [events async for events in begun.batches()]
    assert (made.health("a").calls, made.health("a").failures) == (1, 1)


async def test_stream_counts_as_a_call_until_it_is_closed() -> None:
    made = bench(deployment={"max_parallel": 1})
    stream = Scripted([WORD], [END])
    begun = await opened(made, stream)
    assert made.health("a").in_flight == 1
    assert await made.names() == ["b"]
    await begun.aclose()
    await begun.aclose()
    assert stream.closed
    assert made.health("a").in_flight == 0


async def test_tokens_of_a_stream_count_towards_the_minute() -> None:
    made = bench(deployment={"tpm": 10})
    begun = await opened(made, Scripted([WORD], [replace(END, usage=Usage(9, 1))]))
    _ = [events async for events in begun.batches()]
    await begun.aclose()
    assert await made.names() == ["b"]


LOST = UpstreamUnreachable("p", "reset")


async def read(begun: OpenedStream) -> None:
    with suppress(ProviderError):
        _ = [events async for events in begun.batches()]
    await begun.aclose()


async def test_deployment_that_breaks_off_every_stream_is_left_alone(caplog: Any) -> None:
    made = bench(breaker={"ratio": 1.0})
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert made.health("a").breaker.state is State.CLOSED
            await read(await opened(made, Scripted([WORD], LOST)))
    assert made.health("a").breaker.state is State.OPEN
    assert await made.names(stream=True) == ["b", "a"]
    assert "deployment a is left alone for 5 s: it fails too often" in caplog.text


async def test_streams_that_break_off_count_in_a_row_though_each_has_begun() -> None:
    made = bench(breaker={"failures": 100})
    for _ in range(10):
        assert made.health("a").breaker.state is State.CLOSED
        await read(await opened(made, Scripted([WORD], LOST)))
    assert made.health("a").breaker.state is State.OPEN


async def test_stream_without_its_end_is_broken_off_too() -> None:
    made = bench(breaker={"failures": 1, "ratio": 1.0})
    await read(await opened(made, Scripted([WORD], [WORD])))
    assert (made.health("a").failures, made.health("a").breaker.state) == (1, State.OPEN)


async def test_stream_of_which_only_the_end_mark_is_missing_went_well() -> None:
    made = bench(breaker={"failures": 1, "ratio": 1.0})
    finished = replace(WORD, finished=1)
    await read(await opened(made, Scripted([WORD], [finished], LOST)))
    await read(await opened(made, Scripted([WORD], [finished])))
    assert (made.health("a").failures, made.health("a").breaker.state) == (0, State.CLOSED)


async def test_reader_who_leaves_counts_neither_way() -> None:
    made = bench(breaker={"failures": 2, "in_a_row": 2})
    await read(await opened(made, Scripted([WORD], LOST)))
    for _ in range(10):
        begun = await opened(made, Scripted([WORD], [WORD], [END]))
        await begun.next_batch()
        await begun.aclose()
    assert made.health("a").breaker.state is State.CLOSED
    await read(await opened(made, Scripted([WORD], LOST)))
    assert made.health("a").breaker.state is State.OPEN


@pytest.mark.parametrize("stream", [Scripted([WORD], LOST), Scripted([WORD])], ids=["breaks", "ends"])
async def test_stream_that_fails_on_a_reader_who_stayed_away_is_not_blamed(stream: Scripted) -> None:
    made = bench(breaker={"failures": 1})
    begun = await opened(made, stream)
    await begun.next_batch()
    made.clock.now_s += SLOW_READER_S
    await read(begun)
    assert (made.health("a").failures, made.health("a").breaker.state) == (0, State.CLOSED)


async def test_streams_from_before_it_opened_decide_nothing() -> None:
    made = bench(breaker={"failures": 1, "closes_after": 1})
    early = [await opened(made, Scripted([WORD], LOST)), await opened(made, Scripted([WORD], [END]))]
    await read(await opened(made, Scripted([WORD], LOST)))
    made.clock.now_s += 5
    probe = await opened(made, Scripted([WORD], [END]))
    for begun in early:
        await read(begun)
        assert made.health("a").breaker.state is State.HALF_OPEN
    await read(probe)
    assert made.health("a").breaker.state is State.CLOSED


async def test_half_open_breaker_waits_for_the_end_of_its_probe() -> None:
    made = bench(breaker={"failures": 1, "closes_after": 1})
    await read(await opened(made, Scripted([WORD], LOST)))
    made.clock.now_s += 5
    probe = await opened(made, Scripted([WORD], LOST))
    assert made.health("a").breaker.state is State.HALF_OPEN
    assert await made.names(stream=True) == ["b", "a"]
    await read(probe)
    assert (made.health("a").breaker.state, made.health("a").breaker.until_s) == (State.OPEN, 1015)
