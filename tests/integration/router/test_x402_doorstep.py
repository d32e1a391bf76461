"""Payments that are not good have the node asked only so often from one address; good ones do not count."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from router_upstream import Upstream
from support.anvil import running_anvil
from support.stack import Stack
from x402_world import PATH, Gate, Shop, body_of, encoded, make_shop, marker

from router.people.doorstep import WINDOW_S

MOST = 3


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_anvil() as anvil:
        yield Stack(anvil)


@pytest.fixture
def shop(upstream: Upstream, stack: Stack, gate: Gate, tmp_path: Any) -> Iterator[Shop]:
    made = make_shop(tmp_path, upstream, stack, rpc_url=gate.url, address_checks=MOST)
    yield made
    made.world.router.stop()
    made.world.ledger.close()


def worthless(shop: Shop, body: dict[str, Any]) -> str:
    """A payment that the node has to be asked about: nobody signed it, and the payer might be a contract."""
    payment = shop.payment(shop.wallet(0), shop.required(body)["accepts"][0])
    payment["payload"]["signature"] = "0x" + secrets.token_hex(65)
    return encoded(payment)


def test_an_address_has_the_node_asked_in_vain_only_so_often(shop: Shop, gate: Gate) -> None:
    body, wallet = body_of("plain", marker()), shop.wallet()
    good = shop.header(wallet, body)
    for number in range(MOST + 1):  # paid calls are no waste, however many
        paid = body_of("plain", marker())
        assert shop.post(paid, shop.header(wallet, paid)).status_code == 200, number
    assert shop.post(body, good).status_code == 200
    for _ in range(MOST):
        assert shop.post(body, worthless(shop, body)).status_code == 402
    asked = gate.asked
    refused = shop.post(body, worthless(shop, body))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_often")
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_S
    message = httpx.post(
        f"{shop.url}/messages",
        json=body | {"max_tokens": 9},
        headers={"PAYMENT-SIGNATURE": worthless(shop, body)},
    )
    assert (message.status_code, message.json()["type"]) == (429, "error")
    assert message.json()["error"]["type"] == "rate_limit_error"
    assert gate.asked == asked
    replay = shop.post(body, good)  # what is settled needs no node
    assert (replay.status_code, replay.headers["x-vibes-replay"]) == (200, "true")
    assert shop.required(body)["accepts"]
    user = shop.world.open_user(901, deposit_base=10**9, ceiling_base=10**9)
    by_key = {"authorization": f"Bearer {user.api_key}"}
    assert httpx.post(shop.url + PATH, json=body, headers=by_key).status_code == 200
