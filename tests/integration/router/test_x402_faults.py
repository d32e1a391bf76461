"""Payments when things break: killed routers, a node that is away, stuck or stolen nonces, many workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from held_router import HELD
from router_upstream import Upstream
from support.anvil import running_anvil
from support.stack import VIBES, Stack
from x402_world import PATH, Gate, Shop, body_of, decoded, encoded, make_shop, marker

from router.ledger import books, read
from router.ledger.payment_table import PaymentState
from router.x402.wire import read_payment

SETTLE_TIMEOUT_S = 1


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_anvil() as anvil:
        yield Stack(anvil)


@pytest.fixture(scope="module")
def shop(
    upstream: Upstream, stack: Stack, gate: Gate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    options = {"rpc_url": gate.url, "settle_timeout_s": SETTLE_TIMEOUT_S}
    made = make_shop(tmp_path_factory.mktemp("shop"), upstream, stack, **options)
    yield made
    made.world.router.stop()
    made.world.ledger.close()


def until_served(shop: Shop, body: dict[str, Any], header: str) -> httpx.Response:
    """The answer once the killed worker's reservation lapsed."""
    deadline = time.monotonic() + 30
    while (answer := shop.post(body, header)).status_code in (409, 503) and time.monotonic() < deadline:
        assert answer.headers["x-should-retry"] == "false"
        time.sleep(0.2)
    return answer


def only_row(shop: Shop, wallet: Any) -> Any:
    [(row, _)] = shop.rows(wallet)
    return row


