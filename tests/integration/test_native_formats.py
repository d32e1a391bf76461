"""Chat calls to Anthropic and Google in their own formats; the official SDKs vouch for their stand-ins."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from support.companies import anthropic_api, gemini_api
from support.companies.server import Loopback, serving

from mini_llm.answer import StreamEvent
from mini_llm.config import ProviderConfig
from mini_llm.deployment import Deployment
from mini_llm.errors import BadRequest, UpstreamRefused, UpstreamUnreachable
from mini_llm.http_transport import HttpTransport
from mini_llm.price import Price, Usage
from mini_llm.providers.base import Provider
from mini_llm.providers.registry import build_provider
from mini_llm.request import Request
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.transport import Timeouts

SONNET, GEMINI = "claude-sonnet-4-5", "gemini-3-flash"
TEXT = "Hello, wörld"
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
}
ANTHROPIC_MEANS = Usage(
    25, 9, cached_tokens=8, cache_write_tokens=5, cache_write_1h_tokens=2, reasoning_tokens=4
)
GEMINI_MEANS = Usage(23, 9, cached_tokens=8, audio_prompt_tokens=4, reasoning_tokens=4)


def deployment(model: str) -> Deployment:
    return Deployment(
        id=f"p/{model}",
        model="m",
        provider="p",
        upstream_model=model,
        partner_id=0,
        price=Price(1, 1),
        context_tokens=100_000,
        max_output_tokens=20_000,
    )


def ask(content: Any = "hello", **fields: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": content}]} | fields
    return CHAT.parse(json.dumps(body).encode())


class Native:
    """One company with its stand-in: the provider, what it was asked, and what its usage means."""

    def __init__(self, server: Any, provider: Provider, http: Loopback, model: str, means: Usage) -> None:
        self.server, self.provider, self.http = server, provider, http
        self.deployment, self.means = deployment(model), means

    async def whole(self, request: Request) -> dict[str, Any]:
        completion = await self.provider.complete(request, self.deployment)
        assert completion.usage == self.means
        answer: dict[str, Any] = json.loads(completion.body)
        return answer

    async def events(self, request: Request) -> list[StreamEvent]:
        stream = await self.provider.open_stream(request, self.deployment)
        try:
            return [event async for batch in stream.batches() for event in batch]
        finally:
            await stream.aclose()

    @property
    def sent(self) -> dict[str, Any]:
        body: dict[str, Any] = self.server.asked[-1]
        return body


async def native(kind: str) -> AsyncIterator[Native]:
    server: Any = anthropic_api.Anthropic() if kind == "anthropic" else gemini_api.Gemini()
    model, means, key = (
        (SONNET, ANTHROPIC_MEANS, anthropic_api.KEY)
        if kind == "anthropic"
        else (GEMINI, GEMINI_MEANS, gemini_api.KEY)
    )
    async with serving(server) as address:
        transport = Loopback(address, HttpTransport())
        config = ProviderConfig.model_validate({"type": kind, "api_key": key})
        yield Native(server, build_provider("p", config, transport), transport, model, means)
        await transport.aclose()


@pytest.fixture(params=["anthropic", "google"])
async def company(request: pytest.FixtureRequest) -> AsyncIterator[Native]:
    async for one in native(request.param):
        yield one


@pytest.fixture
async def claude() -> AsyncIterator[Native]:
    async for one in native("anthropic"):
        yield one


@pytest.fixture
async def gemini() -> AsyncIterator[Native]:
    async for one in native("google"):
        yield one


def chunks(events: list[StreamEvent]) -> list[dict[str, Any]]:
    raws = b"".join(event.raw for event in events).split(b"\n\n")
    return [json.loads(raw.removeprefix(b"data: ")) for raw in raws if raw]


async def test_the_official_anthropic_client_understands_the_stand_in() -> None:
    async with (
        serving(anthropic_api.Anthropic()) as address,
        anthropic.AsyncAnthropic(api_key=anthropic_api.KEY, base_url=address, max_retries=0) as client,
    ):
        asked: Any = {"model": SONNET, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
        message = await client.messages.create(**asked)
        assert [block.to_dict()["text"] for block in message.content] == [TEXT]
        async with client.messages.stream(**asked) as stream:
            final = await stream.get_final_message()
        assert [block.to_dict()["text"] for block in final.content] == [TEXT]
        assert final.stop_reason == "end_turn"
        counted = await client.messages.count_tokens(model=SONNET, messages=asked["messages"])
        assert counted.input_tokens == 25
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(**asked | {"messages": [{"role": "user", "content": "refuse 429"}]})


async def test_the_official_google_client_understands_the_stand_in() -> None:
    async with serving(gemini_api.Gemini()) as address:
        client = genai.Client(api_key=gemini_api.KEY, http_options=types.HttpOptions(base_url=address)).aio
        answer = await client.models.generate_content(model=GEMINI, contents="hi")
        assert answer.text == TEXT
        streamed = [
            part.text
            async for part in await client.models.generate_content_stream(model=GEMINI, contents="hi")
        ]
        assert streamed == ["Hel", "lo, ", "wörld"]
        with pytest.raises(genai_errors.ClientError):
            await client.models.generate_content(model=GEMINI, contents="refuse 429")
        await client.aclose()


async def test_a_whole_answer(company: Native) -> None:
    answer = await company.whole(ask(max_tokens=9, stop=["END", " "], seed=3))
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (TEXT, "stop")
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 8
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4


async def test_a_stream(company: Native) -> None:
    events = await company.events(ask(stream=True))
    assert CHAT.answer_text(b"".join(event.raw for event in events)) == TEXT
    assert [event.usage for event in events if event.usage][-1] == company.means
    assert [event.finished for event in events if event.finished] == [1]
    assert [event.bare_usage for event in events][-1:] == [True]
    told = chunks(events)
    assert told[0]["choices"][0]["delta"]["role"] == "assistant"
    assert told[-2]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["object"] for chunk in told} == {"chat.completion.chunk"}
    assert told[-1]["usage"]["total_tokens"] == company.means.prompt_tokens + 9


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_there_and_back(company: Native, streamed: bool) -> None:
    request = ask(tools=[TOOL], tool_choice="required", parallel_tool_calls=False, stream=streamed)
    if streamed:
        deltas = [c["choices"][0]["delta"] for c in chunks(await company.events(request)) if c["choices"]]
        parts = [call for delta in deltas for call in delta.get("tool_calls", ())]
        call = parts[0] | {
            "function": {
                "name": parts[0]["function"]["name"],
                "arguments": "".join(part["function"].get("arguments", "") for part in parts),
            }
        }
        assert {part.pop("index") for part in parts} == {0}
        call.pop("index", None)
        message = {"role": "assistant", "content": TEXT, "tool_calls": [call]}
    else:
        (choice,) = (await company.whole(request))["choices"]
        assert choice["finish_reason"] == "tool_calls"
        message = choice["message"]
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "look_up"
    assert json.loads(call["function"]["arguments"]) == {"word": "x"}
    result = {"role": "tool", "tool_call_id": call["id"], "content": '{"found": 1}'}
    user = {"role": "user", "content": "look it up"}
    await company.whole(ask(messages=[user, message, result], tools=[TOOL]))
    if isinstance(company.server, gemini_api.Gemini):
        _, asked, answered = company.sent["contents"]
        assert asked["parts"][-1]["thoughtSignature"] == gemini_api.SIGNATURE
        said = {"id": call["id"], "name": "look_up", "response": {"found": 1}}
        assert answered["parts"] == [{"functionResponse": said}]
    else:
        _, asked, answered = company.sent["messages"]
        assert [block["type"] for block in asked["content"]] == ["text", "tool_use"]
        assert (answered["role"], answered["content"][0]["tool_use_id"]) == ("user", call["id"])


async def test_images_files_and_system_texts(company: Native) -> None:
    content = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.webp?x=1"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
    ]
    messages = [
        {"role": "system", "content": "one"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": content},
        {"role": "user", "content": "well?"},
    ]
    await company.whole(ask(messages=messages))
    if isinstance(company.server, gemini_api.Gemini):
        assert company.sent["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}]}
        assert company.sent["contents"][0]["parts"][1:4] == [
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/a.webp?x=1"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        ]
    else:
        assert [block["text"] for block in company.sent["system"]] == ["one", "two"]
        (turn,) = company.sent["messages"]  # two turns of the user are one
        assert [block["type"] for block in turn["content"]] == ["text", "image", "image", "document", "text"]
        assert turn["content"][2]["source"] == {"type": "url", "url": "https://example.com/a.webp?x=1"}


async def test_json_schema(company: Native) -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1, "$comment": "x"}}, "required": ["a"]}
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    await company.whole(ask(response_format=shape))
    if isinstance(company.server, gemini_api.Gemini):
        config = company.sent["generationConfig"]
        assert config["responseMimeType"] == "application/json"
        assert config["responseJsonSchema"]["properties"] == {"a": {"enum": [1]}}
    else:
        closed = {"properties": {"a": {"const": 1}}, "additionalProperties": False}
        assert company.sent["output_config"]["format"] == {"type": "json_schema", "schema": schema | closed}


@pytest.mark.parametrize("streamed", [False, True])
async def test_thoughts(company: Native, streamed: bool) -> None:
    request = ask(reasoning_effort="medium", max_tokens=10_000, temperature=0.3, stream=streamed)
    if streamed:
        deltas = [c["choices"][0]["delta"] for c in chunks(await company.events(request)) if c["choices"]]
        thought = "".join(delta.get("reasoning_content", "") for delta in deltas)
        signed = [block for delta in deltas for block in delta.get("thinking_blocks", ())]
    else:
        message = (await company.whole(request))["choices"][0]["message"]
        thought, signed = message["reasoning_content"], message.get("thinking_blocks", [])
    assert thought == "Let me see."
    if isinstance(company.server, gemini_api.Gemini):
        wanted = {"includeThoughts": True, "thinkingLevel": "MEDIUM"}
        assert company.sent["generationConfig"]["thinkingConfig"] == wanted
    else:
        assert company.sent["thinking"] == {"type": "enabled", "budget_tokens": 8192}
        assert "temperature" not in company.sent  # refused beside thinking
        assert [(block["thinking"], block["signature"]) for block in signed] == [
            (thought, anthropic_api.SIGNATURE)
        ]


@pytest.mark.parametrize("thinks", [True, False])
async def test_only_a_gemini_that_thinks_is_told_not_to(gemini: Native, thinks: bool) -> None:
    able = gemini.deployment.capabilities - {"reasoning"} | ({"reasoning"} if thinks else set())
    gemini.deployment = replace(gemini.deployment, capabilities=able)
    await gemini.whole(ask(reasoning_effort="none"))
    assert ("thinkingConfig" in gemini.sent.get("generationConfig", {})) is thinks


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("streamed", [False, True])
async def test_refusals(company: Native, status: int, streamed: bool) -> None:
    call = company.provider.open_stream if streamed else company.provider.complete
    with pytest.raises(UpstreamRefused) as refused:
        await call(ask(f"refuse {status}", stream=streamed), company.deployment)
    assert (refused.value.status, refused.value.detail) == (status, "words of the company")
    assert refused.value.retry_after == (7.0 if status == 429 else None)
    assert refused.value.kind


async def test_overload_is_told_before_and_within_a_stream(claude: Native, gemini: Native) -> None:
    with pytest.raises(UpstreamRefused) as refused:
        await claude.provider.complete(ask("refuse 529"), claude.deployment)
    assert (refused.value.status, refused.value.kind) == (529, "overloaded_error")
    for company, word, kind in ((claude, "overload", "overloaded_error"), (gemini, "break", "UNAVAILABLE")):
        with pytest.raises(UpstreamRefused) as refused:
            await company.events(ask(word, stream=True))
        assert (refused.value.status, refused.value.kind) == (0, kind)


@pytest.mark.parametrize("kind", ["anthropic", "google"])
async def test_a_stream_that_breaks(kind: str) -> None:
    async for company in native(kind):
        with pytest.raises(UpstreamUnreachable):
            await company.events(ask("cut", stream=True))


async def test_finish_reasons(claude: Native, gemini: Native) -> None:
    for company, name, reasons in (
        (claude, "stop_reason", {"max_tokens": "length", "refusal": "content_filter", "pause_turn": "stop"}),
        (gemini, "finish_reason", {"MAX_TOKENS": "length", "CONTINUATION": "length"}),
        (gemini, "finish_reason", {"SAFETY": "content_filter", "ESCALATION": "content_filter"}),
        (gemini, "finish_reason", dict.fromkeys(("MALFORMED_FUNCTION_CALL", "OTHER"), "content_filter")),
    ):
        for theirs, ours in reasons.items():
            setattr(company.server, name, theirs)
            assert (await company.whole(ask()))["choices"][0]["finish_reason"] == ours
            finishes = [
                c["choices"][0]["finish_reason"] for c in chunks(await company.events(ask(stream=True)))[:-1]
            ]
            assert finishes[-1] == ours


async def test_a_blocked_prompt_is_a_filtered_answer(gemini: Native) -> None:
    (choice,) = (await gemini.whole(ask("block")))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "content_filter")
    events = await gemini.events(ask("block", stream=True))
    assert [event.finished for event in events] == [1, 0]


async def test_tokens_are_counted_by_the_provider(company: Native) -> None:
    request = ask(max_tokens=9, stream=True, tools=[TOOL])
    assert await company.provider.count_tokens(request, company.deployment) == 25


async def test_models_that_think_by_effort_and_take_no_sampling(claude: Native) -> None:
    claude.deployment = deployment("claude-opus-5")
    await claude.whole(ask(reasoning_effort="low", temperature=1.5))
    assert claude.sent["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert claude.sent["output_config"] == {"effort": "low"}
    assert "temperature" not in claude.sent
    claude.deployment = deployment(SONNET)
    await claude.whole(ask(temperature=1.5))
    assert claude.sent["temperature"] == 1


async def test_no_budget_where_none_fits(claude: Native) -> None:
    await claude.whole(ask(reasoning_effort="high", max_tokens=900))
    assert "thinking" not in claude.sent
    await claude.whole(ask(reasoning_effort="high", max_tokens=3000))
    assert claude.sent["thinking"]["budget_tokens"] == 2999


def saying(part: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0"),
        ({"tools": [TOOL], "tool_choice": "always"}, "tool_choice"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0",
        ),
        (saying({"type": "text"}), "messages.0.content.0"),
        (saying({"type": "video", "video": {}}), "messages.0"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
async def test_what_cannot_be_said_is_refused(company: Native, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await company.provider.complete(ask(**fields), company.deployment)
    assert refused.value.param == param
    assert company.server.asked == []


async def test_calls_without_signature_get_the_documented_one(gemini: Native) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "plain"},
    ]
    await gemini.whole(ask(messages=messages))
    assert gemini.sent["contents"][2]["parts"][0]["functionResponse"]["response"] == {"result": "plain"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_own_formats_pass_untouched(company: Native, streamed: bool) -> None:
    if isinstance(company.server, gemini_api.Gemini):
        name, told = "gemini", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        request = SURFACES[name].parse(json.dumps(told).encode(), "m", streamed)
    else:
        name, told = "messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
        request = SURFACES[name].parse(json.dumps(told | {"model": "m", "stream": streamed}).encode())
    if streamed:
        events = await company.events(request)
        raw = b"".join(event.raw for event in events)
        assert [event.usage for event in events if event.usage][-1] == company.means
        assert sum(event.finished for event in events) == 1
    else:
        completion = await company.provider.complete(request, company.deployment)
        assert completion.usage == company.means
        raw = completion.body
    assert SURFACES[name].answer_text(raw) == TEXT
    assert company.sent.items() >= told.items() or "generationConfig" in company.sent


async def test_gemini_embeds(gemini: Native) -> None:
    fields: dict[str, Any] = {"model": "m", "input": ["a", "bcd"], "dimensions": 2}
    request = SURFACES["embeddings"].parse(json.dumps(fields).encode())
    completion = await gemini.provider.complete(request, gemini.deployment)
    answer = json.loads(completion.body)
    assert [item["embedding"] for item in answer["data"]] == [[1.0, 0.5], [3.0, 0.5]]
    assert completion.usage == Usage(4, 0)
    assert gemini.sent["requests"][1]["outputDimensionality"] == 2
    encoded = SURFACES["embeddings"].parse(json.dumps(fields | {"encoding_format": "base64"}).encode())
    answer = json.loads((await gemini.provider.complete(encoded, gemini.deployment)).body)
    assert answer["data"][0]["embedding"] == "AACAPwAAAD8="  # 1.0 and 0.5 as little-endian floats
    tokens = SURFACES["embeddings"].parse(json.dumps(fields | {"input": [1, 2]}).encode())
    with pytest.raises(BadRequest):
        await gemini.provider.complete(tokens, gemini.deployment)


async def test_the_timeouts_of_a_deployment_hold(company: Native) -> None:
    own = Timeouts(first_byte_s=3.0, total_s=9.0)
    company.deployment = replace(company.deployment, timeouts=own)
    await company.whole(ask())
    await company.events(ask(stream=True))
    assert company.http.timeouts == [own, own]
