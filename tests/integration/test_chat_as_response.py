"""Chat with tools at models of OpenAI's that think beside tools in the Responses API only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter
from support.companies.server import Loopback, serving, stream

from mini_llm.config import ProviderConfig
from mini_llm.deployment import Deployment
from mini_llm.errors import UpstreamRefused
from mini_llm.price import Price, Usage
from mini_llm.providers.base import Provider
from mini_llm.providers.registry import build_provider
from mini_llm.request import Request
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.wording import json_events

MODEL = Deployment(
    id="p/m",
    model="m",
    provider="p",
    upstream_model="gpt-5.6-terra",
    partner_id=0,
    price=Price(1, 1),
    context_tokens=400_000,
    max_output_tokens=None,
)
USER = {"role": "user", "content": "weather?"}
FUNCTION = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
PNG = "data:image/png;base64,iVBORw0KGgo="
USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 29,
}
COUNTED = Usage(20, 9, cached_tokens=8, cache_write_tokens=2, reasoning_tokens=4)
REFUSED = "Function tools with reasoning_effort are not supported for this model in /v1/chat/completions."
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ASKED: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)
DETAILS = {"length": {"reason": "max_output_tokens"}, "content_filter": {"reason": "content_filter"}}


class OpenAI:
    """Calls two tools unless it has their results; does what the last word of the user says else."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((request.path, body))
        if request.path == "/v1/chat/completions":
            error = {"message": REFUSED, "type": "invalid_request_error", "param": "reasoning_effort"}
            return web.json_response({"error": error | {"code": None}}, status=400)
        ASKED.validate_python({name: value for name, value in body.items() if name != "stream"})
        response = self._response(body)
        if not body.get("stream"):
            return web.json_response(response)
        told = [EVENT.validate_python(one).to_dict() for one in self._events(response)]
        return await stream(
            request, [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in told], {}
        )

    def _response(self, body: dict[str, Any]) -> dict[str, Any]:
        said = [item for item in body["input"] if item.get("role") == "user"][-1]["content"][-1].get(
            "text", ""
        )
        output: list[dict[str, Any]] = [{"id": "rs", "type": "reasoning", "summary": []}]
        if any(item["type"] == "function_call_output" for item in body["input"]) or said in DETAILS:
            part = {"type": "output_text", "text": "Sunny, wörld.", "annotations": []}
            message = {"id": "msg", "type": "message", "role": "assistant", "status": "completed"}
            output.append(message | {"content": [part]})
        else:
            output += [
                {"id": f"fc{at}", "type": "function_call", "status": "completed", "name": "weather"}
                | {"call_id": f"call_{city}", "arguments": json.dumps({"city": city})}
                for at, city in enumerate(("Bern", "Chur"))
            ]
        status = {"fail": "failed"}.get(said, "incomplete" if said in DETAILS else "completed")
        response = {
            **{"id": "resp_1", "object": "response", "created_at": 5, "model": "gpt-5.6-terra"},
            **{"status": status, "output": output, "usage": USAGE, "incomplete_details": DETAILS.get(said)},
            **{"error": {"code": "server_error", "message": "words"} if status == "failed" else None},
            **{"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}},
            **{"instructions": None, "temperature": None, "top_p": None},
        }
        return Response.model_validate(response).to_dict()

    def _events(self, response: dict[str, Any]) -> list[dict[str, Any]]:
        begun = response | {"status": "in_progress", "output": [], "usage": None, "error": None}
        events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
        for at, item in enumerate(response["output"]):
            place = {"output_index": at, "item_id": item["id"]}
            empty = {"arguments": ""} if item["type"] == "function_call" else {}
            started = item | empty | ({"content": []} if item["type"] == "message" else {})
            events.append({"type": "response.output_item.added", "output_index": at, "item": started})
            written = item.get("arguments") or "".join(part["text"] for part in item.get("content") or ())
            kind = "function_call_arguments" if "arguments" in item else "output_text"
            beside = {"content_index": 0, "logprobs": []} if kind == "output_text" else {}
            events += [
                {"type": f"response.{kind}.delta", "delta": piece, **place, **beside}
                for piece in (written[:4], written[4:])
                if piece
            ]
            events.append({"type": "response.output_item.done", "output_index": at, "item": item})
        events.append({"type": f"response.{response['status']}", "response": response})
        return [event | {"sequence_number": at} for at, event in enumerate(events)]


def ask(*messages: dict[str, Any], **fields: Any) -> Request:
    body = {"model": "m", "messages": [*messages] or [USER], "tools": TOOLS} | fields
    return CHAT.parse(json.dumps(body).encode())


@pytest.fixture
async def openai() -> AsyncIterator[tuple[OpenAI, Provider]]:
    server = OpenAI()
    async with serving(server) as address:
        http = Loopback(address)
        config = ProviderConfig.model_validate({"type": "openai"})
        yield server, build_provider("p", config, http, {"OPENAI_API_KEY": "k"})
        await http.aclose()


async def answer(provider: Provider, request: Request) -> tuple[Any, Usage | None]:
    """The choice that an official client makes of the answer, and what is charged."""
    if not request.stream:
        completion = await provider.complete(request, MODEL)
        return ChatCompletion.model_validate_json(completion.body).choices[0], completion.usage
    opened = await provider.open_stream(request, MODEL)
    events = [event async for batch in opened.batches() for event in batch]
    state = ChatCompletionStreamState()
    for chunk in json_events(b"".join(event.raw for event in events)):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    assert sum(event.finished for event in events) == 1
    assert [event.bare_usage for event in events if event.usage] == [False, True]
    return state.current_completion_snapshot.choices[0], events[-1].usage


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_round_of_tools(openai: tuple[OpenAI, Provider], streamed: bool) -> None:
    server, provider = openai
    called, usage = await answer(provider, ask(stream=streamed, reasoning_effort="high", max_tokens=99))
    assert (called.finish_reason, usage) == ("tool_calls", COUNTED)
    assert [json.loads(one.function.arguments)["city"] for one in called.message.tool_calls] == [
        "Bern",
        "Chur",
    ]
    made = {"role": "assistant", "content": "Let me see.", "tool_calls": []}
    made["tool_calls"] = [one.to_dict() | {"type": "function"} for one in called.message.tool_calls]
    results = [
        {"role": "tool", "tool_call_id": one["id"], "name": "weather", "content": "sun"}
        for one in made["tool_calls"]
    ]
    told, usage = await answer(
        provider, ask({"role": "developer", "content": "Be brief."}, USER, made, *results, stream=streamed)
    )
    assert (told.message.content, told.finish_reason, usage) == ("Sunny, wörld.", "stop", COUNTED)
    (path, first), (_, second) = server.asked
    assert (path, first["model"]) == ("/v1/responses", "gpt-5.6-terra")
    assert (first["reasoning"], first["max_output_tokens"]) == ({"effort": "high"}, 99)
    assert first["tools"] == [{"type": "function", **FUNCTION, "strict": False}]
    assert first["store"] is False
    kinds = [item.get("role", item["type"]) for item in second["input"]]
    calls = ["function_call"] * 2 + ["function_call_output"] * 2
    assert kinds == ["developer", "user", "assistant", *calls]
    assert second["input"][3]["call_id"] == second["input"][5]["call_id"] == "call_Bern"


async def test_what_else_a_call_may_say(openai: tuple[OpenAI, Provider]) -> None:
    server, provider = openai
    parts = [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
    ]
    schema = {"name": "s", "schema": {"type": "object"}, "strict": True}
    fields = {"response_format": {"type": "json_schema", "json_schema": schema}, "verbosity": "low"}
    fields |= {"tool_choice": {"type": "function", "function": {"name": "weather"}}, "seed": 1, "stop": []}
    thought = {"role": "assistant", "content": "", "reasoning_content": "Hm."}
    await provider.complete(ask({"role": "user", "content": parts}, thought, **fields, n=1), MODEL)
    ((_, sent),) = server.asked
    assert sent["text"] == {"verbosity": "low", "format": {"type": "json_schema", **schema}}
    assert sent["tool_choice"] == {"type": "function", "name": "weather"}
    assert [part["type"] for part in sent["input"][0]["content"]] == [
        "input_image",
        "input_file",
        "input_text",
    ]
    assert len(sent["input"]) == 1
    assert not {"seed", "stop", "n", "messages"} & sent.keys()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reason", DETAILS)
async def test_an_answer_that_is_cut(openai: tuple[OpenAI, Provider], streamed: bool, reason: str) -> None:
    told, usage = await answer(openai[1], ask({"role": "user", "content": reason}, stream=streamed))
    assert (told.finish_reason, usage) == (reason, COUNTED)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_response_that_failed(openai: tuple[OpenAI, Provider], streamed: bool) -> None:
    with pytest.raises(UpstreamRefused) as refused:
        await answer(openai[1], ask({"role": "user", "content": "fail"}, stream=streamed))
    assert (refused.value.code, refused.value.detail) == ("server_error", "words")


async def test_claude_code_at_such_a_model(openai: tuple[OpenAI, Provider]) -> None:
    surface = SURFACES["messages"]
    asked = {
        "model": "m",
        "max_tokens": 99,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "medium"},
        "tools": [{"name": "weather", "input_schema": FUNCTION["parameters"]}],
        "messages": [USER],
    }
    request = surface.parse(json.dumps(asked).encode())
    completion = await openai[1].complete(surface.to_chat(request), MODEL)
    assert completion.usage is not None
    message = json.loads(surface.from_chat(request, json.loads(completion.body), completion.usage))
    assert message["stop_reason"] == "tool_use"
    assert [block["input"]["city"] for block in message["content"]] == ["Bern", "Chur"]


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"tools": None}, "gpt-5.6-terra"),
        ({"reasoning_effort": "none"}, "gpt-5.6-terra"),
        ({}, "gpt-5.1"),
        ({}, "gpt-35-turbo"),
        ({}, "gpt-4o"),
        ({"n": 2}, "gpt-5.6-terra"),
        ({"stop": ["x"]}, "gpt-5.6-terra"),
        ({"prediction": {"type": "content", "content": "x"}}, "gpt-5.6-terra"),
        ({"messages": [USER | {"name": "ann"}]}, "gpt-5.6-terra"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "gpt-5.6-terra"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "gpt-5.6-terra"),
    ],
)
async def test_other_calls_stay_chat(
    openai: tuple[OpenAI, Provider], fields: dict[str, Any], model: str
) -> None:
    server, provider = openai
    thinks = replace(MODEL, upstream_model=model, capabilities=MODEL.capabilities | {"reasoning"})
    with pytest.raises(UpstreamRefused):
        await provider.complete(ask(**fields), thinks)
    ((path, sent),) = server.asked
    assert path == "/v1/chat/completions"
    assert fields.items() <= sent.items()
