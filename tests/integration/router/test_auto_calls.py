"""Calls that leave the model to the router: over HTTP, with official clients, and what they cost."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import openai
import pytest
from router_world import User, World, put
from sqlalchemy import text as sql

from router.choosing import TOO_DEAR
from router.ledger import create_api_key
from router.ledger.grants import Grant

LIMITS = {"provider": "up", "context_tokens": 4000, "max_output_tokens": 100}
STRONG = {"prompt_usd_per_mtok": "30", "completion_usd_per_mtok": "70", "model": "gpt-4o"} | LIMITS
MIDDLE = {"prompt_usd_per_mtok": "1", "completion_usd_per_mtok": "2", "model": "gpt-4o-mini"} | LIMITS
WEAK = {"prompt_usd_per_mtok": "0.1", "completion_usd_per_mtok": "0.2", "model": "llama-3.2-1b"} | LIMITS
DEPLOYMENTS = [one | {"id": one["model"], "upstream_model": "plain"} for one in (STRONG, MIDDLE, WEAK)]
DEPLOYMENTS[2]["capabilities"] = ["tools"]
AMONG = {"models": ["gpt-*", "llama-3.2-1b"]}  # and not the free one that is found on this machine
ASK = [{"role": "user", "content": "Why is the sky blue?"}]
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
PROMPT_TOKENS, WRITTEN_TOKENS = 11, 13
"""What the upstream says that each call used."""


def settings(**changes: Any) -> dict[str, Any]:
    """The deployments, some of them with another model behind them."""
    changed = [one | {"upstream_model": changes.get(one["id"], "plain")} for one in DEPLOYMENTS]
    return {
        "deployments": changed,
        "aliases": {"thrifty": "llama-3.2-1b"},
        "auto": AMONG,
        "retry": {"retries": 0},
    }


@pytest.fixture(scope="module")
def auto_world(new_world: Any) -> World:
    made: World = new_world(more=settings())
    return made


def ask(
    user: User, model: str = "auto", headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    with user.http() as http:
        body = {"model": model, "messages": ASK} | more
        return http.post("/chat/completions", json=body, headers=headers)


def explain(user: User, headers: dict[str, str] | None = None, **call: Any) -> Any:
    with user.http() as http:
        body = {"surface": "chat", "request": {"model": "auto", "messages": ASK} | call}
        return http.post("/route", json=body, headers=headers)


def charge_base(model: dict[str, Any]) -> int:
    """Of one call, at 100 base units of 10^-8 USD for each USD per million tokens."""
    read, written = float(model["prompt_usd_per_mtok"]), float(model["completion_usd_per_mtok"])
    return round((PROMPT_TOKENS * read + WRITTEN_TOKENS * written) * 100)


def reserved_base(world: World, answer: httpx.Response) -> int:
    query = sql("SELECT quote_base FROM entry WHERE id = :id")
    found = {"id": answer.headers["x-vibes-request-id"]}
    return int(world.ledger.read(lambda connection: connection.execute(query, found).scalar_one()))


@pytest.mark.parametrize(
    ("model", "headers", "more", "chosen"),
    [
        ("auto", {}, {}, "gpt-4o-mini"),
        ("auto:cheap", {}, {}, "llama-3.2-1b"),
        ("auto:best", {}, {}, "gpt-4o"),
        ("auto", {"x-vibes-quality": "best"}, {}, "gpt-4o"),
        ("auto", {"x-vibes-quality": "0.1"}, {}, "llama-3.2-1b"),
        ("auto", {"x-vibes-quality": "best"}, {"vibes_quality": "cheap"}, "llama-3.2-1b"),
        ("auto:cheap", {}, {"messages": IMAGE}, "gpt-4o-mini"),
    ],
)
def test_the_chosen_one_serves_and_the_answer_says_why(
    auto_world: World, model: str, headers: dict[str, str], more: dict[str, Any], chosen: str
) -> None:
    user = auto_world.user()
    answer = ask(user, model, headers, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-vibes-deployment"] == chosen
    assert answer.headers["x-vibes-route"].startswith(f'"{chosen}";asked=')
    assert "vibes_quality" not in auto_world.upstream.calls[-1]
    priced = next(one for one in DEPLOYMENTS if one["id"] == chosen)
    assert int(answer.headers["x-vibes-charge-base"]) == charge_base(priced)


def test_official_clients_may_leave_the_model_open(auto_world: World) -> None:
    user = auto_world.user()
    raw = user.client().chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "hi"}], extra_body={"vibes_quality": "high"}
    )
    assert "asked=high" in raw.headers["x-vibes-route"]
    assert raw.parse().choices[0].message.content
    claude = anthropic.Anthropic(base_url=user.url.removesuffix("/v1"), api_key=user.api_key, max_retries=0)
    said = claude.messages.with_raw_response.create(
        model="auto:best",
        max_tokens=20,
        messages=[{"role": "user", "content": "hi"}],
        extra_headers={"x-vibes-quality": "cheap"},
    )
    assert said.headers["x-vibes-route"].startswith('"llama-3.2-1b";asked=cheap')
    assert said.parse().model == "llama-3.2-1b"
    with claude.messages.stream(
        model="auto", max_tokens=20, messages=[{"role": "user", "content": "hi"}]
    ) as one:
        assert one.get_final_message().model == "gpt-4o-mini"


def test_streams_say_it_too(auto_world: World) -> None:
    user = auto_world.user()
    raw = user.client().chat.completions.with_raw_response.create(model="auto", messages=ASK, stream=True)
    assert raw.headers["x-vibes-route"].startswith('"gpt-4o-mini";asked=standard')
    assert "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)


@pytest.mark.parametrize("said", ["turbo", "2", "-0.5", "nan"])
def test_nonsense_is_refused_before_it_costs_anything(auto_world: World, said: str) -> None:
    user = auto_world.user()
    for refused in (ask(user, headers={"x-vibes-quality": said}), ask(user, vibes_quality=said)):
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["param"], error["code"]) == ("vibes_quality", "invalid_request")
        assert "cheap, standard, high, best or a number from 0 to 1" in error["message"]
    assert ask(user, "auto:turbo").status_code == 404
    assert user.view().reserved_base == 0


def test_an_explicit_model_is_honoured(auto_world: World) -> None:
    answer = ask(auto_world.user(), "gpt-4o", {"x-vibes-quality": "cheap"}, vibes_quality="cheap")
    assert answer.headers["x-vibes-deployment"] == "gpt-4o"
    assert "x-vibes-route" not in answer.headers
    assert "vibes_quality" not in auto_world.upstream.calls[-1]


def test_a_key_with_a_list_chooses_among_it(auto_world: World) -> None:
    user = auto_world.user()

    def key(*models: str) -> User:
        grant = Grant(models=models)
        secret = auto_world.ledger.run(lambda c: create_api_key(c, user.idx, "listed", grant=grant).secret)
        return User(user.idx, secret, user.url, user.ledger)

    assert ask(key("gpt-4o"), "auto:cheap").headers["x-vibes-deployment"] == "gpt-4o"
    assert ask(key("gpt-*"), "auto:cheap").headers["x-vibes-deployment"] == "gpt-4o-mini"
    assert ask(key("thrifty"), "auto:best").headers["x-vibes-deployment"] == "llama-3.2-1b"  # by its alias
    nobody = ask(key("other"), "auto")
    assert nobody.status_code == 400
    assert "this API key may not call it" in nobody.json()["error"]["message"]
    told = explain(key("gpt-4o-mini")).json()
    assert [one["model"] for one in told["candidates"]] == ["gpt-4o-mini"]
    reasons = {one["deployment"]: one["reason"] for one in told["left_out"]}
    assert reasons == dict.fromkeys(("gpt-4o", "llama-3.2-1b"), "this API key may not call it")


def test_nobody_is_chosen_whose_calls_may_not_be_sold(auto_world: World) -> None:
    user = auto_world.user()
    unsold = [one | {"resale": one["id"] == "gpt-4o"} for one in DEPLOYMENTS]
    put(auto_world, **settings() | {"deployments": unsold})
    try:
        assert ask(user, "auto:cheap").headers["x-vibes-deployment"] == "gpt-4o"
        left_out = {one["deployment"]: one["reason"] for one in explain(user).json()["left_out"]}
        assert "provider key of your own" in left_out["gpt-4o-mini"]
    finally:
        put(auto_world, **settings())


def test_it_is_explained_without_calling_anybody(auto_world: World) -> None:
    user, before = auto_world.user(), len(auto_world.upstream.calls)
    told = explain(user, {"x-vibes-quality": "high"}, messages=IMAGE).json()
    assert told["chosen"]["provider"] == "up"
    assert told["chosen"]["deployment"] == told["candidates"][0]["deployments"][0]
    assert (told["object"], told["asked"], told["affordable"]) == ("route", "high", True)
    assert {one["model"] for one in told["candidates"]} == {"gpt-4o", "gpt-4o-mini"}
    assert told["left_out"] == [{"deployment": "llama-3.2-1b", "reason": "does not take images"}]
    for one in told["candidates"]:
        assert 0 < one["quality"] < 1
        assert one["placed_by"].startswith("published figures")
        assert int(one["cost_base"]) > 0
    named = explain(user, model="gpt-4o").json()
    assert (named["chosen"]["deployment"], named["asked"]) == ("gpt-4o", None)
    assert named["candidates"][0]["placed_by"] is None
    assert explain(user, vibes_quality="so-so").status_code == 400
    assert len(auto_world.upstream.calls) == before
    assert user.view().reserved_base == 0


def test_it_is_listed_and_quoted(auto_world: World) -> None:
    user = auto_world.user()
    with user.http() as http:
        listed = {one["id"]: one for one in http.get("/models").json()["data"]}
        one = http.get("/models/auto:best").json()
        quote = http.post("/quote", json={"request": {"model": "auto", "messages": ASK}}).json()
    assert {"auto", "auto:cheap", "auto:best", "gpt-4o"} <= listed.keys()
    assert one["vibes"]["prompt_base_per_mtok"] is None
    assert [one["deployment"] for one in quote["deployments"]] == ["gpt-4o-mini", "gpt-4o", "llama-3.2-1b"]
    assert quote["most_base"] == max((one["most_base"] for one in quote["deployments"]), key=int)
    assert isinstance(user.client().models.retrieve("auto"), openai.types.Model)


def test_money_covers_the_dearest_that_may_serve_and_pays_the_one_that_did(auto_world: World) -> None:
    put(auto_world, **settings(**{"gpt-4o-mini": "http-500"}))
    try:
        user = auto_world.user()
        balance_base = user.view().balance_base
        answer = ask(user)
        assert answer.headers["x-vibes-deployment"] == "gpt-4o"
        assert answer.headers["x-vibes-attempts"] == "gpt-4o-mini"
        assert "those ranked before it did not serve the call" in answer.headers["x-vibes-route"]
        charged_base = int(answer.headers["x-vibes-charge-base"])
        assert charged_base == charge_base(STRONG) <= reserved_base(auto_world, answer)
        assert user.settled_view().balance_base == balance_base - charged_base
    finally:
        put(auto_world, **settings())


def test_who_cannot_pay_the_dear_one_gets_the_chosen_one_without_it(auto_world: World) -> None:
    with auto_world.user().http() as http:
        quote = http.post("/quote", json={"request": {"model": "auto", "messages": ASK}}).json()
    most_base = {one["deployment"]: int(one["most_base"]) for one in quote["deployments"]}
    poor = auto_world.user(deposit_base=most_base["gpt-4o-mini"])
    told = explain(poor).json()
    assert [one["model"] for one in told["candidates"]] == ["gpt-4o-mini", "llama-3.2-1b"]
    assert {"deployment": "gpt-4o", "reason": TOO_DEAR} in told["left_out"]
    answer = ask(poor)
    assert answer.headers["x-vibes-deployment"] == "gpt-4o-mini"
    assert poor.settled_view().available_base == most_base["gpt-4o-mini"] - charge_base(MIDDLE)


def test_money_does_not_lower_the_quality(auto_world: World) -> None:
    poor = auto_world.user(deposit_base=200_000)
    refused = ask(poor, "auto:best")
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_funds")
    assert explain(poor, model="auto:best").json()["affordable"] is False
    assert poor.view().reserved_base == 0
    assert ask(poor, "auto:cheap").status_code == 200


def test_a_spending_limit_counts_like_the_balance(auto_world: World) -> None:
    user = auto_world.user()
    grant = Grant(day_limit_base=200_000)
    secret = auto_world.ledger.run(lambda c: create_api_key(c, user.idx, "limited", grant=grant).secret)
    limited = User(user.idx, secret, user.url, user.ledger)
    assert ask(limited, "auto:best").status_code == 402
    told = explain(limited, model="auto:best").json()
    assert (told["affordable"], told["refusal"]) == (False, "spending_limit")
    told = explain(limited, model="auto:cheap").json()
    assert (told["affordable"], told["refusal"]) == (True, None)
    assert [one["model"] for one in told["candidates"]] == ["llama-3.2-1b", "gpt-4o-mini"]
    assert ask(limited, "auto:cheap").headers["x-vibes-deployment"] == "llama-3.2-1b"


def test_a_key_has_a_budget_that_is_spent_where_quality_gains(auto_world: World) -> None:
    owner = auto_world.user()

    def key(**limits: int) -> User:
        grant = Grant(**limits)
        secret = auto_world.ledger.run(lambda c: create_api_key(c, owner.idx, "paced", grant=grant).secret)
        return User(owner.idx, secret, owner.url, owner.ledger)

    rich, spoken = key(auto_day_base=10**9, auto_month_base=10**10), 3
    for _ in range(spoken):
        answer = ask(rich, max_tokens=10)
    assert answer.headers["x-vibes-deployment"] == "gpt-4o"  # there is money for the best
    assert answer.headers["x-vibes-route"].startswith('"gpt-4o";asked=cheap')
    assert "the budget pays for it" in answer.headers["x-vibes-route"]
    assert ask(rich, "llama-3.2-1b").status_code == 200  # named, so it is none of the budget's calls
    with rich.http() as http:
        (mine,) = [one for one in http.get("/keys").json()["data"] if one["auto_month_base"] == str(10**10)]
    charged = int(mine["auto_day_spent_base"])
    assert charge_base(WEAK) < charged <= spoken * charge_base(STRONG)
    assert mine["auto_month_spent_base"] == str(charged)

    poor = key(auto_day_base=40_000)
    told = explain(poor).json()
    assert told["chosen"]["deployment"] == "llama-3.2-1b"
    assert "better ones would take what the budget keeps for later calls" in told["reason"]
    assert told["budget"]["decides"] is True
    assert told["budget"]["left"] == 1
    assert int(told["budget"]["room_base"]) <= 40_000
    assert explain(poor, vibes_quality="high").json()["budget"]["decides"] is False
    assert explain(rich, model="gpt-4o").json()["budget"] is None
    assert explain(owner).json()["budget"] is None
    refused = ask(poor, "auto:best")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["limit_base"]) == (402, "spending_limit", "40000")
    assert ask(poor).headers["x-vibes-deployment"] == "llama-3.2-1b"


def test_the_configuration_is_checked_and_reloaded(auto_world: World) -> None:
    user = auto_world.user()
    put(auto_world, auto={"models": ["gpt-*"], "quality": "best"})
    try:
        assert ask(user).headers["x-vibes-deployment"] == "gpt-4o"
        assert ask(user, "auto:cheap").headers["x-vibes-deployment"] == "gpt-4o-mini"
        put(auto_world, auto={"models": []})
        assert ask(user).status_code == 404
    finally:
        put(auto_world, auto=AMONG)