STEPS = {
    "claimed": ("eth_getTransactionCount", PaymentState.CLAIMED),
    "sent, not broadcast": ("eth_sendRawTransaction", PaymentState.SENT),
    "broadcast, not seen": ("eth_getTransactionReceipt", PaymentState.SENT),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_router_neither_loses_nor_repeats_a_payment(shop: Shop, gate: Gate, step: str) -> None:
    method, state = STEPS[step]
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    gate.shut_for(method)
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(shop.post, body, header)
        assert gate.reached.wait(20)
        shop.world.router.kill()
        with suppress(httpx.HTTPError):
            calling.result()
    assert only_row(shop, wallet).state == state
    gate.open()
    shop.world.router.start()
    answer = until_served(shop, body, header)
    assert answer.status_code == 200, answer.text
    assert len(shop.transfers(wallet)) == 1
    assert len(shop.upstream.calls_of(words)) == 1
    assert decoded(answer.headers["payment-response"])["transaction"] == only_row(shop, wallet).tx_hash


def test_a_router_killed_in_the_call_serves_it_again_for_the_same_payment(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("held", words, max_tokens=5)
    header = shop.header(wallet, body)
    shop.upstream.release.clear()
    try:
        with ThreadPoolExecutor() as pool:
            calling = pool.submit(shop.post, body, header)
            deadline = time.monotonic() + 20
            while not shop.upstream.calls_of(words) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert only_row(shop, wallet).state == PaymentState.SETTLED
            assert shop.post(body, header).status_code == 409
            shop.world.router.kill()
            with suppress(httpx.HTTPError):
                calling.result()
    finally:
        shop.upstream.release.set()
    shop.world.router.start()
    assert until_served(shop, body, header).status_code == 200
    assert len(shop.transfers(wallet)) == 1
    assert len(shop.upstream.calls_of(words)) == 2


@pytest.mark.parametrize(("step", "asked"), {"answered": 2, "writing": 2, "charged": 1}.items())
def test_a_router_killed_after_the_call_charges_it_once(shop: Shop, step: str, asked: int) -> None:
    router, wallet, words = shop.world.router, shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    program = router.program
    router.stop()
    router.program = (str(Path(__file__).with_name("held_router.py")), step, "1")
    seen = len(router.log.read_text())
    router.start()
    before = shop.world.ledger.read(lambda c: read.account_view(c, shop.account_idx))
    header = shop.header(wallet, body)
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(shop.post, body, header)
        deadline = time.monotonic() + 30
        while router.log.read_text()[seen:].count(HELD) < 1 + (step == "writing"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        router.kill()
        with suppress(httpx.HTTPError):
            calling.result()
    router.program = program
    router.start()
    answer = until_served(shop, body, header)
    assert answer.status_code == 200, answer.text
    assert (answer.headers.get("x-vibes-replay") == "true") is (step == "charged")
    assert len(shop.transfers(wallet)) == 1
    assert len(shop.upstream.calls_of(words)) == asked
    after = shop.world.ledger.read(lambda c: read.account_view(c, shop.account_idx))
    assert after.spent_base - before.spent_base == int(answer.headers["x-vibes-charge-base"])
    assert after.reserved_base == 0
    assert shop.world.ledger.read(books.book_errors) == []


def test_a_payment_nobody_waits_for_is_settled_listed_and_refunded(shop: Shop, gate: Gate) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    gate.shut_for("eth_getTransactionReceipt")
    pending = shop.post(body, header)
    assert pending.status_code == 503
    assert pending.headers["x-should-retry"] == "false"
    told = decoded(pending.headers["payment-response"])
    assert (told["success"], told["errorReason"]) == (False, "settlement_pending")
    assert told["transaction"] == only_row(shop, wallet).tx_hash
    assert not shop.upstream.calls_of(words)
    gate.open()
    deadline = time.monotonic() + 30
    while only_row(shop, wallet).state != PaymentState.SETTLED and time.monotonic() < deadline:
        time.sleep(0.1)
    row = only_row(shop, wallet)
    [listed] = [
        one
        for one in map(json.loads, command(shop, "list", "--unused", "--json").splitlines())
        if one["id"] == row.id
    ]
    assert listed["state"] == "settled"
    assert listed["amount_base"] == str(row.amount_base)
    assert listed["payer"] == wallet.address.lower()
    assert wallet.address.lower() in command(shop, "refund", row.id, "--note", "by hand")
    refused = shop.post(body, header)
    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "payment_refunded"
    assert row.id not in command(shop, "list", "--unused")
    assert not shop.upstream.calls_of(words)


def test_a_used_payment_is_not_refunded(shop: Shop) -> None:
    wallet, body = shop.wallet(), body_of("plain", marker(), max_tokens=2)
    assert shop.post(body, shop.header(wallet, body)).status_code == 200
    row = only_row(shop, wallet)
    assert "is used" in command(shop, "refund", row.id, "--note", "x", code=1)
    assert f"{row.id}  used" in command(shop, "list")


@pytest.mark.usefixtures("unmined")
def test_nothing_is_served_before_the_chain_has_the_payment(shop: Shop, stack: Stack) -> None:
    wallet, words = shop.wallet_unmined(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    assert [shop.post(body, header).status_code for _ in range(2)] == [503, 503]
    assert not shop.upstream.calls_of(words)
    stack.anvil.rpc("evm_mine")
    assert shop.post(body, header).status_code == 200
    assert len(shop.transfers(wallet)) == 1


@pytest.mark.usefixtures("unmined")
def test_a_stuck_transaction_is_replaced_by_one_that_offers_more(shop: Shop, stack: Stack) -> None:
    wallet, body = shop.wallet_unmined(), body_of("plain", marker(), max_tokens=5)
    header = shop.header(wallet, body)
    assert shop.post(body, header).status_code == 503
    first = only_row(shop, wallet)
    with shop.world.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE x402_payment SET sent_s = sent_s - 100 WHERE state = 'sent'")
    assert shop.post(body, header).status_code == 503
    second = only_row(shop, wallet)
    assert second.tx_nonce == first.tx_nonce
    assert second.tx_hash != first.tx_hash
    assert second.max_fee_wei * 100 >= first.max_fee_wei * 110
    stack.anvil.rpc("evm_mine")
    answer = shop.post(body, header)
    assert answer.status_code == 200
    assert decoded(answer.headers["payment-response"])["transaction"] == second.tx_hash


@pytest.mark.usefixtures("unmined")
def test_a_nonce_that_another_transaction_took_is_not_the_end(shop: Shop, stack: Stack) -> None:
    wallet, words = shop.wallet_unmined(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    assert shop.post(body, header).status_code == 503
    row = only_row(shop, wallet)
    foreign = {
        "to": stack.operator.address,
        "value": 1,
        "gas": 21_000,
        "nonce": row.tx_nonce,
        "chainId": stack.chain_id,
        "maxFeePerGas": 10**13,
        "maxPriorityFeePerGas": 10**12,
    }
    stack.web3.eth.send_raw_transaction(shop.facilitator.sign_transaction(foreign).raw_transaction)
    stack.anvil.rpc("evm_mine")
    refused = shop.post(body, header)
    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "transaction_failed"
    assert not shop.transfers(wallet)
    stack.anvil.rpc("evm_setAutomine", True)
    assert shop.post(body, header).status_code == 200
    assert len(shop.transfers(wallet)) == 1
    assert len(shop.upstream.calls_of(words)) == 1


@pytest.mark.usefixtures("unmined")
def test_a_payer_who_spends_the_money_first_gets_nothing(shop: Shop, stack: Stack) -> None:
    wallet, words = shop.wallet_unmined(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    assert shop.post(body, header).status_code == 503
    stack.anvil.rpc("anvil_impersonateAccount", wallet.address)
    stack.anvil.rpc("anvil_setBalance", wallet.address, hex(10**21))
    away = stack.token.functions.transfer(stack.owner.address, shop.tokens(wallet.address))
    away.transact({"from": wallet.address, "maxFeePerGas": 10**13, "maxPriorityFeePerGas": 10**12})
    stack.anvil.rpc("evm_mine")
    refused = shop.post(body, header)
    assert refused.status_code == 402
    assert only_row(shop, wallet).state == PaymentState.CLAIMED
    assert not shop.upstream.calls_of(words)
    stack.anvil.rpc("evm_setAutomine", True)
    stack.send(stack.owner, stack.token.functions.mint(wallet.address, VIBES))
    assert shop.post(body, header).json()["error"]["code"] == "transaction_failed"  # and is not sent again


@pytest.mark.usefixtures("unmined")
def test_one_transfer_does_not_pay_for_two_calls(shop: Shop, stack: Stack) -> None:
    """The payer signed a second order under the first one's nonce, to itself, and executes both at once."""
    wallet, had_base = shop.wallet_unmined(), shop.tokens(shop.pay_to)
    bodies = [body_of("plain", marker(), max_tokens=5) for _ in range(2)]
    accepted = shop.required(bodies[0])["accepts"][0]
    first, second = shop.payment(wallet, accepted), shop.payment(wallet, accepted)
    nonce = first["payload"]["authorization"]["nonce"]
    to_itself = shop.payment(wallet, accepted, to=wallet.address, nonce=nonce)
    calls = [(body, encoded(payment)) for body, payment in zip(bodies, (first, second), strict=True)]
    assert [shop.post(*call).status_code for call in calls] == [503, 503]
    stack.anvil.rpc("anvil_impersonateAccount", wallet.address)
    stack.anvil.rpc("anvil_setBalance", wallet.address, hex(10**21))
    orders = [read_payment(encoded(one)).authorization.call_data() for one in (to_itself, second)]
    fees = {"gas": 500_000, "maxFeePerGas": 10**13, "maxPriorityFeePerGas": 10**12}
    data = code_that_calls(stack.token.address, orders)
    stack.web3.eth.send_transaction({"from": wallet.address, "data": data} | fees)
    stack.anvil.rpc("evm_mine")
    assert [shop.post(*call).status_code for call in calls] == [402, 200]
    assert shop.tokens(shop.pay_to) - had_base == int(accepted["amount"])


def code_that_calls(address: str, datas: list[bytes]) -> bytes:
    """Init code of a contract that makes calls of another one, in one transaction."""
    code, texts, at = b"", b"".join(datas), 50 * len(datas) + 1
    for data in datas:
        size = len(data).to_bytes(4, "big")
        code += b"\x63" + size + b"\x63" + at.to_bytes(4, "big") + b"\x60\0\x39"  # CODECOPY to 0
        code += (
            b"\x60\0\x60\0\x63" + size + b"\x60\0\x60\0\x73" + bytes.fromhex(address[2:]) + b"\x5a\xf1\x50"
        )
        at += len(data)
    return code + b"\0" + texts


@pytest.mark.usefixtures("unmined")
def test_a_payment_on_its_way_is_good_whatever_address_is_paid_by_now(shop: Shop, stack: Stack) -> None:
    wallet, words, router = shop.wallet_unmined(), marker(), shop.world.router
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    assert shop.post(body, header).status_code == 503
    file = Path(router.environ["VIBES_CONFIG"])
    before = file.read_text()
    config = json.loads(before)
    config["x402"]["pay_to"] = stack.owner.address
    try:
        router.stop()
        file.write_text(json.dumps(config))
        stack.anvil.rpc("evm_mine")
        router.start()
        answer = until_served(shop, body, header)
        assert answer.status_code == 200, answer.text
        assert only_row(shop, wallet).state == PaymentState.SETTLED
        assert len(shop.upstream.calls_of(words)) == 1
    finally:
        router.stop()
        file.write_text(before)
        router.start()


def test_a_node_that_is_away_takes_no_payments_and_stops_no_others(shop: Shop, gate: Gate) -> None:
    wallet, body = shop.wallet(), body_of("plain", marker(), max_tokens=5)
    header = shop.header(wallet, body)
    gate.shut_for("eth_estimateGas")
    answer = shop.post(body, header)
    gate.open()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "payments_unavailable"
    assert not shop.rows(wallet)
    assert shop.post(body, header).status_code == 200


def test_a_payment_waits_for_its_confirmations(
    upstream: Upstream, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = {"confirmations": 3, "settle_timeout_s": SETTLE_TIMEOUT_S}
    shop = make_shop(tmp_path_factory.mktemp("careful"), upstream, stack, **options)
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    try:
        assert shop.post(body, header).status_code == 503
        stack.anvil.rpc("evm_mine")
        assert shop.post(body, header).status_code == 503
        assert not shop.upstream.calls_of(words)
        stack.anvil.rpc("evm_mine")
        assert shop.post(body, header).status_code == 200
    finally:
        shop.world.router.stop()
        shop.world.ledger.close()


def test_two_routers_share_one_wallet_and_one_register(shop: Shop) -> None:
    first = shop.world.router
    other = first.beside("other")
    other.start()
    try:
        urls = [first.url + PATH, other.url + PATH]
        wallet, words = shop.wallet(), marker()
        body = body_of("plain", words, max_tokens=5)
        header = shop.header(wallet, body)
        bodies = [body_of("plain", marker(), max_tokens=1) for _ in range(12)]
        headers = [shop.header(wallet, one) for one in bodies]
        with ThreadPoolExecutor(28) as pool:
            replays = [pool.submit(send, urls[i % 2], body, header) for i in range(16)]
            single = [
                pool.submit(send, urls[i % 2], one, paid)
                for i, (one, paid) in enumerate(zip(bodies, headers, strict=True))
            ]
        assert {answer.result().status_code for answer in replays} <= {200, 409}
        assert [answer.result().status_code for answer in single] == [200] * 12
        assert len(shop.upstream.calls_of(words)) == 1
        assert len(shop.transfers(wallet)) == 13
    finally:
        other.stop()


def send(url: str, body: dict[str, Any], header: str) -> httpx.Response:
    """One paid call; a payment that the chain has not confirmed in time is sent again."""
    deadline = time.monotonic() + 60
    while True:
        answer = httpx.post(url, json=body, headers={"payment-signature": header}, timeout=60)
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer


def command(shop: Shop, *arguments: str, code: int = 0) -> str:
    """What `vibes-router x402 …` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "router.cli", "x402", *arguments],
        env=os.environ | shop.world.router.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
