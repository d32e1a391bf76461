"""Model servers of this machine: what is found of them, and how cheaply."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiohttp import web
from support.companies.server import serving

from mini_llm.config import RoutingConfig
from mini_llm.deployment import CHAT_NEEDS, Deployment
from mini_llm.errors import UnknownModel
from mini_llm.http_transport import HttpTransport
from mini_llm.providers import local
from mini_llm.providers.local import MISSED_LOOKS, UNKNOWN_CONTEXT_TOKENS, LocalProvider
from mini_llm.request import Need
from mini_llm.routing.catalog import build_catalog
from mini_llm.transport import Timeouts

TEXT = CHAT_NEEDS - {Need.IMAGES, Need.AUDIO, Need.FILES}
OLLAMA = {
    "/v1/models": {"data": [{"id": "qwen3:4b"}, {"id": "nomic", "owned_by": "library"}]},
    "qwen3:4b": {
        "capabilities": ["completion", "tools", "thinking"],
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40_960},
    },
    "nomic": {"capabilities": ["embedding"], "model_info": {"nomic-bert.context_length": 2048}},
}
LLAMACPP = {
    "/v1/models": {"data": [{"id": "gemma", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131_072}}]},
    "/props": {
        "default_generation_settings": {"n_ctx": 8192},
        "modalities": {"vision": True, "audio": False},
    },
}
VLLM = {"/v1/models": {"data": [{"id": "llama", "owned_by": "vllm", "max_model_len": 32_768}]}}
LM_STUDIO = {
    "/v1/models": {
        "data": [{"id": name, "owned_by": "organization_owner"} for name in ("phi", "embed", "seer")]
    },
    "/api/v0/models": {
        "data": [
            {"id": "phi", "type": "llm", "max_context_length": 4096, "capabilities": []},
            {"id": "embed", "type": "embeddings", "max_context_length": 512},
            {"id": "seer", "type": "vlm", "max_context_length": 9000, "loaded_context_length": 5000},
        ]
    },
}
OTHER = {"/v1/models": {"data": [{"id": "x"}]}}


class Server:
    """Answers by path, and by model where it is asked about one."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.asked = answers, list[str]()
        self.pause_s = 0.0

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        await asyncio.sleep(self.pause_s)
        place = request.path
        if place == "/api/show":
            place = (await request.json())["model"]
        if place not in self.answers:
            return web.json_response({"error": "not found"}, status=404)
        return web.json_response(self.answers[place])


async def found(answers: dict[str, Any], looks: int = 1) -> tuple[dict[str, Deployment], Server]:
    server, http = Server(answers), HttpTransport()
    async with serving(server) as address:
        provider = LocalProvider("home", http, servers=[f"{address}/v1/"])
        for _ in range(looks):
            deployments = await provider.discover()
        await http.aclose()
    return {deployment.model: deployment for deployment in deployments}, server


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (
            OLLAMA,
            {
                "qwen3:4b": (40_960, {Need.TOOLS, Need.REASONING, Need.JSON_SCHEMA, Need.LOGPROBS}),
                "nomic": (2048, {Need.EMBEDDINGS}),
            },
        ),
        (LLAMACPP, {"gemma": (8192, TEXT | {Need.IMAGES})}),
        (VLLM, {"llama": (32_768, CHAT_NEEDS)}),
        (
            LM_STUDIO,
            {
                "phi": (4096, TEXT - {Need.TOOLS}),
                "embed": (512, {Need.EMBEDDINGS}),
                "seer": (5000, TEXT | {Need.IMAGES}),
            },
        ),
        (OTHER, {"x": (UNKNOWN_CONTEXT_TOKENS, CHAT_NEEDS)}),
    ],
    ids=["Ollama", "llama.cpp", "vLLM", "LM Studio", "another"],
)
async def test_what_servers_tell(answers: dict[str, Any], told: dict[str, Any]) -> None:
    deployments, _ = await found(answers)
    assert {name: (one.context_tokens, one.capabilities) for name, one in deployments.items()} == told
    assert {(one.price.free, one.id) for one in deployments.values()} == {
        (True, f"home/{name}") for name in told
    }


