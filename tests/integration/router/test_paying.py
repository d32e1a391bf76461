"""Who pays for a call over HTTP, and at what price: promotional credit first, then the account's tier."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from router_upstream import PROMPT_TOKENS, WORDS
from router_world import COMPLETION_BASE, PROMPT_BASE, User, World
from test_money import CHARGE_BASE, assert_books_balance, body, quote_base

from mini_llm.wallet.limits import BPS
from router.ledger import chain, read

SPONSOR = 9_000
CREDIT_USD, CREDIT_BASE = "0.005", 500_000
HOUSE, PARTNERS = "renamed", "plain"
"""The same answers at the same price; the second is a partner's, which promotional credit does not pay."""
DEVELOPER_BPS = 8_000
DEVELOPER_BASE = CHARGE_BASE * DEVELOPER_BPS // BPS
CALLS_TO_DEVELOPER = 2
TIERS = [
    {"name": "simple", "rate_bps": BPS},
    # of a charge 85 % is kept and the provider bills 50 %: two calls leave enough, one does not
    {"name": "developer", "rate_bps": DEVELOPER_BPS, "margin_usd": "0.0002"},
]


def fields(model: str, stream: bool = False) -> dict[str, Any]:
    """A call whose quote is small, so that little credit holds several."""
    return body(model, "pay") | {"stream": stream, "max_tokens": len(WORDS)}


def call(user: User, model: str, stream: bool = False, **headers: str) -> httpx.Response:
    with user.http() as client:
        return client.post("/chat/completions", json=fields(model, stream), headers=headers)


def account(user: User) -> dict[str, Any]:
    with user.http() as client:
        shown: dict[str, Any] = client.get("/account").json()
    return shown


@pytest.fixture(scope="module")
def promoting(new_world: Any) -> World:
    world: World = new_world(
        more={"promotion": {"sponsor": SPONSOR, "signup_usd": CREDIT_USD, "least_deposit_usd": "0"}}
    )
    world.open_user(SPONSOR, deposit_base=10**9, ceiling_base=10**12)
    return world


@pytest.fixture(scope="module")
def promoted(promoting: World) -> Iterator[User]:
    """Accounts whose sign-up credit is in force; the router looks for new ones every few seconds."""
    users = [promoting.user() for _ in range(8)]
    deadline = time.monotonic() + 30
    while call(users[-1], HOUSE).status_code == 200 and account(users[-1])["spent_base"] != "0":
        assert time.monotonic() < deadline, "the sign-up credit never came"
        users[-1:] = [promoting.user()]
        time.sleep(0.3)
    return iter(users[:-1])


@pytest.mark.parametrize("stream", [False, True])
def test_credit_pays_first_and_the_sponsor_is_charged(
    promoting: World, promoted: Iterator[User], stream: bool
) -> None:
    user = next(promoted)
    before = promoting.ledger.read(lambda c: read.account_view(c, SPONSOR))
    answer = call(user, HOUSE, stream)
    assert answer.status_code == 200
    shown = account(user)
    assert shown["promotional_left_base"] == str(CREDIT_BASE - CHARGE_BASE)
    assert (shown["spent_base"], shown["balance_base"], shown["receipts"]) == ("0", str(10**9), 0)
    sponsor = promoting.ledger.read(lambda c: read.account_view(c, SPONSOR))
    assert sponsor.spent_base - before.spent_base == CHARGE_BASE
    assert sponsor.reserved_base == 0
    (paid,) = promoting.ledger.read(lambda c: read.calls_of(c, SPONSOR, limit=1))
    assert paid.entry_id == answer.headers["x-vibes-request-id"]
    assert paid.receipt is not None
    assert (paid.receipt.receipt.account, paid.receipt.receipt.partner) == (SPONSOR, 0)
    assert_books_balance(promoting)


def test_a_partners_deployment_is_paid_with_own_money(promoting: World, promoted: Iterator[User]) -> None:
    user = next(promoted)
    assert call(user, PARTNERS).headers["x-vibes-charge-base"] == str(CHARGE_BASE)
    shown = account(user)
    assert (shown["spent_base"], shown["promotional_left_base"]) == (str(CHARGE_BASE), str(CREDIT_BASE))


def test_credit_counts_before_the_call_is_made(promoting: World, promoted: Iterator[User]) -> None:
    user = next(promoted)
    promoting.ledger.run(lambda c: chain.request_withdrawal(c, user.idx, 10**9, f"all {user.idx}"))
    for model, refusal in ((HOUSE, None), (PARTNERS, "insufficient_funds")):
        for path in ("/quote", "/route"):
            with user.http() as client:
                told = client.post(path, json={"request": fields(model)}).json()
            assert (told["available_base"], told["refusal"]) == ("0", refusal)
        assert call(user, model).status_code == (402 if refusal else 200)


