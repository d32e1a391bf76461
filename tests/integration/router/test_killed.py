"""kill -9 at every step of a call, for every way to pay: the money is back, or charged exactly once.

Each kill takes whole answers and streams of all payers at one time, all waiting at the same step.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from held_router import HELD
from people_world import Town, make_town
from router_upstream import PROMPT_TOKENS, WORDS, Upstream
from router_world import COMPLETION_BASE, LEASE_S, PROMPT_BASE, User, config
from test_money import CHARGE_BASE, assert_books_balance, body
from test_paying import DEVELOPER_BASE, DEVELOPER_BPS
from test_workers import assert_chain

from router.ledger import tiers

PROGRAM = ("-m", "router.cli")
SPONSOR, CREDIT_BASE, BYOK_BPS = 9_000, 10**9, 500
BYOK_BASE = (PROMPT_TOKENS * PROMPT_BASE + len(WORDS) * COMPLETION_BASE) * BYOK_BPS // 10_000
OWN_KEY = "sk-own-key-of-a-user-0123456789wxyz"

LOYAL_CALLS = 12
"""More than the others make here in all, so that they keep paying the full price."""
TIERS = [
    {"name": "simple", "rate_bps": 10_000},
    {"name": "developer", "rate_bps": DEVELOPER_BPS, "margin_usd": "0.0015"},
]
STEPS = {"reserved": 1, "asked": 2, "answered": 2, "writing": 2, "charged": 1}
"""Times that the provider is asked in all: again, unless it was not yet, or the answer was paid for."""


@dataclass
class Payer:
    """Somebody who calls, and the account that pays."""

    name: str
    api_key: str
    account: User
    charge_base: int


@dataclass
class Call:
    """One call under an idempotency key, and what its client saw of the first try."""

    payer: Payer
    stream: bool
    step: str
    seen: threading.Event

    @property
    def marker(self) -> str:
        return f"{self.payer.name} {self.step} {self.stream}"

    @property
    def fields(self) -> dict[str, Any]:
        model = "plain" if self.step != "asked" else "pauses" if self.stream else "held"
        return body(model, self.marker) | {"stream": self.stream}

    def send(self, url: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.payer.api_key}", "Idempotency-Key": self.marker}
        address = f"{url}/chat/completions"
        with httpx.stream("POST", address, json=self.fields, headers=headers, timeout=60) as answer:
            for _ in answer.iter_raw():
                self.seen.set()
        return answer

    def lose(self, url: str) -> None:
        with pytest.raises(httpx.HTTPError):
            self.send(url)


def until_answered(call: Call, url: str) -> httpx.Response:
    """The retry's answer; until the dead worker's lease lapses nobody knows what became of the first try."""
    headers = {"authorization": f"Bearer {call.payer.api_key}", "Idempotency-Key": call.marker}
    deadline = time.monotonic() + 15 * LEASE_S
    while True:
        answer = httpx.post(f"{url}/chat/completions", json=call.fields, headers=headers, timeout=60)
        if answer.status_code != 409 or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


@pytest.fixture(scope="module")
def town(new_world: Any, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Every way to pay; all deployments may be paid with promotional credit, which one account has."""
    deployments = [one | {"promotional": True} for one in config(upstream.url, upstream.url)["deployments"]]
    more = {
        "deployments": deployments,
        "tiers": TIERS,
        "promotion": {"sponsor": SPONSOR},
        "policy": {"byok_fee_bps": BYOK_BPS},
    }
    return make_town(new_world, tmp_path_factory.mktemp("killed"), more=more)