async def test_looking_again_asks_only_for_the_list() -> None:
    _, server = await found(OLLAMA, looks=3)
    assert server.asked.count("/v1/models") == 3
    assert server.asked.count("/api/show") == 2  # one for each model


async def test_servers_that_are_not_there_or_say_nonsense_are_passed_over() -> None:
    with socket.socket() as taken:  # bound and not listening: refuses at once
        taken.bind(("127.0.0.1", 0))
        server, http = Server({"/v1/models": {"data": "none"}}), HttpTransport()
        async with serving(server) as address:
            urls = [f"http://127.0.0.1:{taken.getsockname()[1]}/v1", f"{address}/v1"]
            async with asyncio.timeout(30):
                assert await LocalProvider("home", http, servers=urls).discover() == []
        await http.aclose()


async def test_a_server_that_is_busy_keeps_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PROBE", Timeouts(connect_s=1.0, first_byte_s=0.05, idle_s=1.0, total_s=2.0))
    server, http = Server(VLLM), HttpTransport()
    async with serving(server) as address:
        provider = LocalProvider("home", http, servers=[f"{address}/v1/"])
        (known,) = await provider.discover()
        server.pause_s = 0.2
        for _ in range(MISSED_LOOKS + 1):
            assert await provider.discover() == [known]
        server.pause_s, server.answers = 0.0, {"/v1/models": "Loading model"}
        for _ in range(MISSED_LOOKS - 1):
            assert await provider.discover() == [known]
        server.answers = VLLM
        assert await provider.discover() == [known]
        server.answers = {}
        looks = [len(await provider.discover()) for _ in range(MISSED_LOOKS)]
        assert looks == [1] * (MISSED_LOOKS - 1) + [0]
        await http.aclose()


async def test_the_models_of_a_server_that_was_stopped_are_gone_at_once() -> None:
    http = HttpTransport()
    async with serving(Server(VLLM)) as address:
        provider = LocalProvider("home", http, servers=[f"{address}/v1/"])
        assert len(await provider.discover()) == 1
    assert await provider.discover() == []
    await http.aclose()


async def test_who_leaves_while_servers_are_looked_for_takes_their_models_from_nobody() -> None:
    server, http = Server(VLLM), HttpTransport()
    async with serving(server) as address:
        server.pause_s = 0.2
        providers = {"home": {"type": "local", "servers": [f"{address}/v1"]}}
        catalog = build_catalog(RoutingConfig.model_validate({"providers": providers}), 100, http)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(catalog.route("llama"), 0.05)
        assert await catalog.route("llama")
        asked = len(server.asked)
        with pytest.raises(UnknownModel):
            await catalog.route("other")
        assert len(server.asked) == asked
        await http.aclose()


@pytest.mark.parametrize("shown", [[], {"model_info": []}, {"model_info": {"a.context_length": "x"}}, "text"])
async def test_odd_answers_about_a_model_leave_it_unknown(shown: Any) -> None:
    deployments, _ = await found({"/v1/models": {"data": [{"id": "m"}]}, "m": shown})
    assert deployments["m"].context_tokens == UNKNOWN_CONTEXT_TOKENS


@pytest.mark.parametrize(
    "answers",
    [
        {"/v1/models": {"data": [{"id": "m", "meta": None}]}, "/props": []},
        {
            "/v1/models": {"data": [{"id": "m", "owned_by": "organization_owner"}]},
            "/api/v0/models": {"data": [1]},
        },
        {"/v1/models": {"data": [{"id": "m", "max_model_len": "long"}]}},
    ],
)
async def test_odd_answers_of_servers_that_are_known(answers: dict[str, Any]) -> None:
    deployments, _ = await found(answers)
    assert deployments["m"].context_tokens == UNKNOWN_CONTEXT_TOKENS


async def test_an_empty_list_is_no_model() -> None:
    assert (await found({"/v1/models": {"data": []}}))[0] == {}
