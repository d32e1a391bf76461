"""Calls paid one by one with x402: the public client, replays, streams, failures after the payment."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from eth_utils.address import to_checksum_address
from router_world import COMPLETION_BASE, put
from support.anvil import double
from support.stack import VIBES
from x402_world import PATH, Shop, body_of, decoded, encoded, marker

from router.ledger import book_errors, read
from router.ledger.payment_table import PaymentState
from router.receipts import CHARGE_HEADER, RECEIPT_HEADER, REPLAY_HEADER, decode_receipt


async def test_the_public_client_pays_for_a_call(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    async with shop.client(wallet) as client:
        answer = await client.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 5
    settled = decoded(answer.headers["payment-response"])
    [transfer] = shop.transfers(wallet)
    assert settled["success"] is True
    assert settled["transaction"] == "0x" + bytes(transfer.transactionHash).hex()
    assert settled["payer"] == wallet.address.lower()
    assert settled["network"] == "eip155:31337"
    assert transfer.args.to == shop.pay_to
    assert str(transfer.args.value) == settled["amount"] == shop.required(body)["accepts"][0]["amount"]
    assert answer.headers["cache-control"] == "no-store"
    receipt = decode_receipt(answer.headers[RECEIPT_HEADER]).receipt
    assert receipt.account == shop.account_idx
    assert receipt.charge_base == int(answer.headers[CHARGE_HEADER]) <= transfer.args.value
    assert len(shop.upstream.calls_of(words)) == 1
    [(row, used)] = shop.rows(wallet)
    assert row.state == PaymentState.SETTLED
    assert used


async def test_the_openai_client_pays_through_the_public_client(shop: Shop) -> None:
    wallet = shop.wallet()
    async with shop.client(wallet) as http:
        client = openai.AsyncOpenAI(base_url=shop.url, api_key="x402", http_client=http, max_retries=0)
        answer = await client.chat.completions.create(**body_of("plain", marker(), max_tokens=3))
        stream = await client.chat.completions.create(**body_of("plain", marker(), max_tokens=4), stream=True)
        pieces = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert answer.choices[0].message.content == "the rails carry"
    assert "".join(piece or "" for piece in pieces) == "the rails carry each "
    assert len(shop.transfers(wallet)) == 2


async def test_other_surfaces_are_paid_and_answered_in_their_own_format(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    async with shop.client(wallet) as http:
        body = body_of("plain", words, max_tokens=4, stream=True)
        streamed = await http.post("/messages", json=body, headers={"x-api-key": "x402"})
        client = openai.AsyncOpenAI(base_url=shop.url, api_key="x402", http_client=http, max_retries=0)
        response = await client.responses.create(model="chat-plain", input=words, max_output_tokens=3)
    told = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert [told[0]["type"], told[-1]["type"]] == ["message_start", "message_stop"]
    texts = [event["delta"]["text"] for event in told if event["type"] == "content_block_delta"]
    assert "".join(texts) == "the rails carry each "
    assert decoded(streamed.headers["payment-response"])["success"] is True
    assert response.output_text == "the rails carry"
    assert [used for _, used in shop.rows(wallet)] == [True, True]
    assert len(shop.transfers(wallet)) == 2
    assert len(shop.upstream.calls_of(words)) == 2


def test_an_unpaid_message_is_priced_in_anthropics_shape(shop: Shop) -> None:
    body = {"model": "plain", "max_tokens": 5, "messages": [{"role": "user", "content": marker()}]}
    answer = httpx.post(f"{shop.url}/messages", json=body)
    assert (answer.status_code, answer.json()["type"]) == (402, "error")
    assert answer.json()["error"]["type"] == "billing_error"
    assert decoded(answer.headers["payment-required"])["resource"]["url"] == f"{shop.url}/messages"


def test_without_a_payment_the_call_is_priced_in_the_surfaces_shape(shop: Shop) -> None:
    words = marker()
    answer = shop.post(body_of("plain", words, max_tokens=5))
    assert answer.status_code == 402
    error = answer.json()["error"]
    required = decoded(answer.headers["payment-required"])
    [accepts] = required["accepts"]
    assert error["code"] == error["type"] == "payment_required"
    assert error["amount_base"] == accepts["amount"]
    assert int(accepts["amount"]) >= 5 * COMPLETION_BASE
    assert required["x402Version"] == 2
    assert required["resource"]["url"] == shop.url + PATH
    assert accepts["payTo"] == shop.pay_to.lower()
    assert accepts["extra"] == {"name": "VIBES", "version": "1"}
    assert "payment-response" not in answer.headers
    assert not shop.upstream.calls_of(words)


def test_a_bad_api_key_is_not_asked_for_a_payment(shop: Shop) -> None:
    answer = shop.post(body_of("plain", marker()), authorization="Bearer sk-vibes-wrong")
    assert answer.status_code == 401
    assert "payment-required" not in answer.headers


def test_an_api_keys_call_takes_no_payment(shop: Shop) -> None:
    wallet, body = shop.wallet(), body_of("plain", marker(), max_tokens=2)
    header, user = shop.header(wallet, body), shop.world.user()
    answer = shop.post(body, header, authorization=f"Bearer {user.api_key}")
    assert answer.status_code == 200
    assert not shop.rows(wallet)
    assert user.view().spent_base == int(answer.headers[CHARGE_HEADER])


@pytest.mark.parametrize("replays", [8, 64])
async def test_parallel_replays_make_one_call_and_one_transfer(shop: Shop, replays: int) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=shop.url, timeout=60, limits=limits) as client:
        calls = [client.post(PATH, json=body, headers={"payment-signature": header}) for _ in range(replays)]
        answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} <= {200, 409}
    served = [answer for answer in answers if answer.status_code == 200]
    assert served
    assert len({answer.headers[RECEIPT_HEADER] for answer in served}) == 1
    assert len({answer.headers["payment-response"] for answer in served}) == 1
    assert len(shop.upstream.calls_of(words)) == 1
    assert len(shop.transfers(wallet)) == 1
    later = shop.post(body, header)
    assert later.content == served[0].content
    assert later.headers[REPLAY_HEADER] == "true"
    assert later.headers["payment-response"] == served[0].headers["payment-response"]
    assert len(shop.upstream.calls_of(words)) == 1


def test_a_contract_wallet_pays(shop: Shop) -> None:
    """Its check is EIP-1271's: a signature of its key counts as its own."""
    abi, bytecode = double("ContractWallet")
    key, stack, words = shop.wallet(0), shop.stack, marker()
    factory = stack.web3.eth.contract(abi=abi, bytecode=bytecode)
    address = stack.send(stack.owner, factory.constructor(key.address))["contractAddress"]
    stack.send(stack.owner, stack.token.functions.mint(address, 100 * VIBES))
    body = body_of("plain", words, max_tokens=5)
    answer = shop.post(body, shop.header(key, body, **{"from": address}))
    assert answer.status_code == 200, answer.text
    assert decoded(answer.headers["payment-response"])["payer"] == address.lower()
    stranger = shop.post(body, shop.header(shop.wallet(0), body, **{"from": address}))
    assert stranger.json()["error"]["code"] == "invalid_exact_evm_payload_signature"
    assert len(shop.upstream.calls_of(words)) == 1


