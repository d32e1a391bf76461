"""However a stream ends, its call is charged or released, once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mini_llm.answer import StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.errors import (
    AnswerTooLarge,
    ProviderError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from mini_llm.price import Price, Usage
from mini_llm.routing.plan import Candidate, Outcome
from mini_llm.surfaces import CHAT
from mini_llm.surfaces.base import StreamTranslator
from router.config_money import HangUp
from router.errors import ClientGone
from router.ledger.charges import PostedCharge
from router.metering import StreamMeter
from router.streaming import Client, LiveAnswer

REQUEST = CHAT.parse(b'{"model":"m","stream":true,"messages":[{"role":"user","content":"say words"}]}')
DEPLOYMENT = Deployment("p/m", "m", "p", "m", 1, Price(1_000_000, 3_000_000), 8192, 1024)


def spoken(text: str) -> StreamEvent:
    raw = f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n".encode()
    return StreamEvent(raw, pieces=1, text_bytes=len(text))


WORDS = [spoken("a few words")]
END = [StreamEvent(b"data: finish\n\n", finished=1), StreamEvent(b"data: [DONE]\n\n", done=True)]
FINISH = END[:1]


class Upstream:
    """A provider's stream: batches, then an error if there is one."""

    def __init__(self, batches: list[list[StreamEvent]], error: ProviderError | None = None) -> None:
        self.translator = CHAT.stream_from_chat(REQUEST)
        self.closed = 0
        self._batches, self._error = list(batches), error

    async def next_batch(self) -> list[StreamEvent]:
        if self._batches:
            return self._batches.pop(0)
        if self._error is not None:
            raise self._error
        return []

    async def aclose(self) -> None:
        self.closed += 1


class Ticket:
    replayable, request_id = True, "00"


class Desk:
    """In place of billing: notes how calls end."""

    drain = HangUp(seconds=0)

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.usage: Usage | None = None
        self.kept = b""

    async def charge(self, _t: Any, _d: Any, usage: Usage, answer: bytes, *_: Any) -> PostedCharge:
        self.ends.append("charged")
        self.usage, self.kept = usage, answer
        return PostedCharge(1, 0, None, late=False)

    async def release(self, _t: Any, _why: Any, _attempts: Any, usage: Usage | None = None) -> None:
        self.ends.append("released")
        self.usage = usage


def live(upstream: Upstream) -> tuple[LiveAnswer, Desk]:
    desk = Desk()
    served: Any = Outcome(upstream, Candidate(DEPLOYMENT, None), ())  # type: ignore[arg-type]
    answer = LiveAnswer(Ticket(), CHAT, REQUEST, served, desk, Client(stays))  # type: ignore[arg-type]
    return answer, desk


async def stays() -> None:
    await asyncio.Event().wait()


async def read_all(answer: LiveAnswer) -> bytes:
    said = b""
    while not answer.ended:
        said += await answer.next_piece()
    return said


async def slow_reader(answer: LiveAnswer, clock: list[float], seconds: float) -> bytes:
    said = b""
    while not answer.ended:
        said += await answer.next_piece()
        clock[0] += seconds
    return said


@pytest.mark.parametrize("error", [None, UpstreamUnreachable("p", "reset")])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_client_that_leaves_while_its_tokens_are_counted_leaves_no_reservation(
    monkeypatch: pytest.MonkeyPatch, error: ProviderError | None, times: int
) -> None:
    counting, counted = asyncio.Event(), 0
    count = StreamMeter.usage

    async def slowly(meter: StreamMeter) -> Usage:
        nonlocal counted
        counted += 1
        if counted == times and not counting.is_set():
            counting.set()
            await asyncio.Event().wait()
        return await count(meter)

    monkeypatch.setattr(StreamMeter, "usage", slowly)
    answer, desk = live(Upstream([WORDS] if error else [WORDS, END], error))
    sending = asyncio.ensure_future(read_all(answer))
    await asyncio.wait((sending, asyncio.ensure_future(counting.wait())), return_when="FIRST_COMPLETED")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await answer.aclose()
    assert len(desk.ends) == 1