def test_own_money_pays_once_the_credit_does_not_hold_a_quote(
    promoting: World, promoted: Iterator[User]
) -> None:
    user = next(promoted)
    left_base, promotional = CREDIT_BASE, 0
    while left_base >= quote_base(fields(HOUSE)):
        left_base, promotional = left_base - CHARGE_BASE, promotional + 1
    assert promotional > 1
    for _ in range(promotional + 2):
        assert call(user, HOUSE).status_code == 200
    shown = account(user)
    assert (shown["promotional_left_base"], shown["spent_base"]) == (str(left_base), str(2 * CHARGE_BASE))
    assert_books_balance(promoting)


def test_a_replay_of_a_promotional_call_is_not_paid_again(promoting: World, promoted: Iterator[User]) -> None:
    user = next(promoted)
    first, again = (call(user, HOUSE, **{"Idempotency-Key": "credit"}) for _ in range(2))
    assert again.content == first.content
    assert again.headers["x-vibes-replay"] == "true"
    assert account(user)["promotional_left_base"] == str(CREDIT_BASE - CHARGE_BASE)


def test_credit_granted_by_hand_pays_too(promoting: World, promoted: Iterator[User]) -> None:
    user = next(promoted)
    command = [sys.executable, "-m", "router.cli", "promo"]
    grant = ["grant", "--account", str(user.idx), "--usd", "0.01", "--reference", f"hand {user.idx}"]
    environ = promoting.router.environ
    done = subprocess.run([*command, *grant], env=environ, capture_output=True, text=True, check=True)
    assert "granted 1000000 base units" in done.stdout
    shown = subprocess.run(
        [*command, "show", "--account", str(user.idx)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(shown.stdout)["left_base"] == CREDIT_BASE + 1_000_000
    deadline = time.monotonic() + 30
    while int(account(user)["promotional_left_base"]) >= 1_000_000:  # until then it may be the first credit
        assert call(user, HOUSE).status_code == 200
        assert time.monotonic() < deadline, "the credit pays for nothing"
    assert_books_balance(promoting)


def test_a_tier_is_earned_by_calls_and_makes_the_next_ones_cheaper(new_world: Any) -> None:
    world: World = new_world(more={"tiers": TIERS})
    early, late = world.user(), world.user()
    for _ in range(CALLS_TO_DEVELOPER):
        assert call(early, PARTNERS).headers["x-vibes-charge-base"] == str(CHARGE_BASE)
    assert call(late, PARTNERS).headers["x-vibes-charge-base"] == str(CHARGE_BASE)
    assert account(early)["tier"] == "simple"
    world.router.stop()  # tiers are reckoned every hour, and at a start
    world.router.start()
    assert (account(early)["tier"], account(late)["tier"]) == ("developer", "simple")
    for stream in (False, True):
        answer = call(early, PARTNERS, stream)
        assert answer.status_code == 200
    assert call(late, PARTNERS).headers["x-vibes-charge-base"] == str(CHARGE_BASE)
    calls = world.ledger.read(lambda c: read.calls_of(c, early.idx))
    assert [one.charge_base for one in calls] == [DEVELOPER_BASE] * 2 + [CHARGE_BASE] * CALLS_TO_DEVELOPER
    receipt = calls[0].receipt
    assert receipt is not None
    rates = (receipt.receipt.prompt_price_base_per_mtok, receipt.receipt.completion_price_base_per_mtok)
    scale = DEVELOPER_BPS * 10**6 // BPS
    assert rates == (PROMPT_BASE * scale, COMPLETION_BASE * scale)
    assert (receipt.receipt.prompt_tokens, receipt.receipt.completion_tokens) == (PROMPT_TOKENS, len(WORDS))
    assert_books_balance(world)


def test_a_tier_makes_the_reservation_smaller_too(new_world: Any) -> None:
    """An account that cannot hold the retail quote can hold the tier's."""
    world: World = new_world(more={"tiers": TIERS})
    quoted_base = quote_base(fields(PARTNERS))
    user = world.user(deposit_base=quoted_base + (CALLS_TO_DEVELOPER - 1) * CHARGE_BASE)
    for _ in range(CALLS_TO_DEVELOPER):
        assert call(user, PARTNERS).status_code == 200
    assert call(user, PARTNERS).status_code == 402
    world.router.stop()
    world.router.start()
    assert call(user, PARTNERS).headers["x-vibes-charge-base"] == str(DEVELOPER_BASE)
