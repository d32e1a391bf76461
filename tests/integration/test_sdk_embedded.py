"""The library inside other programs: several event loops, pools of processes, messages of any make."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage
from support.apps import TEXT, ModelServer, Running, own, threaded

from mini_llm import AsyncClient, Client, StreamBrokeOff, UnknownModel, UpstreamRefused
from mini_llm.loops import PerLoop
from mini_llm.routing import catalog

LOOPS = 3


@pytest.fixture
def server() -> ModelServer:
    return ModelServer()


@pytest.fixture
def running(server: ModelServer) -> Iterator[Running]:
    with threaded(server) as running:
        yield running


@pytest.fixture
def app(server: ModelServer, running: Running) -> Iterator[Client]:
    with Client(own(server)) as client:
        yield client


def test_several_event_loops_share_a_client_and_each_keeps_its_connections(
    server: ModelServer, running: Running
) -> None:
    """No connection may pass from one loop to another, whatever the order in which they are given back."""
    app = AsyncClient(own(server))
    together = threading.Barrier(LOOPS)

    async def ask(number: int) -> list[str]:
        answers = []
        for _ in range(20):
            together.wait(10)  # stops this loop alone
            await asyncio.sleep(0.001 * number)
            answers.append((await app.chat("hello", model="m")).text)
        return answers

    with ThreadPoolExecutor(LOOPS) as pool:
        answers = list(pool.map(lambda number: asyncio.run(ask(number)), range(LOOPS)))
    assert answers == [[TEXT] * 20] * LOOPS
    assert len(server.callers) == LOOPS


def test_calls_wait_for_each_other_on_one_event_loop_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of asyncio is of use on the first loop on which two calls met there, and on no other."""
    monkeypatch.setattr(catalog, "DISCOVERY_INTERVAL_S", 0)
    app = AsyncClient(providers={"local": {"type": "local"}}, usage_log=False, wallet=None)

    async def ask() -> list[Any]:
        return await asyncio.gather(
            *(app.chat("hello", model="none") for _ in range(3)), return_exceptions=True
        )

    for _ in range(2):
        assert {type(error) for error in asyncio.run(ask())} == {UnknownModel}


def test_what_belongs_to_a_loop_that_ended_is_forgotten() -> None:
    made: PerLoop[list[None]] = PerLoop(list)

    async def look() -> list[None]:
        assert made() is made()
        return made()

    first, second = asyncio.run(look()), asyncio.run(look())
    assert first is not second
    assert len(made._made) == 1


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_answers_can_be_copied_and_sent_to_another_process(app: Client, again: Callable[[Any], Any]) -> None:
    answer = app.chat("hello", model="m")
    for copied in (again(answer), again(again(answer))):
        assert copied.model_dump() == answer.model_dump()
        assert (copied.text, copied.cost, copied.hops, copied.deployment, copied.decision) == (
            *(TEXT, answer.cost, answer.hops, "one/m", None),
        )
    assert again(answer.choices[0]).message.content == TEXT


def test_no_copy_of_an_answer_holds_a_key(server: ModelServer, running: Running) -> None:
    providers = {"one": {"base_url": server.url, "api_key": "sk-secret"}}
    with Client(own(server) | {"providers": providers}) as app:
        assert b"sk-secret" not in pickle.dumps(app.chat("hello", model="m"))
    assert server.keys == ["Bearer sk-secret"]


def test_errors_can_be_sent_to_another_process(server: ModelServer, app: Client) -> None:
    """One that cannot be read there leaves ``multiprocessing.Pool`` waiting for ever."""
    server.status, server.error = 400, {"message": "no", "code": "c"}
    with pytest.raises(UpstreamRefused) as refused:
        app.chat("hello", model="m")
    server.status, server.cut_after, server.word_delay_s = 200, 2, 0.05
    with pytest.raises(StreamBrokeOff) as broken:
        list(app.chat("hello", model="m", stream=True))
    for error in (refused.value, broken.value):
        copied = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(copied), str(copied), copied.hops) == (type(error), str(error), error.hops)
    assert (copied.pieces, str(copied.cause)) == (2, str(broken.value.cause))
    assert pickle.loads(pickle.dumps(refused.value)).code == "c"  # noqa: S301


def test_a_message_of_an_answer_goes_back_as_it_came(server: ModelServer, app: Client) -> None:
    said = app.chat("hello", model="m").choices[0].message
    app.chat("What is NaN?", model="m", messages=[{"role": "user", "content": "hello"}, said])
    assert server.asked[-1]["messages"][1] == {"role": "assistant", "content": TEXT}
    official = ChatCompletionMessage(role="assistant", content="NaN is a number, and Infinity too")
    app.chat("Why?", model="m", messages=[official])  # type: ignore[list-item]
    assert server.asked[-1]["messages"][0]["content"] == official.content


def test_a_stream_that_nobody_read_stops_its_provider(
    server: ModelServer, running: Running, app: Client
) -> None:
    server.words, server.word_delay_s = 10_000, 0.01
    app.chat("hello", model="m", stream=True)
    gc.collect()
    running.do(asyncio.wait_for(server.hung_up.wait(), 5))