async def test_different_payments_in_parallel_are_all_settled(shop: Shop) -> None:
    wallet = shop.wallet()
    bodies = [body_of("plain", marker(), max_tokens=1) for _ in range(12)]
    async with shop.client(wallet) as client:
        answers = await asyncio.gather(*(client.post(PATH, json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert len(shop.transfers(wallet)) == 12
    assert shop.world.ledger.read(book_errors) == []


def test_a_stream_is_paid_before_it_starts_and_replayed_after(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("dawdles", words, stream=True, max_tokens=6)
    header = shop.header(wallet, body)
    sent: list[bytes] = []
    with httpx.stream(
        "POST", shop.url + PATH, json=body, headers={"payment-signature": header}, timeout=60
    ) as answer:
        assert answer.status_code == 200
        settled = decoded(answer.headers["payment-response"])
        assert len(shop.transfers(wallet)) == 1
        for piece in answer.iter_raw():
            sent.append(piece)
    assert settled["success"] is True
    assert len(sent) > 3  # piece by piece, not as one body
    whole = b"".join(sent)
    assert whole.endswith(b"data: [DONE]\n\n")
    again = shop.post(body, header)
    assert again.content == whole
    known = json.loads(Path(shop.world.router.environ["VIBES_CONFIG"]).read_text())["deployments"]
    put(shop.world, deployments=[one for one in known if one["model"] != "dawdles"])
    gone, unpaid = shop.post(body, header), shop.post(body)
    put(shop.world, deployments=known)
    assert (gone.content, gone.headers["payment-response"]) == (whole, again.headers["payment-response"])
    assert unpaid.status_code == 404
    assert len(shop.upstream.calls_of(words)) == 1
    assert len(shop.transfers(wallet)) == 1


def test_a_payment_buys_no_other_call(shop: Shop) -> None:
    wallet, words, other = shop.wallet(), marker(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    assert shop.post(body, header).status_code == 200
    changed = shop.post(body_of("plain", other, max_tokens=5), header)
    assert changed.status_code == 422
    assert changed.json()["error"]["code"] == "payment_mismatch"
    assert not shop.upstream.calls_of(other)
    assert len(shop.transfers(wallet)) == 1


def test_a_failed_call_may_be_made_again_with_the_same_payment(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    shop.upstream.refuse_once.add(words)
    failed = shop.post(body, header)
    assert failed.status_code == 502
    assert failed.headers["x-should-retry"] == "false"
    assert decoded(failed.headers["payment-response"])["success"] is True
    [(row, used)] = shop.rows(wallet)
    assert row.state == PaymentState.SETTLED
    assert not used
    view = shop.world.ledger.read(lambda connection: read.account_view(connection, shop.account_idx))
    assert view.reserved_base == 0
    served = shop.post(body, header)
    assert served.status_code == 200
    assert served.headers["payment-response"] == failed.headers["payment-response"]
    assert shop.post(body, header).headers[REPLAY_HEADER] == "true"
    assert len(shop.upstream.calls_of(words)) == 2
    assert len(shop.transfers(wallet)) == 1
    assert [used for _, used in shop.rows(wallet)] == [True]


def test_a_stream_that_breaks_may_be_made_again(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("stops-short", words, stream=True, max_tokens=9)
    header = shop.header(wallet, body)
    for attempt in (1, 2):
        broken = shop.post(body, header)
        assert b"upstream_error" in broken.content
        assert len(shop.upstream.calls_of(words)) == attempt
    assert len(shop.transfers(wallet)) == 1
    assert [used for _, used in shop.rows(wallet)] == [False]


def test_somebody_else_sends_the_authorisation_first(shop: Shop) -> None:
    """The money came, though not by our chain tx, so the call is served."""
    wallet, words = shop.wallet(), marker()
    body = body_of("plain", words, max_tokens=5)
    header = shop.header(wallet, body)
    signed = decoded(header)["payload"]
    order = signed["authorization"]
    front = shop.stack.token.functions.transferWithAuthorization(
        order["from"],
        to_checksum_address(order["to"]),
        int(order["value"]),
        0,
        int(order["validBefore"]),
        bytes.fromhex(order["nonce"][2:]),
        bytes.fromhex(signed["signature"][2:]),
    )
    shop.stack.anvil.rpc("evm_setAutomine", False)
    try:
        with ThreadPoolExecutor() as pool:
            calling = pool.submit(shop.post, body, header)
            wait_for_pending(shop)
            tx_hash = send_dearly(shop, front)
            shop.stack.anvil.rpc("evm_mine")
            answer = calling.result()
    finally:
        shop.stack.anvil.rpc("evm_setAutomine", True)
    assert answer.status_code == 200, answer.text
    assert decoded(answer.headers["payment-response"])["transaction"] == "0x" + tx_hash.hex()
    assert len(shop.transfers(wallet)) == 1


def wait_for_pending(shop: Shop) -> None:
    """Until the router's chain tx waits for a block."""
    deadline = time.monotonic() + 30
    while not shop.stack.web3.eth.get_block("pending", full_transactions=True)["transactions"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def send_dearly(shop: Shop, call: Any) -> bytes:
    """Sends a call that the next block takes before all others; returns the hash of the chain tx."""
    sender, web3 = shop.stack.operator, shop.stack.web3
    fees = {"gas": 200_000, "maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**11}
    nonce = web3.eth.get_transaction_count(sender.address)
    transaction = call.build_transaction({"from": sender.address, "nonce": nonce} | fees)
    return bytes(web3.eth.send_raw_transaction(sender.sign_transaction(transaction).raw_transaction))


async def test_a_caller_who_leaves_the_model_open_pays_no_more_than_for_the_chosen_one(shop: Shop) -> None:
    wallet, words = shop.wallet(), marker()
    body = body_of("auto:cheap", words, max_tokens=4)
    offered_base = int(shop.required(body)["accepts"][0]["amount"])
    async with shop.client(wallet) as client:
        answer = await client.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    assert "asked=cheap" in answer.headers["x-vibes-route"]
    [transfer] = shop.transfers(wallet)
    assert int(answer.headers[CHARGE_HEADER]) <= transfer.args.value == offered_base


def test_a_payment_for_a_cheap_model_buys_no_dear_one(shop: Shop) -> None:
    """What is bought is a model at its price, whatever quality the same body is sent with the next time."""
    limits = {"provider": "up", "upstream_model": "plain", "context_tokens": 4000, "max_output_tokens": 100}
    known = json.loads(Path(shop.world.router.environ["VIBES_CONFIG"]).read_text())["deployments"]
    added = [
        {"model": model, "prompt_usd_per_mtok": usd, "completion_usd_per_mtok": usd} | limits
        for model, usd in (("llama-3.2-1b", "1"), ("gpt-4o", "50"))
    ]
    put(shop.world, deployments=known + added, auto={"models": ["gpt-4o", "llama-3.2-1b"]})
    wallet, words = shop.wallet(), marker()
    body = body_of("auto", words, max_tokens=4)
    cheap, best = {"x-vibes-quality": "cheap"}, {"x-vibes-quality": "best"}
    offered = decoded(shop.post(body, **cheap).headers["payment-required"])["accepts"][0]
    header = encoded(shop.payment(wallet, offered))
    shop.upstream.refuse_once.add(words)
    assert shop.post(body, header, **cheap).status_code == 502
    dear = shop.post(body, header, **best)
    assert dear.status_code == 402, dear.headers
    assert int(dear.json()["error"]["amount_base"]) > int(offered["amount"])
    added[0]["id"] = "again"  # nobody has failed under this name
    put(shop.world, deployments=known + added)
    served = shop.post(body, header, **cheap)
    assert served.status_code == 200, served.text
    assert served.headers["x-vibes-deployment"] == "again"
    assert int(served.headers[CHARGE_HEADER]) <= int(offered["amount"])
    assert shop.post(body, header, **best).headers[REPLAY_HEADER] == "true"
    assert len(shop.transfers(wallet)) == 1
