"""The library chooses a model among the user's own; a wallet's router chooses where there are none."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from openai import AsyncOpenAI
from support.apps import TEXT, ModelServer, model_servers, own, threaded

from mini_llm import AsyncClient, BadRequest, Client, NoneCanServe, UnknownModel
from mini_llm.cli.app import commands
from mini_llm.cli.state import State
from mini_llm.config_sdk import Settings
from mini_llm.engine import Engine
from mini_llm.routing.open import OpenCatalog
from mini_llm.server import run
from mini_llm.server.app import LocalGateway

DEAR = {"prompt_usd_per_mtok": "2.5", "completion_usd_per_mtok": "10"}
CHEAP = {"prompt_usd_per_mtok": "0.15", "completion_usd_per_mtok": "0.6"}
MODELS = [
    {"model": "gpt-4o", "provider": "one"} | DEAR,
    {"model": "gpt-4o-mini", "provider": "two"} | CHEAP,
]


NEARLY_AS_GOOD = {"priors": {"gpt-4o-mini": 0.88}}


def app(*servers: ModelServer, **more: Any) -> AsyncClient:
    return AsyncClient(own(*servers, **({"deployments": MODELS, "auto": NEARLY_AS_GOOD} | more)))


async def test_an_answer_knows_why_it_came_from_there() -> None:
    strong, cheap = ModelServer(), ModelServer()
    async with model_servers(strong, cheap), app(strong, cheap) as client:
        answer = await client.chat("hello", model="auto")
        best = await client.chat("hello", model="auto", vibes_quality="best")
        stream = await client.chat("hello", model="auto:best", stream=True)
        async with stream:
            text = "".join([piece async for piece in stream.texts()])
        named = await client.chat("hello", model="gpt-4o", vibes_quality="cheap")
    assert (answer.text, answer.deployment) == (TEXT, "two/gpt-4o-mini")
    assert answer.decision is not None
    assert "lowest cost" in answer.decision.reason
    assert [one.model for one in answer.decision.ranked] == ["gpt-4o-mini", "gpt-4o"]
    assert (best.deployment, text, stream.deployment) == ("one/gpt-4o", TEXT, "one/gpt-4o")
    assert stream.decision is not None
    assert stream.decision.asked == "best"
    assert (named.deployment, named.decision) == ("one/gpt-4o", None)
    assert {body["model"] for body in cheap.asked} == {"gpt-4o-mini"}
    assert not any("vibes_quality" in body for body in strong.asked + cheap.asked)


@pytest.mark.parametrize("name", ["auto:turbo", "auto:", "auto:Best", "auto:0.5"])
async def test_a_mistyped_name_is_nobodys_model(name: str) -> None:
    strong, cheap = ModelServer(), ModelServer()
    async with model_servers(strong, cheap), app(strong, cheap) as client:
        with pytest.raises(UnknownModel) as refused:
            await client.chat("hello", model=name)
        assert "auto:best" in refused.value.available
    assert (strong.asked, cheap.asked) == ([], [])
    async with model_servers(strong, cheap), app(strong, cheap, aliases={name: "gpt-4o"}) as client:
        assert (await client.chat("hello", model=name)).deployment == "one/gpt-4o"


async def test_the_next_in_rank_answers_when_the_chosen_one_fails() -> None:
    strong, cheap = ModelServer(), ModelServer(500)
    async with model_servers(strong, cheap), app(strong, cheap) as client:
        answer = await client.chat("hello", model="auto")
    assert [hop.deployment for hop in answer.hops] == ["two/gpt-4o-mini", "one/gpt-4o"]
    assert answer.decision is not None
    assert "did not serve" in answer.decision.why(answer.deployment)


async def test_aliases_and_named_models_take_part_without_being_configured() -> None:
    one, two = ModelServer(), ModelServer()
    settings = {
        "deployments": [],
        "aliases": {"quick": "two/llama-3.2-1b"},
        "auto": {"models": ["*", "one/gpt-4o"]},
    }
    async with model_servers(one, two), app(one, two, **settings) as client:
        told = await client.route("hello")
        answer = await client.chat("hello", model="auto:best")
    assert {one.model for one in told.candidates} == {"gpt-4o", "llama-3.2-1b"}
    assert answer.deployment == "one/gpt-4o"


async def test_without_a_price_nobody_is_compared() -> None:
    settings = {
        "providers": {"away": {"base_url": "https://models.example/v1"}},
        "auto": {"models": ["away/unheard-of"]},
        "usage_log": False,
    }
    async with AsyncClient(settings) as client:
        with pytest.raises(NoneCanServe, match="nobody knows its price"):
            await client.route("hello")


async def test_a_quality_that_is_none_is_refused() -> None:
    one, two = ModelServer(), ModelServer()
    async with model_servers(one, two), app(one, two) as client:
        with pytest.raises(BadRequest, match="or a number from 0 to 1"):
            await client.chat("hello", model="auto", vibes_quality="splendid")
    assert one.asked == two.asked == []


async def test_a_wallets_router_chooses_where_there_is_nothing_else() -> None:
    wallet = ModelServer()
    async with model_servers(wallet):
        paid = {"endpoint": wallet.url, "api_key": "w", "type": "custom"}
        async with AsyncClient({"wallet": paid, "usage_log": False}) as client:
            await client.chat("hello", model="auto", vibes_quality="high")
    assert [(body["model"], body["vibes_quality"]) for body in wallet.asked] == [("auto", "high")]


@pytest.mark.parametrize(
    ("quality", "name"), [("standard", "auto"), (0.97, "auto:best"), ("high", "auto:best")]
)
async def test_a_wallets_router_chooses_again_when_all_have_failed(quality: Any, name: str) -> None:
    one, two, wallet = ModelServer(500), ModelServer(500), ModelServer()
    async with model_servers(one, two, wallet):
        paid = {"endpoint": wallet.url, "api_key": "w", "type": "custom"}
        async with app(one, two, wallet=paid) as client:
            answer = await client.chat("hello", model="auto", vibes_quality=quality)
    assert (answer.provider, [body["model"] for body in wallet.asked]) == ("wallet", [name])


def test_the_synchronous_client_explains_too() -> None:
    one, two = ModelServer(), ModelServer()
    with threaded(one, two), Client(own(one, two, deployments=MODELS)) as client:
        told = client.route("hello", vibes_quality="cheap")
        assert "auto" in [model.id for model in client.models().data]
    assert told.chosen.deployment == "two/gpt-4o-mini"
    assert one.asked == two.asked == []


async def test_the_local_gateway_takes_the_header_and_says_why() -> None:
    one, two = ModelServer(), ModelServer()
    async with model_servers(one, two), app(one, two) as client:
        transport = httpx.ASGITransport(LocalGateway(client.engine))
        async with httpx.AsyncClient(transport=transport) as http:
            openai = AsyncOpenAI(base_url="http://127.0.0.1/v1", api_key="none", http_client=http)
            raw = await openai.chat.completions.with_raw_response.create(
                model="auto",
                messages=[{"role": "user", "content": "hi"}],
                extra_headers={"x-vibes-quality": "best"},
            )
            listed = [model.id async for model in openai.models.list()]
    assert raw.headers["x-mini-llm-route"].startswith('"gpt-4o";asked=best;floor=0.')
    assert {"auto", "auto:cheap", "auto:best"} <= set(listed)


async def test_the_local_gateway_listens_once_it_can_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening(Exception):
        pass

    class Kept(Engine):
        """Can be looked at."""

        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            kept.append(self)

    def listens(_url: str) -> None:
        assert "_predictor" in vars(vars(kept[0]._routes)["_chooser"])
        raise Listening

    kept: list[Engine] = []
    monkeypatch.setattr(run, "Engine", Kept)
    settings = Settings.model_validate(
        {
            "providers": {"one": {"base_url": "http://127.0.0.1:9/v1"}},
            "usage_log": False,
            "deployments": MODELS[:1],
        }
    )
    with pytest.raises(Listening):
        await run._serve(settings, socket.create_server(("127.0.0.1", 0)), "127.0.0.1", None, listens, None)


def shown(folder: Any, *arguments: str, **more: Any) -> str:
    """What `mini-llm route` prints."""
    providers = {name: {"base_url": "http://127.0.0.1:9/v1"} for name in ("one", "two")}
    settings = Settings.model_validate({"providers": providers, "deployments": MODELS} | more)
    (folder / "config.json").write_text(settings.model_dump_json(exclude_unset=True))
    state = State({"MINI_LLM_HOME": str(folder)})
    done = CliRunner().invoke(commands, ["route", *arguments], obj=state)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_shows_the_choice(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = shown(tmp_path, "Why", "is", "the", "sky", "blue?")
    assert "→" in told.splitlines()[1]
    assert "two/gpt-4o-mini: predicted quality" in told
    assert "price only" not in told
    assert '"deployment": "one/gpt-4o"' in shown(tmp_path, "-q", "best", "--json", "hi")


def test_the_command_says_of_whom_nothing_is_promised(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = [*MODELS, {"model": "house-7b", "provider": "two"} | CHEAP]
    assert "is promised for: house-7b\n" in shown(tmp_path, "hi", deployments=models)
    known = shown(tmp_path, "hi", deployments=models, auto={"priors": {"house-7b": 0.6}})
    assert "price only" not in known


async def test_a_catalogue_without_a_wallet_has_nobody_beyond() -> None:
    settings = Settings.model_validate({"providers": {"one": {"base_url": "http://127.0.0.1:9/v1"}}})
    async with AsyncClient(settings) as client:
        catalog = client.engine.catalog
        assert isinstance(catalog, OpenCatalog)
        assert catalog.beyond("best") == ()


async def test_a_model_that_is_called_auto_is_told_of_no_quality() -> None:
    one, two = ModelServer(), ModelServer()
    literal = [{"model": "auto", "provider": "one"}]
    async with model_servers(one, two), app(one, two, deployments=literal) as client:
        answer = await client.chat("hello", model="auto", vibes_quality="high")
    assert (answer.deployment, answer.decision) == ("one/auto", None)
    assert [body["model"] for body in one.asked] == ["auto"]
    assert "vibes_quality" not in one.asked[0]