@pytest.fixture(scope="module")
def payers(town: Town) -> list[Payer]:
    world = town.world
    plain, loyal, promoted = world.user(), world.user(), world.user()
    sponsor = world.open_user(SPONSOR, deposit_base=10**9, ceiling_base=10**12)
    world.ledger.run(lambda c: tiers.grant(c, "gift", promoted.idx, SPONSOR, CREDIT_BASE, 0))
    for number in range(LOYAL_CALLS):
        with loyal.http() as client:
            assert client.post("/chat/completions", json=body("plain", f"loyal {number}")).is_success
    founder, member, owner = town.person(), town.visitor(), town.person()
    team = founder.ask("POST", "/teams", name="night shift").json()["team"]
    assert founder.ask("PUT", f"/teams/{team}/members/{member.address}", role="member").is_success
    assert owner.ask("PUT", "/provider-keys/up", api_key=OWN_KEY).is_success
    assert founder.user is not None
    assert owner.user is not None
    return [
        Payer("plain", plain.api_key, plain, CHARGE_BASE),
        Payer("tier", loyal.api_key, loyal, DEVELOPER_BASE),
        Payer("promotion", promoted.api_key, sponsor, CHARGE_BASE),
        Payer("team", member.key(team=team)[1], founder.user, CHARGE_BASE),
        Payer("own key", owner.user.api_key, owner.user, BYOK_BASE),
    ]


@pytest.fixture
def held_upstream(upstream: Upstream) -> Iterator[Upstream]:
    upstream.release.clear()
    yield upstream
    upstream.release.set()


def kill_at(step: str, town: Town, calls: list[Call], upstream: Upstream) -> None:
    """Starts the router, sends the calls, and kills it when all of them have come to the step."""
    router = town.world.router
    router.stop()
    if step != "asked":
        router.program = (str(Path(__file__).with_name("held_router.py")), step, str(len(calls)))
    seen = len(router.log.read_text())
    router.start()
    with ThreadPoolExecutor(len(calls)) as pool:
        sent = [pool.submit(call.lose, town.url) for call in calls]
        deadline = time.monotonic() + 30
        while not all_there(step, calls, router.log.read_text()[seen:], upstream):
            assert time.monotonic() < deadline, router.log.read_text()[seen:]
            time.sleep(0.02)
        router.kill()
        for one in sent:
            one.result()
    router.program = None


def all_there(step: str, calls: list[Call], log: str, upstream: Upstream) -> bool:
    if step == "asked":
        asked = all(upstream.calls_of(call.marker) for call in calls)
        return asked and all(call.seen.is_set() for call in calls if call.stream)
    return log.count(HELD) == len(calls) + (step == "writing")  # there the writer says so too


@pytest.mark.parametrize("step", STEPS)
def test_money_is_back_or_charged_once(
    town: Town, payers: list[Payer], held_upstream: Upstream, step: str
) -> None:
    calls = [Call(payer, stream, step, threading.Event()) for payer, stream in product(payers, (False, True))]
    before = {payer.name: payer.account.settled_view() for payer in payers}
    kill_at(step, town, calls, held_upstream)
    held_upstream.release.set()

    for payer in payers:
        view, charged_base = payer.account.view(), 2 * payer.charge_base if step == "charged" else 0
        assert view.spent_base == before[payer.name].spent_base + charged_base, payer.name
        assert (view.reserved_base > 0) is (step != "charged"), payer.name
    assert_books_balance(town.world)

    town.world.router.start()
    for call in calls:
        answer = until_answered(call, town.url)
        assert answer.status_code == 200, (call.marker, answer.text)
        assert (answer.headers.get("x-vibes-replay") == "true") is (step == "charged"), call.marker
        again = until_answered(call, town.url)
        assert again.headers["x-vibes-replay"] == "true"
        assert again.content == answer.content
        assert len(held_upstream.calls_of(call.marker)) == STEPS[step], call.marker
    for payer in payers:
        view = payer.account.settled_view()
        assert view.spent_base == before[payer.name].spent_base + 2 * payer.charge_base, payer.name
        assert view.balance_base == before[payer.name].balance_base - 2 * payer.charge_base, payer.name
        assert view.reserved_base == 0
        assert_chain(payer.account, view.sequence)
    command = [sys.executable, *PROGRAM, "ledger", "check"]
    checked = subprocess.run(
        command, env=town.world.router.environ, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "the books balance\n")
