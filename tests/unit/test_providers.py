"""What providers are sent, and how their answers are read; the wire itself is tested with the router."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mini_llm.config import RoutingConfig
from mini_llm.errors import ProviderError, UnknownModel, UpstreamProtocolError, UpstreamRefused
from mini_llm.httpx_transport import HttpxTransport
from mini_llm.price import Usage
from mini_llm.routing.catalog import Catalog, build_catalog
from mini_llm.routing.verdict import judge
from mini_llm.surfaces import CHAT, SURFACES
from mini_llm.surfaces.chat import text_bytes

ANSWER = {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}


class Wire:
    """A transport that answers by host and path, and keeps what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.asked = answers, list[httpx.Request]()
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.http = HttpxTransport(client)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.get(f"{request.url.host}{request.url.path}")
        if answer is None:
            raise httpx.ConnectError("refused", request=request)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def catalog(wire: Wire, provider: dict[str, Any], **deployment: Any) -> Catalog:
    deployments = [{"model": "m", "provider": "p", "prompt_usd_per_mtok": "1"} | deployment]
    config = RoutingConfig.model_validate({"providers": {"p": provider}, "deployments": deployments})
    return build_catalog(config, 100, wire.http)


async def ask(catalog: Catalog, **fields: Any) -> Any:
    request = CHAT.parse(json.dumps(REQUEST | fields).encode())
    chosen = (await catalog.route(request.model)).groups[0].members[0]
    deployment, provider = chosen.deployment, chosen.provider
    if request.stream:
        return await provider.open_stream(request, deployment)
    return await provider.complete(request, deployment)


@pytest.mark.parametrize(
    ("provider", "place", "cap_field"),
    [
        ({}, "api.openai.com/v1/chat/completions", "max_completion_tokens"),
        (
            {"base_url": "https://api.openai.com/v1/"},
            "api.openai.com/v1/chat/completions",
            "max_completion_tokens",
        ),
        ({"base_url": "http://other/v1/"}, "other/v1/chat/completions", "max_tokens"),
        (
            {"base_url": "http://other/v1", "cap_field": "max_completion_tokens"},
            "other/v1/chat/completions",
            "max_completion_tokens",
        ),
    ],
)
async def test_cap_has_the_name_that_the_server_knows(
    provider: dict[str, Any], place: str, cap_field: str
) -> None:
    wire = Wire({place: ANSWER})
    await ask(catalog(wire, provider | {"api_key": "sk-x"}, upstream_model="up"))
    sent = json.loads(wire.asked[0].content)
    assert sent == {"model": "up", "messages": REQUEST["messages"], cap_field: 9}
    assert wire.asked[0].headers["authorization"] == "Bearer sk-x"


@pytest.mark.parametrize(
    ("provider", "surfaces"),
    [
        ({}, {"chat", "embeddings", "responses"}),
        ({"base_url": "https://api.openai.com/v1"}, {"chat", "embeddings", "responses"}),
        ({"base_url": "http://other/v1"}, {"chat"}),
        ({"base_url": "http://other/v1", "surfaces": ["embeddings"]}, {"embeddings"}),
        ({"base_url": "http://other/v1", "surfaces": ["chat", "messages"]}, {"chat", "messages"}),
        ({"surfaces": ["chat"]}, {"chat"}),
        ({"type": "groq", "surfaces": ["chat", "responses"]}, {"chat", "responses"}),
        ({"type": "fireworks", "base_url": "http://proxy/v1"}, {"chat", "embeddings", "responses"}),
    ],
)
async def test_a_server_takes_what_its_row_or_the_configuration_says(
    provider: dict[str, Any], surfaces: set[str]
) -> None:
    offers = catalog(Wire({}), provider | {"api_key": "sk-x"})
    (candidate,) = offers.table.candidates.values()
    assert candidate.provider.surfaces == surfaces


async def test_a_server_is_called_where_its_surfaces_usually_are() -> None:
    answer = {"content": [{"type": "text", "text": "x"}], "usage": {"input_tokens": 3, "output_tokens": 2}}
    wire = Wire({"other/v1/messages": answer})
    offers = catalog(wire, {"base_url": "http://other/v1", "surfaces": ["chat", "messages"]})
    (candidate,) = offers.table.candidates.values()
    request = SURFACES["messages"].parse(json.dumps(REQUEST).encode())
    completion = await candidate.provider.complete(request, candidate.deployment)
    assert completion.usage == Usage(3, 2)