async def test_an_answer_is_whole_without_its_end_mark() -> None:
    answer, desk = live(Upstream([WORDS, FINISH], UpstreamUnreachable("p", "reset")))
    said = await read_all(answer)
    await answer.aclose()
    assert desk.ends == ["charged"]
    assert b"error" not in said
    assert said.endswith(b"data: [DONE]\n\n")


async def test_what_was_used_is_known_although_the_provider_broke_off() -> None:
    answer, desk = live(Upstream([WORDS], UpstreamProtocolError("p", "no JSON")))
    await read_all(answer)
    assert desk.ends == ["released"]
    assert desk.usage is not None
    assert desk.usage.completion_tokens > 0


@pytest.mark.parametrize(("said", "end"), [(WORDS, "charged"), ([StreamEvent(b": ping\n\n")], "released")])
async def test_an_answer_that_is_longer_than_is_passed_on_is_paid_for_until_there(
    said: list[StreamEvent], end: str
) -> None:
    answer, desk = live(Upstream([said], AnswerTooLarge("p", 64 * 2**20)))
    told = await read_all(answer)
    await answer.aclose()
    assert desk.ends == [end]
    assert (b"answer_too_long" in told) is (end == "charged")


async def test_what_a_translation_says_at_the_end_comes_last() -> None:
    class Translator(StreamTranslator):
        def take(self, events: list[StreamEvent]) -> list[StreamEvent]:
            return events

        def end(self, usage: Usage) -> list[StreamEvent]:
            return [StreamEvent(b"data: closing\n\n")]

    upstream = Upstream([WORDS, END])
    upstream.translator = Translator()
    answer, desk = live(upstream)
    said = await read_all(answer)
    assert said.endswith(b"data: finish\n\ndata: closing\n\ndata: [DONE]\n\n")
    assert said == desk.kept + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("seconds", "error", "end"),
    [
        (11, UpstreamTimeout("p", 300), "charged"),
        (11, UpstreamUnreachable("p", "reset"), "charged"),
        (11, UpstreamProtocolError("p", "no JSON"), "released"),
        (1, UpstreamTimeout("p", 300), "released"),
    ],
)
async def test_a_client_that_stops_reading_until_the_provider_gives_up_pays(
    monkeypatch: pytest.MonkeyPatch, seconds: float, error: ProviderError, end: str
) -> None:
    clock = [0.0]
    monkeypatch.setattr("router.streaming.time.monotonic", lambda: clock[0])
    answer, desk = live(Upstream([WORDS], error))
    said = await slow_reader(answer, clock, seconds)
    await answer.aclose()
    assert desk.ends == [end]
    assert b"error" in said
    assert (desk.kept == said) is (end == "charged")


async def test_a_provider_is_read_on_only_for_what_was_generated_and_no_further_than_its_limit() -> None:
    upstream = Upstream([[StreamEvent(b"role")], WORDS, WORDS, WORDS, END])
    answer, desk = live(upstream)
    desk.drain = HangUp(seconds=3, bytes=len(WORDS[0].raw))
    graces = []
    for _ in range(2):
        await answer.next_piece()
        graces.append(answer.client.grace_s)
    assert graces == [0, 3]
    answer.client.gone = True
    await answer.next_piece()
    with pytest.raises(ClientGone):
        await answer.next_piece()
    await answer.aclose()
    assert desk.ends == ["charged"]


@pytest.mark.parametrize("read", [0, 1])
async def test_who_leaves_before_the_first_word_pays_for_the_prompt(read: int) -> None:
    answer, desk = live(Upstream([[StreamEvent(b"role")], WORDS, END]))
    for _ in range(read):
        await answer.next_piece()
    await answer.aclose()
    assert desk.ends == ["charged"]
    assert desk.usage is not None
    assert (desk.usage.prompt_tokens > 0, desk.usage.completion_tokens) == (True, 0)
