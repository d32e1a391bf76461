"""Calls go on when a provider fails: own routes in their order, then the wallet, with reasons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from support.apps import TEXT, ModelServer, model_servers, own, threaded

from mini_llm import (
    AsyncClient,
    Client,
    NoneCanServe,
    StreamBrokeOff,
    UnknownModel,
    UpstreamRefused,
)
from mini_llm.errors import AnswerLost
from mini_llm.request import encode
from mini_llm.server.app import LocalGateway
from mini_llm.surfaces import SURFACES
from mini_llm.wallet.errors import WalletNotSetUp

CALLS, AT_ONCE = 1000, 32


@asynccontextmanager
async def client(
    *servers: ModelServer, wallet: ModelServer | None = None, **more: Any
) -> AsyncIterator[AsyncClient]:
    """A client whose providers are ``servers``, in this order, and whose wallet is ``wallet``."""
    opened = [*servers, *([wallet] if wallet else [])]
    async with model_servers(*opened):
        paid = {"endpoint": wallet.url, "api_key": "w", "type": "custom"} if wallet else None
        async with AsyncClient(own(*servers, wallet=paid, **more)) as made:
            yield made


@asynccontextmanager
async def paying(router: ModelServer) -> AsyncIterator[AsyncClient]:
    """A client that has nothing but a wallet."""
    async with (
        model_servers(router),
        AsyncClient(own(wallet={"endpoint": router.url, "api_key": "w"})) as made,
    ):
        yield made


def told(hops: Any) -> list[tuple[str, str]]:
    return [(hop.provider, hop.outcome) for hop in hops]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, 529])
async def test_a_refusal_goes_to_the_next_route(status: int) -> None:
    first, second = ModelServer(status), ModelServer()
    async with client(first, second) as app:
        answer = await app.chat("hello", model="m")
    assert answer.text == TEXT
    assert told(answer.hops) == [("one", "UpstreamRefused"), ("two", "ok")]
    assert answer.hops[0].reason == f"provider 'one' answered with status {status}"
    assert answer.provider == "two"


async def test_a_refused_connection_goes_to_the_next_route() -> None:
    first, second = ModelServer(), ModelServer()
    async with client(first, second) as app:
        await first.close()
        answer = await app.chat("hello", model="m")
    assert told(answer.hops) == [("one", "UpstreamUnreachable"), ("two", "ok")]


async def test_silence_goes_to_the_next_route() -> None:
    first, second = ModelServer(delay_s=5), ModelServer()
    async with client(first, second, timeouts={"first_byte_s": 0.2}) as app:
        answer = await app.chat("hello", model="m")
    assert told(answer.hops) == [("one", "UpstreamTimeout"), ("two", "ok")]


async def test_a_context_that_is_too_short_goes_to_a_larger_one() -> None:
    error = {"message": "maximum context is 10 tokens", "code": "context_length_exceeded"}
    first, second = ModelServer(400, error=error), ModelServer()
    async with client(first, second) as app:
        answer = await app.chat("hello", model="m")
    assert told(answer.hops) == [("one", "UpstreamRefused"), ("two", "ok")]


async def test_a_context_known_to_be_too_short_is_not_asked() -> None:
    first, second = ModelServer(), ModelServer()
    async with model_servers(first, second):
        small = {"model": "m", "provider": "one", "context_tokens": 10, "max_output_tokens": 5}
        settings = own(
            first, second, deployments=[small, small | {"provider": "two", "context_tokens": 9000}]
        )
        async with AsyncClient(settings) as app:
            answer = await app.chat("word " * 100, model="m")
    assert told(answer.hops) == [("one", "passed over"), ("two", "ok")]
    assert "context of 10 tokens" in answer.hops[0].reason
    assert not first.asked


async def test_a_request_that_is_wrong_is_not_asked_elsewhere() -> None:
    first, second = ModelServer(400, error={"message": "temperature is too high"}), ModelServer()
    async with client(first, second) as app:
        with pytest.raises(UpstreamRefused) as caught:
            await app.chat("hello", model="m", temperature=9)
    assert caught.value.status == 400
    assert not second.asked


async def test_the_wallet_is_asked_last_and_by_its_own_key() -> None:
    first, second, wallet = ModelServer(401), ModelServer(429), ModelServer()
    async with client(first, second, wallet=wallet) as app:
        answer = await app.chat("hello", model="m")
    assert told(answer.hops) == [("one", "UpstreamRefused"), ("two", "UpstreamRefused"), ("wallet", "ok")]
    assert wallet.keys == ["Bearer w"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "wallet", [{"cut_after": 0}, {"status": 502}, {"status": 504}], ids=["broke off", "502", "504"]
)
async def test_a_call_that_may_have_been_paid_is_not_paid_again(wallet: dict[str, Any], stream: bool) -> None:
    router = ModelServer(**wallet)
    async with paying(router) as app:
        with pytest.raises(AnswerLost):
            await app.chat("hello", model="m", stream=stream)  # type: ignore[call-overload]
    assert len(router.asked) == 1


async def test_nor_does_an_official_client_pay_for_it_again_through_the_local_gateway() -> None:
    router = ModelServer(cut_after=0)
    async with paying(router) as app:
        http = httpx.AsyncClient(transport=httpx.ASGITransport(LocalGateway(app.engine)))
        async with openai.AsyncOpenAI(
            base_url="http://127.0.0.1/v1", api_key="any", http_client=http
        ) as client:
            with pytest.raises(openai.InternalServerError, match="cannot be reached"):
                await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert len(router.asked) == 1


async def test_a_router_that_says_that_nobody_served_is_asked_again() -> None:
    router = ModelServer(502, error={"message": "no", "code": "upstream_failed"})
    async with paying(router) as app:
        with pytest.raises(UpstreamRefused):
            await app.chat("hello", model="m")
    assert len(router.asked) > 1


@pytest.mark.parametrize("kind", ["vibes", "custom"])
async def test_the_wallet_gets_what_only_some_companies_take(kind: str) -> None:
    router = ModelServer()
    text = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "name": "ann", "content": [text]}]
    if kind == "vibes":
        messages.append({"role": "developer", "content": "Be brief."})
    async with (
        model_servers(router),
        AsyncClient(own(wallet={"endpoint": router.url, "api_key": "w", "type": kind})) as app,
    ):
        await app.chat(messages=messages, model="m", top_k=5)
    assert (router.asked[0]["messages"], router.asked[0]["top_k"]) == (messages, 5)


async def test_a_wallet_that_nobody_signed_in_to_stands_in_nobodys_way() -> None:
    first = ModelServer()
    async with model_servers(first):
        deposited = {"session_key": "0x1092", "daily_cap_usd": "5"}
        async with AsyncClient(own(first, wallet=deposited)) as app:
            assert (await app.chat("hello", model="m")).provider == "one"
        with pytest.raises(WalletNotSetUp):
            AsyncClient(own(wallet=deposited))


async def test_the_wallet_serves_what_nobody_else_is_known_to_serve() -> None:
    first, wallet = ModelServer(), ModelServer()
    async with model_servers(first, wallet):
        settings = own(wallet={"endpoint": wallet.url, "type": "custom"})
        settings["providers"] = {"openai": {"base_url": first.url, "models": ["gpt-*"]}}
        async with AsyncClient(settings) as app:
            assert (await app.chat("hello", model="claude-x")).provider == "wallet"
            assert (await app.chat("hello", model="gpt-x")).provider == "openai"


async def test_the_wallet_alone_is_asked_by_its_name() -> None:
    first, wallet = ModelServer(), ModelServer()
    async with client(first, wallet=wallet, aliases={"paid": "wallet/org/m"}) as app:
        for model in ("wallet/org/m", "paid"):
            assert told((await app.chat("hello", model=model)).hops) == [("wallet", "ok")]
    assert [one["model"] for one in wallet.asked] == ["org/m", "org/m"]
    async with client(first) as app:
        with pytest.raises(UnknownModel):
            await app.chat("hello", model="wallet/org/m")
    assert not first.asked


async def test_who_failed_before_is_passed_over_with_the_reason() -> None:
    first, second = ModelServer(401), ModelServer()
    async with client(first, second) as app:
        await app.chat("hello", model="m")
        answer = await app.chat("hello", model="m")
    assert told(answer.hops) == [("one", "passed over"), ("two", "ok")]
    assert "left alone for" in answer.hops[0].reason
    assert len(first.asked) == 1


async def test_when_all_fail_the_error_tells_of_each() -> None:
    first, second = ModelServer(401), ModelServer(403)
    async with client(first, second) as app:
        with pytest.raises(UpstreamRefused) as caught:
            await app.chat("hello", model="m")
    assert told(caught.value.hops) == [("one", "UpstreamRefused"), ("two", "UpstreamRefused")]
    assert "one/m: provider 'one' answered with status 401" in caught.value.__notes__[0]


async def test_a_model_of_a_named_provider_goes_there() -> None:
    first, second = ModelServer(), ModelServer()
    async with client(first, second) as app:
        answer = await app.chat("hello", model="two/org/model")
    assert answer.deployment == "two/org/model"
    assert second.asked[0]["model"] == "org/model"
    assert not first.asked


async def test_an_alias_tries_its_models_in_order() -> None:
    first, second = ModelServer(500), ModelServer()
    async with client(first, second, aliases={"fast": ["one/big", "two/small"]}) as app:
        answer = await app.chat("hello", model="fast")
    assert [hop.deployment for hop in answer.hops] == ["one/big", "two/small"]


async def test_a_route_names_deployments_that_need_not_be_listed() -> None:
    first, second = ModelServer(500), ModelServer()
    routes = {"mine": {"groups": [["one/big"], ["two/small"]], "retry": {"retries": 0}}}
    async with client(first, second, routes=routes) as app:
        answer = await app.chat("hello", model="mine")
    assert [hop.deployment for hop in answer.hops] == ["one/big", "two/small"]


async def test_nobody_serves_an_unknown_model() -> None:
    server = ModelServer()
    async with model_servers(server):
        settings = own() | {"providers": {"p": {"base_url": server.url, "models": ["a-*"]}}}
        async with AsyncClient(settings) as app:
            with pytest.raises(UnknownModel):
                await app.chat("hello", model="b-1")


async def test_an_address_of_ones_own_is_asked_after_a_company_that_has_the_model() -> None:
    mine, company = ModelServer(), ModelServer()
    async with model_servers(mine, company):
        settings = own(mine)
        settings["providers"]["two"] = {"base_url": company.url, "models": ["gpt-*"]}
        async with AsyncClient(settings) as app:
            assert (await app.chat("hello", model="gpt-x")).provider == "two"
            assert (await app.chat("hello", model="llama")).provider == "one"


async def test_a_server_of_this_machine_serves_what_it_lists() -> None:
    server, wallet = ModelServer(), ModelServer()
    async with model_servers(server, wallet):
        settings = own(wallet={"endpoint": wallet.url, "type": "custom"})
        settings["providers"] = {"local": {"type": "local", "servers": [server.url]}}
        async with AsyncClient(settings) as app:
            found = await app.chat("hello", model="listed-1")
            assert (found.provider, found.cost.usd) == ("local", "0")
            await server.kill()
            assert told((await app.chat("hello", model="listed-1")).hops)[-1] == ("wallet", "ok")


async def test_embeddings_fall_back_too() -> None:
    first, second = ModelServer(500), ModelServer()
    async with model_servers(first, second):
        settings = own(first, second)
        for provider in settings["providers"].values():
            provider["surfaces"] = ["embeddings"]
        async with AsyncClient(settings) as app:
            answer = await app.embed(["a", "b"], model="e")
    assert [item.embedding for item in answer.data] == [[0.5, 1.5], [0.5, 1.5]]
    assert told(answer.hops) == [("one", "UpstreamRefused"), ("two", "ok")]


async def test_what_no_provider_can_do_is_told() -> None:
    first = ModelServer()
    async with client(first) as app:
        with pytest.raises(NoneCanServe, match="one/e: does not speak embeddings"):
            await app.embed("a", model="e")


async def test_a_stream_falls_back_before_its_first_word() -> None:
    first, second = ModelServer(cut_after=0), ModelServer()
    async with client(first, second) as app, await app.chat("hello", model="m", stream=True) as stream:
        assert "".join([text async for text in stream.texts()]) == TEXT
    assert told(stream.hops) == [("one", "UpstreamUnreachable"), ("two", "ok")]


async def test_a_stream_that_breaks_off_says_how_far_it_came_and_is_not_begun_again() -> None:
    first, second = ModelServer(cut_after=2, word_delay_s=0.05), ModelServer()
    async with client(first, second) as app:
        stream, texts = await app.chat("hello", model="m", stream=True), list[str]()

        async def read() -> None:
            async for text in stream.texts():
                texts.append(text)

        with pytest.raises(StreamBrokeOff) as caught:
            await read()
    assert texts == ["Hel", "lo, "]
    assert (caught.value.pieces, caught.value.deployment) == (2, "one/m")
    assert caught.value.usage.completion_tokens > 0
    assert caught.value.usage.estimated
    assert not second.asked


async def test_a_thousand_calls_outlive_the_death_of_their_server() -> None:
    """The local model server is killed under load; the second server and the wallet serve the rest."""
    first, second, wallet = ModelServer(delay_s=0.002), ModelServer(status=503), ModelServer()
    async with client(first, second, wallet=wallet) as app:
        begun = 0

        async def worker() -> list[str]:
            nonlocal begun
            served = []
            while begun < CALLS:
                begun += 1
                if begun == CALLS // 4:
                    await first.kill()
                if begun == CALLS // 2:
                    second.status = 200
                answer = await app.chat("hello", model="m")
                assert answer.text == TEXT
                served.append(answer.provider)
            return served

        served = [one for many in await asyncio.gather(*(worker() for _ in range(AT_ONCE))) for one in many]
    assert len(served) == CALLS
    assert set(served) >= {"one", "wallet"}
    assert len(first.asked) < CALLS // 2


def test_a_thousand_calls_of_threads_outlive_the_death_of_their_server() -> None:
    first, second = ModelServer(delay_s=0.002), ModelServer()
    with threaded(first, second) as running, Client(own(first, second)) as app:

        def call(number: int) -> str:
            if number == CALLS // 4:
                running.do(first.kill())
            answer = app.chat("hello", model="m")
            assert answer.text == TEXT
            return answer.provider

        with ThreadPoolExecutor(AT_ONCE) as pool:
            served = list(pool.map(call, range(CALLS)))
    assert len(served) == CALLS
    assert set(served) == {"one", "two"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("surface", ["chat", "responses", "messages", "gemini"])
async def test_every_format_can_be_asked(surface: str, stream: bool) -> None:
    said = [{"role": "user", "content": "x"}]
    fields: dict[str, dict[str, Any]] = {
        "chat": {"messages": said},
        "responses": {"input": "x"},
        "messages": {"messages": said, "max_tokens": 9},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
    }
    in_path = surface == "gemini"
    body = encode(fields[surface] if in_path else fields[surface] | {"model": "m", "stream": stream})
    first, second = ModelServer(500), ModelServer()
    async with client(first, second) as app:
        parse = SURFACES[surface].parse
        request = parse(body, "m", stream) if in_path else parse(body)
        if stream:
            opened = await app.engine.open_stream(request)
            raw = b"".join([piece async for piece in opened.pieces()])
            usage = opened.usage
        else:
            answer = await app.engine.complete(request)
            raw, usage = answer.body, answer.usage
    assert SURFACES[surface].answer_text(raw) == TEXT
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 3)
