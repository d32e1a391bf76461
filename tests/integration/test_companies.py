"""Each row of the registry against a server that speaks its company's documented format."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from support.companies.facts import COMPANIES as DOCUMENTED
from support.companies.facts import TOLD_WAIT_S, Facts
from support.companies.openai_style import CALL_ID, KEY, REFUSED, REQUEST_ID, TEXT, Company
from support.companies.server import ASKED_HOST, Loopback, serving, stream

from mini_llm.answer import StreamEvent
from mini_llm.config import ProviderConfig
from mini_llm.deployment import Deployment
from mini_llm.errors import UpstreamRefused, UpstreamUnreachable
from mini_llm.http_transport import HttpTransport
from mini_llm.price import Price, Usage
from mini_llm.providers.base import Provider
from mini_llm.providers.registry import COMPANIES, build_provider
from mini_llm.request import Request
from mini_llm.surfaces import CHAT, SURFACES

UPSTREAM = Deployment(
    id="p/m",
    model="m",
    provider="p",
    upstream_model="upstream-1",
    partner_id=0,
    price=Price(1, 1),
    context_tokens=8_192,
    max_output_tokens=64,
)
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def ask(content: str = "hello", **fields: Any) -> Request:
    messages = [{"role": "user", "content": content}]
    body = {"model": "m", "messages": messages, "max_tokens": 9} | fields
    return CHAT.parse(json.dumps(body).encode())


@pytest.fixture(params=DOCUMENTED, ids=lambda facts: facts.type)
async def company(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Company, Provider]]:
    server = Company(request.param)
    async with serving(server) as address:
        http = Loopback(address)
        yield server, make(request.param, http)
        await http.aclose()


def make(facts: Facts, http: Loopback) -> Provider:
    config = ProviderConfig.model_validate({"type": facts.type, "base_url": facts.base_url})
    variable = COMPANIES[facts.type].key_variable
    assert variable is not None
    return build_provider("p", config, http, {variable: KEY})


async def collect(provider: Provider, request: Request) -> list[StreamEvent]:
    stream = await provider.open_stream(request, UPSTREAM)
    assert stream.upstream_id == REQUEST_ID
    try:
        return [event async for batch in stream.batches() for event in batch]
    finally:
        await stream.aclose()


def test_every_row_of_the_format_is_checked() -> None:
    native = {"anthropic", "google"}
    assert {facts.type for facts in DOCUMENTED} == COMPANIES.keys() - native


async def test_whole_answer(company: tuple[Company, Provider]) -> None:
    server, provider = company
    completion = await provider.complete(ask(seed=5), UPSTREAM)
    assert server.complaints == []
    assert json.loads(completion.body)["choices"][0]["message"]["content"] == TEXT
    assert (completion.usage, completion.upstream_id) == (server.facts.means, REQUEST_ID)
    assert 5 in (server.asked[0].get("seed"), server.asked[0].get("random_seed"))


@pytest.mark.parametrize("wanted", [True, False])
async def test_stream(company: tuple[Company, Provider], wanted: bool) -> None:
    server, provider = company
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    events = await collect(provider, ask(stream=True, **options))
    assert server.complaints == []
    assert CHAT.answer_text(b"".join(event.raw for event in events)) == TEXT
    assert [event.usage for event in events if event.usage][-1] == server.facts.means
    assert sum(event.finished for event in events) == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools(company: tuple[Company, Provider], streamed: bool) -> None:
    server, provider = company
    request = ask(tools=[TOOL], stream=streamed)
    if streamed:
        raw = b"".join(event.raw for event in await collect(provider, request))
    else:
        raw = (await provider.complete(request, UPSTREAM)).body
    assert server.complaints == []
    assert server.asked[0]["tools"] == [TOOL]
    assert CALL_ID.encode() in raw
    assert '{"word": "x"}' in CHAT.answer_text(raw)


ANSWERED = {
    "role": "assistant",
    "content": None,
    "refusal": None,
    "reasoning_content": "Hm.",
    "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}],
    "tool_calls": [
        {
            "id": CALL_ID,
            "type": "function",
            "function": {"name": "look_up", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        }
    ],
}
"""A turn as Anthropic and Google answer it in chat here."""
MARK = {"cache_control": {"type": "ephemeral"}}
KEEPS_THOUGHTS = {"deepseek", "moonshot", "zai", "openrouter"}
"""Some of those who want thoughts back."""


async def test_a_conversation_begun_at_another_company(company: tuple[Company, Provider]) -> None:
    server, provider = company
    result = {"role": "tool", "tool_call_id": CALL_ID, "name": "look_up", "content": "found"}
    told = [{"type": "text", "text": "Be brief.", **MARK}]
    messages = [{"role": "developer", "name": "boss", "content": told}]
    messages += [{"role": "user", "name": "ann", "content": "hi"}, ANSWERED, result | MARK]
    before = json.dumps(messages)
    wishes = {"user": "u", "store": False, "logit_bias": {}, "stream_options": None, "top_k": 5}
    wishes |= {"verbosity": "low"} if server.facts.type == "mistral" else {"prompt_cache_key": "k"}
    await provider.complete(ask(messages=messages, tools=[TOOL | MARK], **MARK, **wishes), UPSTREAM)
    assert server.complaints == []
    rules, said, turn, found = server.asked[0]["messages"]
    assert rules["content"][0]["text"] == "Be brief."
    assert ("name" in said) is ("user" in server.facts.named)
    assert ("name" in rules) is (rules["role"] in server.facts.named)
    assert ("cache_control" in rules["content"][0]) is server.facts.marks
    assert ("name" in found) is ("tool" in server.facts.named)
    assert found["tool_call_id"] == turn["tool_calls"][0]["id"]
    assert (found["tool_call_id"] == CALL_ID) is (server.facts.type != "mistral")
    assert "reasoning_content" in turn or server.facts.type not in KEEPS_THOUGHTS
    assert json.dumps(messages) == before
    refused = {"role": "assistant", "content": None, "refusal": "I cannot."}
    await provider.complete(ask(messages=[messages[0], refused, messages[0]]), UPSTREAM)
    assert server.complaints == []
    assert "I cannot." in server.asked[1]["messages"][1].values()


@pytest.mark.parametrize("kept", [{}, {"reasoning": "Hm."}])
async def test_thoughts_that_a_client_did_not_keep(
    company: tuple[Company, Provider], kept: dict[str, str]
) -> None:
    server, provider = company
    called = {"role": "assistant", "content": None, "tool_calls": ANSWERED["tool_calls"]} | kept
    result = {"role": "tool", "tool_call_id": CALL_ID, "content": "found"}
    user, cut = {"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}
    await provider.complete(ask(messages=[user, called, result, cut, user], tools=[TOOL]), UPSTREAM)
    assert server.complaints == []
    thoughts = server.asked[0]["messages"][1].get("reasoning_content")
    assert thoughts == (kept.get("reasoning", " ") if server.facts.insists else None)


async def test_thoughts_that_mistral_told(company: tuple[Company, Provider]) -> None:
    server, provider = company
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    text, user = {"type": "text", "text": "a"}, {"role": "user", "content": "hi"}
    called = {"role": "assistant", "content": [thought], "tool_calls": ANSWERED["tool_calls"]}
    result = {"role": "tool", "tool_call_id": CALL_ID, "content": "found"}
    cut, said = ({"role": "assistant", "content": content} for content in ([thought], [thought, text]))
    await provider.complete(ask(messages=[user, called, result, cut, said, user], tools=[TOOL]), UPSTREAM)
    assert server.complaints == []
    told = [one for one in server.asked[0]["messages"] if one["role"] == "assistant"]
    as_told = [[thought], [thought], [thought, text]]
    contents = [one["content"] for one in told]
    assert contents == (as_told if server.facts.type == "mistral" else [None, [text]])
    if server.facts.insists:
        assert told[0]["reasoning_content"] == "Hm."


@pytest.mark.parametrize("thinks", [True, False])
async def test_only_a_model_that_thinks_is_told_not_to(thinks: bool) -> None:
    able = UPSTREAM.capabilities | {"reasoning"} if thinks else UPSTREAM.capabilities - {"reasoning"}
    server = Company(DOCUMENTED[0])
    async with serving(server) as address:
        http = Loopback(address)
        provider = make(DOCUMENTED[0], http)
        await provider.complete(ask(reasoning_effort="none"), replace(UPSTREAM, capabilities=able))
        assert ("reasoning_effort" in server.asked[0]) is thinks
        await http.aclose()


async def test_another_server_gets_every_member() -> None:
    config = ProviderConfig.model_validate({"type": "openai", "base_url": "http://router.example/v1"})
    server = Company(replace(DOCUMENTED[0], cap_field="max_tokens"))
    async with serving(server) as address:
        http = Loopback(address)
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
        said = {"role": "assistant", "name": "x", "content": [thought, {"type": "text", "text": "a"} | MARK]}
        messages = [{"role": "user", "content": "hi"}, ANSWERED, said]
        request = ask(messages=messages, tools=[TOOL | MARK], top_k=5, **MARK)
        with pytest.raises(UpstreamRefused):
            await build_provider("p", config, http, {}).complete(request, UPSTREAM)
        (sent,) = server.asked
        assert sent["messages"] == messages
        assert (sent["tools"], sent["top_k"], sent["cache_control"]) == (
            [TOOL | MARK],
            5,
            MARK["cache_control"],
        )
        await http.aclose()


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("streamed", [False, True])
async def test_refusals(company: tuple[Company, Provider], status: int, streamed: bool) -> None:
    server, provider = company
    call = provider.open_stream if streamed else provider.complete
    with pytest.raises(UpstreamRefused) as refused:
        await call(ask(f"refuse {status}", stream=streamed), UPSTREAM)
    error = refused.value
    assert server.complaints == []
    assert (error.status, error.detail, error.request_id) == (status, REFUSED, REQUEST_ID)
    assert error.retry_after == (TOLD_WAIT_S if status == 429 else None)
    assert REFUSED not in str(error)
    assert KEY not in str(error)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_choice_that_failed_is_a_refusal(streamed: bool) -> None:
    facts = next(facts for facts in DOCUMENTED if facts.type == "openrouter")
    async with serving(Company(facts)) as address:
        http = Loopback(address)
        provider, request = make(facts, http), ask("fail", stream=streamed)
        with pytest.raises(UpstreamRefused) as refused:
            await (collect(provider, request) if streamed else provider.complete(request, UPSTREAM))
        await http.aclose()
    assert (refused.value.status, refused.value.detail) == (0 if streamed else 503, REFUSED)


@pytest.mark.parametrize("facts", DOCUMENTED, ids=lambda facts: facts.type)
async def test_stream_that_breaks(facts: Facts) -> None:
    async with serving(Company(facts)) as address:
        http = Loopback(address, HttpTransport())
        with pytest.raises(UpstreamUnreachable):
            await collect(make(facts, http), ask("cut", stream=True))
        await http.aclose()


@pytest.mark.parametrize("facts", DOCUMENTED, ids=lambda facts: facts.type)
async def test_formats_beside_chat(facts: Facts) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.headers[ASKED_HOST], request.path_qs, (await request.json())["input"]))
        usage = {"prompt_tokens": 4, "total_tokens": 4, "input_tokens": 4, "output_tokens": 0}
        return web.json_response({"data": [], "output": [], "usage": usage})

    query = f"?{facts.query}" if facts.query else ""
    async with serving(answer) as address:
        http = Loopback(address)
        provider = make(facts, http)
        assert provider.surfaces == {"chat"} | facts.also
        for name in sorted(facts.also):
            request = SURFACES[name].parse(b'{"model": "m", "input": "hi"}')
            completion = await provider.complete(request, UPSTREAM)
            assert completion.usage == Usage(4, 0)
            path = facts.path.replace("/chat/completions", f"/{name}")
            assert asked.pop() == (facts.host, path + query, "hi")
        await http.aclose()


RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
STREAMED = (
    {"type": "response.created", "response": RESPONSE | {"status": "in_progress"}},
    *({"type": "response.output_text.delta", "output_index": 0, "delta": piece} for piece in ("Hel", "lo, ")),
    {"type": "response.output_text.delta", "output_index": 0, "delta": "wörld"},
    {"type": "response.completed", "response": RESPONSE | {"usage": {"input_tokens": 4, "output_tokens": 3}}},
)


@pytest.mark.parametrize(
    "facts", [one for one in DOCUMENTED if "responses" in one.also], ids=lambda facts: facts.type
)
@pytest.mark.parametrize("cut", [False, True])
async def test_responses_as_a_stream(facts: Facts, cut: bool) -> None:
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((request.headers[ASKED_HOST], request.path_qs, await request.json()))
        told = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in STREAMED]
        return await stream(request, told[:2] if cut else told, {facts.id_header: REQUEST_ID}, cut=cut)

    async with serving(answer) as address:
        http = Loopback(address)
        request = SURFACES["responses"].parse(b'{"model": "m", "input": "hi", "stream": true}')
        if cut:
            with pytest.raises(UpstreamUnreachable):
                await collect(make(facts, http), request)
        else:
            events = await collect(make(facts, http), request)
            assert SURFACES["responses"].answer_text(b"".join(event.raw for event in events)) == TEXT
            assert [event.usage for event in events if event.usage] == [Usage(4, 3)]
            assert sum(event.finished for event in events) == 1
        ((host, path, body),) = asked
        assert (host, path) == (facts.host, facts.path.replace("/chat/completions", "/responses"))
        assert (body["model"], body["input"], body["stream"]) == ("upstream-1", "hi", True)
        await http.aclose()