async def test_continuous_usage_is_asked_where_configured() -> None:
    for configured in (False, True):
        stream = httpx.Response(200, content=b"", headers={"content-type": "text/event-stream"})
        wire = Wire({"other/v1/chat/completions": stream})
        provider = {"base_url": "http://other/v1", "continuous_usage": configured}
        await (await ask(catalog(wire, provider), stream=True)).aclose()
        options = json.loads(wire.asked[0].content)["stream_options"]
        assert options == {"include_usage": True} | ({"continuous_usage_stats": True} if configured else {})


async def test_neither_an_answer_nor_a_stream_to_a_stream_is_refused() -> None:
    wire = Wire({"other/v1/chat/completions": {"choices": []}})
    with pytest.raises(UpstreamProtocolError):
        await ask(catalog(wire, {"base_url": "http://other/v1"}), stream=True)


@pytest.mark.parametrize(
    ("body", "detail", "param"),
    [
        ({"error": {"message": "no", "param": "n", "code": 7}}, "no", "n"),
        ({"error": "no"}, "no", None),
        ({"message": "no"}, "no", None),
        ({"error": None}, "", None),
        ([], "", None),
        ("text", "", None),
    ],
)
async def test_error_bodies_of_all_shapes_are_read(body: Any, detail: str, param: str | None) -> None:
    wire = Wire({"other/v1/chat/completions": httpx.Response(418, json=body, headers={"retry-after": "3"})})
    with pytest.raises(UpstreamRefused) as refused:
        await ask(catalog(wire, {"base_url": "http://other/v1"}))
    error = refused.value
    assert (error.status, error.detail, error.param, error.retry_after) == (418, detail, param, 3.0)
    assert error.code == ("7" if param else None)
    assert detail not in str(error) or not detail  # a log line must not quote the provider


class Half(httpx.AsyncByteStream):
    """The first half of a body; then the connection breaks."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"choices": [{"mess'
        raise httpx.ReadError("reset")


@pytest.mark.parametrize(("status", "kind"), [(200, UpstreamProtocolError), (429, UpstreamRefused)])
async def test_an_answer_that_breaks_off_is_not_asked_for_again_and_its_status_holds(
    status: int, kind: type[ProviderError]
) -> None:
    wire = Wire({"other/v1/chat/completions": httpx.Response(status, stream=Half())})
    with pytest.raises(kind) as caught:
        await ask(catalog(wire, {"base_url": "http://other/v1"}))
    assert judge(caught.value).again is (status == 429)


async def test_first_local_server_serves_a_model_that_two_have() -> None:
    wire = Wire(
        {
            "one/v1/models": {"data": [{"id": "shared"}]},
            "two/v1/models": {"data": [{"id": "shared"}, {"id": "own"}, {"id": "m"}]},
            "three/v1/models": {"oops": 1},
            "one/v1/chat/completions": ANSWER,
            "two/v1/chat/completions": ANSWER,
            "paid/v1/chat/completions": ANSWER,
        }
    )
    servers = [f"http://{host}/v1" for host in ("nobody", "one", "two", "three")]
    config = RoutingConfig.model_validate(
        {
            "providers": {"p": {"base_url": "http://paid/v1"}, "home": {"type": "local", "servers": servers}},
            "deployments": [{"model": "m", "provider": "p", "prompt_usd_per_mtok": "1"}],
        }
    )
    models = build_catalog(config, 100, wire.http)
    assert [d.model for d in await models.deployments()] == ["m", "own", "shared"]
    for model, host in (("shared", "one"), ("own", "two"), ("m", "paid")):
        await ask(models, model=model)
        assert wire.asked[-1].url.host == host
    with pytest.raises(UnknownModel) as unknown:
        await ask(models, model="gpt")
    assert unknown.value.available == ("m", "own", "shared")


def test_generated_text_is_measured_wherever_it_is() -> None:
    tool = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert text_bytes({"role": "assistant", "content": "né", "tool_calls": [tool]}) == 3 + 1 + 2
    assert text_bytes({"role": "assistant", "content": ""}) == 0
    assert text_bytes({"reasoning_content": "hm", "content": None}) == 2


async def test_a_company_is_not_taken_to_do_what_none_of_its_models_does() -> None:
    groq = {"type": "groq", "api_key": "k"}
    for said, able in (({}, False), ({"capabilities": ["logprobs"]}, True)):
        (deployment,) = await catalog(Wire({}), groq, **said).deployments()
        assert ("logprobs" in deployment.capabilities) is able
