"""A file that changes while calls run: new calls go by it, running ones by what they were quoted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from router_upstream import PROMPT_TOKENS, WORDS
from router_world import COMPLETION_BASE, PROMPT_BASE, User, World, config
from test_money import CHARGE_BASE, assert_books_balance, body

from router.ledger import read, tiers

SPONSOR = 9_000
DEARER = {"prompt_usd_per_mtok": "30", "completion_usd_per_mtok": "60"}
DEARER_BASE = 3 * CHARGE_BASE


def change(world: World, **more: Any) -> None:
    """Writes the file anew, and waits until it is in force or refused."""
    log = world.router.log.read_text

    def reloads() -> int:
        return log().count("configuration reloaded") + log().count("configuration not reloaded")

    before, file = reloads(), Path(world.router.environ["VIBES_CONFIG"])
    whole = config(world.upstream.url, world.upstream.url) | more
    file.write_text(json.dumps(whole))
    until(lambda: reloads() > before)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def call(user: User, model: str = "plain", **more: Any) -> httpx.Response:
    with user.http() as client:
        return client.post("/chat/completions", json=body(model, "reload") | more)


def charge_base(user: User) -> int:
    return int(call(user).headers["x-vibes-charge-base"])


@pytest.fixture(scope="module")
def fickle(new_world: Any) -> World:
    """A router whose file these tests change."""
    world: World = new_world()
    world.open_user(SPONSOR, deposit_base=10**9, ceiling_base=10**12)
    return world


@pytest.mark.parametrize("model", ["held", "pauses"])
def test_a_call_keeps_the_price_that_it_was_quoted(fickle: World, model: str) -> None:
    user, stream = fickle.user(), model == "pauses"
    change(fickle)
    fickle.upstream.release.clear()
    calling = threading.Thread(target=call, args=(user, model), kwargs={"stream": stream})
    calling.start()
    until(lambda: user.view().reserved_base > 0)
    reserved_base = user.view().reserved_base
    offered = [one | DEARER for one in config("", "")["deployments"]]
    change(fickle, deployments=offered)
    assert user.view().reserved_base == reserved_base
    fickle.upstream.release.set()
    calling.join(30)
    (old,) = fickle.ledger.read(lambda c: read.calls_of(c, user.idx))
    assert old.charge_base == CHARGE_BASE
    assert call(user, model, stream=stream).status_code == 200
    new, _ = fickle.ledger.read(lambda c: read.calls_of(c, user.idx))
    assert new.charge_base == DEARER_BASE
    for one, factor in ((old, 1), (new, 3)):
        assert one.receipt is not None
        receipt = one.receipt.receipt
        prices = (receipt.prompt_price_base_per_mtok, receipt.completion_price_base_per_mtok)
        assert prices == (factor * PROMPT_BASE * 10**6, factor * COMPLETION_BASE * 10**6)
        assert (receipt.prompt_tokens, receipt.completion_tokens) == (PROMPT_TOKENS, len(WORDS))
    change(fickle)
    assert_books_balance(fickle)


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_model_answered_is_told_again_when_nobody_serves_it_any_more(
    fickle: World, stream: bool
) -> None:
    user, key = fickle.user(), {"idempotency-key": "gone"}

    def ask(text: str) -> httpx.Response:
        with user.http() as client:
            sent = body("plain", text) | {"stream": stream}
            return client.post("/chat/completions", json=sent, headers=key)

    change(fickle)
    first = ask("before it went")
    change(fickle, deployments=[one for one in config("", "")["deployments"] if one["model"] != "plain"])
    again, other = ask("before it went"), ask("something else")
    assert call(user).status_code == 404
    change(fickle)
    assert (again.status_code, again.headers["x-vibes-replay"]) == (200, "true")
    assert again.content == first.content
    assert (other.status_code, user.view().spent_base) == (422, CHARGE_BASE)


def test_tiers_come_into_force_without_a_restart(fickle: World) -> None:
    user = fickle.user()
    change(fickle)
    assert charge_base(user) == CHARGE_BASE
    change(fickle, tiers=[{"name": "everybody", "rate_bps": 9_000}])
    assert charge_base(user) == CHARGE_BASE * 9 // 10
    steps = [
        {"name": "new", "rate_bps": 10_000},
        {"name": "known", "rate_bps": 8_000, "margin_usd": "0.0001"},
    ]
    change(fickle, tiers=steps)
    until(lambda: charge_base(user) == CHARGE_BASE * 8 // 10)
    assert charge_base(fickle.user()) == CHARGE_BASE
    assert_books_balance(fickle)


def test_a_rate_from_a_file_prices_calls_until_it_is_too_old(new_world: Any, tmp_path: Path) -> None:
    file = tmp_path / "rate.json"

    def tell(vibes_per_usd: int, age_s: int = 0) -> None:
        file.write_text(json.dumps({"vibes_per_usd": vibes_per_usd, "at_s": int(time.time()) - age_s}))

    tell(100)
    feed = {"file": str(file), "least": 50, "most": 300, "max_age_s": 3600}
    world: World = new_world(more={"rate_feed": feed})
    user = world.user()
    asked = {"request": body("plain", "reload")}
    with user.http() as client:
        key = {"idempotency-key": "before"}
        first = client.post("/chat/completions", json=body("plain", "reload"), headers=key)
        assert int(first.headers["x-vibes-charge-base"]) == CHARGE_BASE
        tell(200)
        until(lambda: charge_base(user) == 2 * CHARGE_BASE)
        receipts = [one["receipt"] for one in client.get("/receipts").json()["data"]]
        assert (receipts[0]["vibesPerUsd"], receipts[-1]["vibesPerUsd"]) == ("100", "200")
        assert client.post("/quote", json=asked).json()["vibes_per_usd"] == 200
        world.upstream.release.clear()
        held = threading.Thread(target=call, args=(user, "held"))
        held.start()
        until(lambda: user.view().reserved_base > 0)
        tell(250)
        until(lambda: client.post("/quote", json=asked).json()["vibes_per_usd"] == 250)
        world.upstream.release.set()
        held.join(30)
        (*_, last) = client.get("/receipts").json()["data"]
        assert last["receipt"]["vibesPerUsd"] == "200"
        tell(200, age_s=3601)
        until(lambda: client.post("/quote", json=asked).status_code == 503)
        for path, sent in (("/quote", asked), ("/route", asked), ("/chat/completions", asked["request"])):
            refused = client.post(path, json=sent)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "rate_stale")
        again = client.post("/chat/completions", json=body("plain", "reload"), headers=key)
        assert again.content == first.content
        tell(300)
        until(lambda: client.post("/quote", json=asked).status_code == 200)
        assert charge_base(user) == 3 * CHARGE_BASE
    assert_books_balance(world)


def test_promotional_credit_is_switched_on_and_off(fickle: World) -> None:
    user = fickle.user()

    def left_base() -> int:
        return fickle.ledger.read(lambda c: tiers.promo_view(c, user.idx)).left_base

    change(fickle, promotion={"sponsor": SPONSOR, "signup_usd": "1", "least_deposit_usd": "0"})
    until(lambda: left_base() == 10**8)
    until(lambda: call(user, "renamed").is_success and left_base() < 10**8)
    change(fickle)
    left, spent_base = left_base(), user.view().spent_base
    assert call(user, "renamed").is_success
    assert (left_base(), user.view().spent_base) == (left, spent_base + CHARGE_BASE)
    assert_books_balance(fickle)


def test_what_binds_receipts_and_chain_is_refused_by_name_and_nothing_changes(fickle: World) -> None:
    user = fickle.user()
    change(fickle)
    offered = [one | DEARER for one in config("", "")["deployments"]]
    partners = [{"id": 1, "name": "pithy-labs", "bps": 2_999}]
    change(fickle, deployments=offered, partners=partners, vibes_per_usd=99, policy={"burn_bps": 400})
    log = fickle.router.log.read_text()
    assert "vibes_per_usd, policy.burn_bps, partner 1: cannot change while the router runs" in log
    assert charge_base(user) == CHARGE_BASE
    change(fickle)


def test_how_far_a_stream_is_read_on_changes_for_the_next_one_that_is_left(fickle: World) -> None:
    change(fickle, hang_up={"seconds": 0})
    user = fickle.user()
    with user.http() as client:
        fields = body("dawdles", "left at once") | {"stream": True}
        for text in client.send(
            client.build_request("POST", "/chat/completions", json=fields), stream=True
        ).iter_text():
            if WORDS[0] in text:
                break
    until(lambda: user.view().spent_base > 0)
    (left,) = fickle.ledger.read(lambda c: read.calls_of(c, user.idx))
    assert left.completion_tokens < len(WORDS)
    change(fickle)
